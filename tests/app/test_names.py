from __future__ import annotations

import pytest

from vidcam.app.names import content_type, safe_name


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("clip.mp4", "clip.mp4"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\Ä b.MOV", "Ä b.mov"),
        ("evil.html", "evil"),
        ("mine.SAFETENSORS", "mine.safetensors"),
        ("mine.pth", "mine"),
        ("names.CSV", "names.csv"),
        ("evil.svg.mp4", "evil.svg.mp4"),
        ("..", "clip"),
        ("", "clip"),
        (".mp4", "clip.mp4"),
        ("a\n\x1b\u202eb.mp4", "a___b.mp4"),
        ("concat:/etc/passwd|x.mp4", "passwd_x.mp4"),
        ("x" * 500 + ".webm", "x" * 95 + ".webm"),
        ("\U0001f600" * 99 + ".mp4", "\U0001f600" * 49 + ".mp4"),
    ],
)
def test_names_are_made_safe(given: str, expected: str) -> None:
    assert safe_name(given) == expected


def test_content_types_are_ours() -> None:
    assert content_type("a.mp4") == "video/mp4" and content_type("a.html") == "application/octet-stream"
    assert content_type("a.safetensors") == "application/octet-stream"
