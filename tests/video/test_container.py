"""Reading a clip opens that file and no other, whatever its name or content says."""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import pytest

from tests.conftest import numbered, write_video
from vidcam.errors import ClipError
from vidcam.video import container
from vidcam.video.reader import Clip

LISTS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n",
    "hls with an initial segment": '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="{0}"\n#EXTINF:1,\n{0}\n',
    "hls with a key": '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:1,\n{0}\n',
    "hls of streams": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{0}\n",
    "ffconcat": "ffconcat version 1.0\nfile '{0}'\n",
    "ffconcat of streams": "ffconcat version 1.0\nstream\nexact_stream_id 0x1e0\nfile {0}\nduration 1\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S"'
    ' profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="0" bandwidth="1"><BaseURL>{0}</BaseURL></Representation></AdaptationSet></Period></MPD>\n',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 50004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "vobsub": "# VobSub index file, v7 (do not modify this line!)\nid: en, index: 0\n"
    "timestamp: 00:00:01:000, filepos: 000000000\n",
    "imf": '<?xml version="1.0"?>\n<CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
    "<Id>urn:uuid:0eb3d1b9-b77b-4d3f-bbe5-7c69b15dca84</Id></CompositionPlaylist>\n",
    "m3u": "{0}\n",
    "asx": '<asx version="3.0"><entry><ref href="{0}"/></entry></asx>\n',
    "asf reference": "[Reference]\nRef1={0}\n",
    "pls": "[playlist]\nFile1={0}\nNumberOfEntries=1\n",
    "smil": '<smil><body><video src="{0}"/></body></smil>\n',
    "rtsp text": "RTSPtext\nrtsp://127.0.0.1:1/x\n",
    "avisynth": 'DirectShowSource("{0}")\n',
    "vapoursynth": 'import vapoursynth\nvapoursynth.core.ffms2.Source("{0}").set_output()\n',
    "edl": "# mpv EDL v0\n{0}\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><image href="{0}" width="8" height="8"/></svg>\n',
}


class Opens:
    """The names of the files in a folder that were opened, as the kernel tells (inotify)."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._descriptor, bytes(folder), 0x20) >= 0  # IN_OPEN

    def seen(self) -> set[str]:
        """Those opened since the last call."""
        names = set()
        with suppress(BlockingIOError):
            while events := os.read(self._descriptor, 1 << 16):
                while events:
                    *_, length = struct.unpack("iIII", events[:16])
                    names.add(os.fsdecode(events[16 : 16 + length].rstrip(b"\0")))
                    events = events[16 + length :]
        return names - {""}  # the folder itself

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture
def opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opens]:
    """Watches the current folder, in which there is a clip and a pipe that nobody writes to."""
    if sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    monkeypatch.chdir(tmp_path)
    write_video(Path("bait.mp4"), [numbered(i, 32, 32) for i in range(4)])
    os.mkfifo("pipe.mp4")
    for name in ("clip.sub", "list.sub"):
        os.mkfifo(name)
    opens = Opens(tmp_path)
    yield opens
    opens.close()


def _extensions() -> list[str]:
    """Every extension that a format of FFmpeg goes by."""
    found = {"", "mp4", "m3u8", "ffconcat", "idx", "sub", "mpd", "avs", "vpy", "edl", "pls", "asx", "ram", "smil"}
    for name in av.formats_available:
        with suppress(ValueError):
            found |= set(av.ContainerFormat(name, "r").extensions)
    return sorted(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", LISTS)
def test_a_list_opens_nothing_that_it_names(opens: Opens, tmp_path: Path, kind: str) -> None:
    for extension in _extensions():
        path = Path(f"list.{extension}" if extension else "list")
        if path.exists():
            continue
        names = (
            ("bait.mp4", str(tmp_path / "pipe.mp4"), f"file:{tmp_path}/bait.mp4")
            if extension == "mp4"
            else ("pipe.mp4",)
        )
        for bait in names:
            path.write_text(LISTS[kind].format(bait))
            opens.seen()
            with suppress(ClipError):  # a few extensions mean raw pixels, which any text is
                list(Clip(path))
            assert opens.seen() == {path.name}, (kind, extension, bait)
        path.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "bait%01d.mp4",
        "bait%d.jpg",
        "bait*.mp4",
        "bait?.png",
        "{bait,pipe}.mp4",
        "concat:bait.mp4",
        "subfile,,:bait.mp4",
    ],
)
def test_a_name_names_that_file_alone(opens: Opens, name: str) -> None:
    for other in ("bait0.mp4", "bait0.jpg", "bait1.jpg"):
        shutil.copyfile("bait.mp4", other)
    shutil.copyfile("bait.mp4", name)
    opens.seen()
    assert len(list(Clip(name))) == 4
    assert opens.seen() == {name}


def test_a_picture_of_a_sequence_is_one_picture(opens: Opens) -> None:
    from PIL import Image

    for index in range(3):
        Image.new("RGB", (32, 32), (80 * index, 0, 0)).save(f"img{index:03d}.jpg")
    shutil.copyfile("img001.jpg", "img%03d.jpg")
    opens.seen()
    (frame,) = Clip("img%03d.jpg")
    assert abs(int(frame.pixels[0, 0, 0]) - 80) < 8
    assert opens.seen() == {"img%03d.jpg"}


def test_references_inside_a_movie_are_not_followed(opens: Opens) -> None:
    """QuickTime's `dref` may hold the path of another file that has the samples."""
    data = bytearray(Path("bait.mp4").read_bytes())
    at = data.index(b"url \0\0\0\x01")
    data[at : at + 8] = b"alis\0\0\0\0"
    Path("reference.mov").write_bytes(data)
    opens.seen()
    with suppress(ClipError):
        list(Clip("reference.mov"))
    assert opens.seen() == {"reference.mov"}


def test_a_file_that_never_shows_a_frame_is_given_up(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless search for a frame, here in a file that is read ever more slowly, ends with the time to probe."""
    monkeypatch.setattr(container, "_TO_PROBE", 0.3)
    read = container._OneFile.read

    def slow(self: container._OneFile, size: int) -> bytes:
        time.sleep(0.05)
        return read(self, 64)

    monkeypatch.setattr(container._OneFile, "read", slow)
    Path("noise.ts").write_bytes(bytes(range(256)) * 4000)
    began = time.monotonic()
    with pytest.raises(ClipError, match=r"no frame was found in 0\.3 s"):
        Clip("noise.ts")
    assert time.monotonic() - began < 5


def test_reading_leaves_no_file_open(opens: Opens) -> None:
    before = len(os.listdir("/proc/self/fd"))
    list(Clip("bait.mp4"))
    for name in ("nothing.mp4", "pipe.mp4", "."):
        with pytest.raises(ClipError):
            Clip(name)
    assert len(os.listdir("/proc/self/fd")) == before
