"""Clips may have any name that the system allows; no name reaches a terminal or a page as a control character."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from vidcam.cli import main
from vidcam.results.stored import load_explanation

TOGETHER = [
    b" \xff\x1b[31m\x9b31m\n\r\xc2\x85" + "\u202e\u2028.mp4".encode(),
    b"[red]&lt;b&gt;<script>'\" %03d *?{a,b}.mp4",
    b"x" * 251 + b".mp4",
]
NAMES = [
    b"not utf-8 \xff\xfe.mp4",
    b"a\x1b]0;title\x07\x1b[31m\x9b31m.mp4",
    b"new\nline\r.mp4",
    "direction \u202e\u2028.mp4".encode(),
    "C1 \x85\x9b.mp4".encode(),
    b"[red]&lt;b&gt;<script>'\".mp4",
    b"%03d *?{a,b}.mp4",
    b" .mp4",
    b"x" * 251 + b".mp4",
]
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]")


def _run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["vidcam", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER, ids=lambda name: repr(name[:12]))
def test_any_name_works_and_controls_nothing(
    tmp_path: Path, clip_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    clip = os.fsdecode(name)
    clip_path.rename(clip)
    for command in (
        ["explain"],
        ["localize"],
        ["tubes"],
        ["compare", "--method", "gradcam,gradcam++"],
        ["explain", "--json"],
    ):
        code, out, err = _run(monkeypatch, capsys, *command, "--out", f"out-{'-'.join(command)}", "--", clip)
        assert code == 0, err
        assert not _CONTROLS.search(out + err)
    assert load_explanation("out-explain").clip == clip
    assert json.loads(out)["clip"] == clip
    for page in tmp_path.glob("out-*/report.html"):
        assert not _CONTROLS.search(page.read_text(encoding="utf-8"))
    found = json.loads(Path("out-localize/segments.json").read_text(encoding="utf-8"))
    assert list(found["results"]) == [Path(clip).stem]


@pytest.mark.slow
def test_errors_name_clips_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        code, out, err = _run(monkeypatch, capsys, "explain", "--", os.fsdecode(name))
        assert code == 2 and "does not exist" in err
        assert not _CONTROLS.search(out + err)
    code, out, err = _run(monkeypatch, capsys, "explain", "a.mp4", "--\x1b[31mred")
    assert code == 2 and not _CONTROLS.search(out + err)
    code, out, err = _run(monkeypatch, capsys, "explain", "a.mp4", "--method", "\x1b[31mred")
    assert code == 2 and not _CONTROLS.search(out + err)


@pytest.mark.parametrize(
    "url", ["http://ann:pa/ss@host/a.mp4", "HTTPS://ann@host/a.mp4?token=pa/ss", "s3:/b;sig=pa/ss"]
)
def test_passwords_of_urls_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    code, out, err = _run(monkeypatch, capsys, "explain", url)
    said = (out + err).replace("does not exist", "").replace("cannot", "")
    assert code == 2 and "ann" not in said and "ss" not in said
