from __future__ import annotations

from pathlib import Path

from vidcam.results.outputs import LocalizationOutputs, Outputs


def test_names_of_the_files_in_a_directory() -> None:
    folder = Path("out")
    clip, image = Outputs.within(folder), Outputs.within(folder, image=True)
    assert {path.name for path in vars(clip).values()} == {
        "overlay.mp4", "curve.png", "curve.csv", "explanation.npz", "summary.json",
    }  # fmt: skip
    assert (clip.overlay, clip.curve_csv) == (folder / "overlay.mp4", folder / "curve.csv")
    assert image.overlay == folder / "overlay.png" and image.summary == clip.summary == folder / "summary.json"
    found = LocalizationOutputs.within(folder)
    assert vars(found) == {
        "segments_json": folder / "segments.json",
        "segments_csv": folder / "segments.csv",
        "segments_vtt": folder / "segments.vtt",
        "timeline": folder / "timeline.png",
    }
