"""The table of docs/formats.md: small clips of many formats, made by FFmpeg, read and written as films with sound.

    python scripts/formats.py --out runs/formats [--only mp4]

A row is right if the frames that vidcam reads have the number, the times, the size and the pixels of FFmpeg's own decode
of the file, and the film made of them plays the sound at the same moment. A row that differs must be said by a warning
or an error; the command ends with 1 if one is not.
"""

from __future__ import annotations

import argparse
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np

from vidcam.errors import VidcamError
from vidcam.video.reader import Frame
from vidcam.video.source import FrameSource, source_of
from vidcam.video.writer import FilmWriter, film_size

RATE, SECONDS, SIZE = 25, 2, (144, 176)
TONE = (0.5, 1.5)
"""Seconds from the first frame at which the tone of every clip begins and ends."""

PIXELS = 3.0
"""Largest mean difference of a pixel from FFmpeg's decode, of 255."""
SOUND = 0.05
"""Largest shift of the sound in seconds."""

# Every frame has a colour of its own, and no edge is sharp: there FFmpeg's versions interpolate colours differently.
_PICTURE = f"testsrc2=size={SIZE[1]}x{SIZE[0]}:rate={RATE}:duration={SECONDS},gblur=sigma=3,hue=h=30*n"
_SOUND = f"aevalsrc='0.5*sin(2000*PI*t)*between(t,{TONE[0]},{TONE[1]})':s=48000:d={SECONDS}"
_HEARD = 8000  # samples per second at which sound is compared
_LOUD = 0.05  # amplitude where the tone begins and ends


@dataclass(frozen=True)
class Cell:
    """A clip to make and to read.

    Attributes:
        name: of the file; its suffix chooses the container.
        options: of FFmpeg. Without `-c:a` there is no sound.
        times: of the frames in seconds from the first.
        size: (height, width) of the upright picture.
        then: options of a second run that copies the streams.
    """

    name: str
    options: str
    times: np.ndarray = field(default_factory=lambda: np.arange(RATE * SECONDS) / RATE)
    size: tuple[int, int] = SIZE
    then: str = ""

    @property
    def has_sound(self) -> bool:
        """True if the clip has a sound track."""
        return "-c:a" in self.options


def _picture(name: str, options: str) -> Cell:
    return Cell(name, options + " -frames:v 1", np.zeros(1))


_KEPT = np.array([n for n in range(RATE * SECONDS) if n < 10 or n % 7 == 0])

CELLS = [
    Cell("h264-aac.mp4", "-c:v libx264 -c:a aac"),
    Cell("h264-mp3.mp4", "-c:v libx264 -c:a libmp3lame"),
    Cell("h264-ac3.mp4", "-c:v libx264 -c:a ac3"),
    Cell("h264-eac3.mp4", "-c:v libx264 -c:a eac3"),
    Cell("h264-opus.mp4", "-c:v libx264 -c:a libopus"),
    Cell("h264-flac.mp4", "-c:v libx264 -c:a flac -strict -2"),
    Cell("h264-alac.mp4", "-c:v libx264 -c:a alac"),
    Cell("h264-vorbis.mp4", "-c:v libx264 -c:a libvorbis"),
    Cell("h264-mp2.mp4", "-c:v libx264 -c:a mp2"),
    Cell("h264-dts.mp4", "-c:v libx264 -c:a dca -strict -2"),
    Cell("h264-truehd.mp4", "-c:v libx264 -c:a truehd -strict -2"),
    Cell("h264-aac-8khz.mp4", "-c:v libx264 -c:a aac -ar 8000"),
    Cell("h264-aac-96khz.mp4", "-c:v libx264 -c:a aac -ar 96000"),
    Cell("h264-aac-5.1.mp4", "-c:v libx264 -c:a aac -ac 6"),
    Cell("h264-silent.mp4", "-c:v libx264"),
    Cell("h264-fragmented.mp4", "-c:v libx264 -c:a aac -movflags frag_keyframe+empty_moov+default_base_moof"),
    Cell("h264-10bit.mp4", "-c:v libx264 -pix_fmt yuv420p10le -c:a aac"),
    Cell("h264-422.mp4", "-c:v libx264 -pix_fmt yuv422p -c:a aac"),
    Cell("h264-444.mp4", "-c:v libx264 -pix_fmt yuv444p -c:a aac"),
    Cell("h264-rgb.mp4", "-c:v libx264rgb -pix_fmt rgb24 -c:a aac"),
    Cell("h264-gray.mp4", "-c:v libx264 -pix_fmt gray -c:a aac"),
    Cell("h264-full-range.mp4", "-c:v libx264 -pix_fmt yuvj420p -c:a aac"),
    Cell("h264-bt709.mp4", "-vf scale=out_color_matrix=bt709 -colorspace bt709 -c:v libx264 -c:a aac"),
    Cell("h264-interlaced.mp4", "-c:v libx264 -flags +ildct+ilme -c:a aac"),
    Cell("h264-odd-size.mp4", "-s 175x143 -c:v libx264 -pix_fmt yuv444p -c:a aac", size=(143, 175)),
    # FFmpeg 5 and older write the rotation; later ones ignore this option, and the row is wrong.
    Cell("h264-turned.mp4", "-c:v libx264 -c:a aac", size=(176, 144), then="-metadata:s:v:0 rotate=90"),
    Cell(
        "h264-variable-rate.mp4",
        "-vf select='lt(n,10)+not(mod(n,7))' -fps_mode passthrough -c:v libx264 -c:a aac",
        _KEPT / RATE,
    ),
    Cell("hevc-aac.mp4", "-c:v libx265 -tag:v hvc1 -c:a aac"),
    Cell("hevc-10bit.mp4", "-c:v libx265 -pix_fmt yuv420p10le -c:a aac"),
    Cell("hevc-444.mp4", "-c:v libx265 -pix_fmt yuv444p -c:a aac"),
    Cell("av1-opus.mp4", "-c:v libaom-av1 -cpu-used 8 -c:a libopus"),
    Cell("av1-10bit.mp4", "-c:v libaom-av1 -cpu-used 8 -pix_fmt yuv420p10le -c:a aac"),
    Cell("vp9-opus.mp4", "-c:v libvpx-vp9 -cpu-used 8 -c:a libopus"),
    Cell("mpeg4-aac.mp4", "-c:v mpeg4 -bf 2 -q:v 3 -c:a aac"),
    Cell("mpeg2-mp2.mp4", "-c:v mpeg2video -bf 2 -q:v 3 -c:a mp2"),
    Cell("mjpeg-aac.mp4", "-c:v mjpeg -q:v 3 -c:a aac"),
    Cell("h264-aac.m4v", "-c:v libx264 -c:a aac"),
    Cell("h264-pcm.mov", "-c:v libx264 -c:a pcm_s16le"),
    Cell("h264-pcm-float.mov", "-c:v libx264 -c:a pcm_f32le"),
    Cell("h264-alaw.mov", "-c:v libx264 -c:a pcm_alaw -ar 8000"),
    Cell("prores-pcm24.mov", "-c:v prores_ks -profile:v 3 -c:a pcm_s24le"),
    Cell("prores-4444-alpha.mov", "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le -c:a pcm_s16be"),
    Cell("dnxhr-pcm.mov", "-s 256x144 -c:v dnxhd -profile:v dnxhr_hq -c:a pcm_s16le", size=(144, 256)),
    Cell("qtrle-alpha.mov", "-c:v qtrle -pix_fmt argb -c:a pcm_s16le"),
    Cell("mjpeg-pcm.mov", "-c:v mjpeg -q:v 3 -c:a pcm_s16le"),
    Cell("png-pcm.mov", "-c:v png -c:a pcm_s16le"),
    Cell("raw-pcm.mov", "-c:v rawvideo -pix_fmt uyvy422 -c:a pcm_s16le"),
    Cell("h264-aac.mkv", "-c:v libx264 -c:a aac"),
    Cell("h264-pcm-6khz.mkv", "-c:v libx264 -c:a pcm_s16le -ar 6000"),
    Cell("h264-flac-192khz.mkv", "-c:v libx264 -c:a flac -ar 192000"),
    Cell("h264-dts.mkv", "-c:v libx264 -c:a dca -strict -2"),
    Cell("h264-truehd.mkv", "-c:v libx264 -c:a truehd -strict -2"),
    Cell("h264-ac3-5.1.mkv", "-c:v libx264 -c:a ac3 -ac 6"),
    Cell("h264-wavpack.mkv", "-c:v libx264 -c:a wavpack"),
    Cell("h264-mp3-8khz.mkv", "-c:v libx264 -c:a libmp3lame -ar 8000"),
    Cell("hevc-opus.mkv", "-c:v libx265 -c:a libopus"),
    Cell("av1-opus.mkv", "-c:v libaom-av1 -cpu-used 8 -c:a libopus"),
    Cell("ffv1-flac.mkv", "-c:v ffv1 -c:a flac"),
    Cell("ffv1-alpha.mkv", "-c:v ffv1 -pix_fmt yuva444p -c:a flac"),
    Cell("ffv1-gray16.mkv", "-c:v ffv1 -pix_fmt gray16le -c:a flac"),
    Cell("huffyuv-pcm.mkv", "-c:v huffyuv -c:a pcm_s16le"),
    Cell("theora-vorbis.mkv", "-c:v libtheora -q:v 8 -c:a libvorbis"),
    Cell("vp8-vorbis.webm", "-c:v libvpx -b:v 2M -c:a libvorbis"),
    Cell("vp8-alpha.webm", "-c:v libvpx -b:v 2M -pix_fmt yuva420p -auto-alt-ref 0 -c:a libvorbis"),
    Cell("vp9-opus.webm", "-c:v libvpx-vp9 -cpu-used 8 -c:a libopus"),
    Cell("vp9-444.webm", "-c:v libvpx-vp9 -cpu-used 8 -pix_fmt yuv444p -c:a libopus"),
    Cell("vp9-10bit.webm", "-c:v libvpx-vp9 -cpu-used 8 -pix_fmt yuv420p10le -c:a libopus"),
    Cell("av1-opus.webm", "-c:v libaom-av1 -cpu-used 8 -c:a libopus"),
    Cell("mpeg4-mp3.avi", "-c:v mpeg4 -q:v 3 -c:a libmp3lame"),
    Cell("mpeg4-b-frames.avi", "-c:v mpeg4 -bf 2 -q:v 3 -c:a libmp3lame"),
    Cell("xvid-ac3.avi", "-c:v libxvid -q:v 3 -c:a ac3"),
    Cell("h264-mp3.avi", "-c:v libx264 -c:a libmp3lame"),
    Cell("mjpeg-pcm.avi", "-c:v mjpeg -q:v 3 -c:a pcm_s16le"),
    Cell("huffyuv-pcm.avi", "-c:v huffyuv -c:a pcm_s16le"),
    Cell("ffv1-pcm.avi", "-c:v ffv1 -c:a pcm_s16le"),
    Cell("raw-pcm.avi", "-c:v rawvideo -pix_fmt bgr24 -c:a pcm_u8"),
    Cell("dv-pcm.avi", "-s 720x576 -c:v dvvideo -pix_fmt yuv420p -c:a pcm_s16le", size=(576, 720)),
    Cell("msmpeg4-mp3.avi", "-c:v msmpeg4 -q:v 3 -c:a libmp3lame"),
    Cell("utvideo-pcm.avi", "-c:v utvideo -pix_fmt gbrp -c:a pcm_s16le"),
    Cell("h264-aac.ts", "-c:v libx264 -c:a aac"),
    Cell("hevc-ac3.ts", "-c:v libx265 -c:a ac3"),
    Cell("mpeg2-mp2.ts", "-c:v mpeg2video -bf 2 -q:v 3 -c:a mp2"),
    Cell("h264-opus.ts", "-c:v libx264 -c:a libopus"),
    Cell("h264-dts.m2ts", "-c:v libx264 -c:a dca -strict -2"),
    Cell("h264-truehd.m2ts", "-c:v libx264 -c:a truehd -strict -2"),
    Cell("h264-pcm.m2ts", "-c:v libx264 -c:a pcm_bluray"),
    Cell("mpeg1-mp2.mpg", "-c:v mpeg1video -bf 2 -q:v 3 -c:a mp2"),
    Cell("mpeg2-ac3.mpg", "-f vob -c:v mpeg2video -bf 2 -q:v 3 -c:a ac3"),
    Cell("mpeg2-pcm.vob", "-c:v mpeg2video -bf 2 -q:v 3 -c:a pcm_dvd"),
    Cell("h264-aac.flv", "-c:v libx264 -c:a aac"),
    Cell("flv1-mp3.flv", "-c:v flv -q:v 3 -ar 44100 -c:a libmp3lame"),
    Cell("theora-vorbis.ogv", "-c:v libtheora -q:v 8 -c:a libvorbis"),
    Cell("theora-opus.ogv", "-c:v libtheora -q:v 8 -c:a libopus"),
    Cell("h263-aac.3gp", "-c:v h263 -q:v 3 -c:a aac"),
    Cell("h264-aac.3gp", "-c:v libx264 -c:a aac"),
    Cell("wmv2-wma.wmv", "-c:v wmv2 -q:v 3 -c:a wmav2"),
    Cell("wmv1-wma.asf", "-c:v wmv1 -q:v 3 -c:a wmav1"),
    Cell("mpeg2-pcm.mxf", "-c:v mpeg2video -q:v 3 -c:a pcm_s16le"),
    Cell("dnxhr-pcm.mxf", "-s 256x144 -c:v dnxhd -profile:v dnxhr_hq -c:a pcm_s16le", size=(144, 256)),
    Cell("mjpeg-pcm.nut", "-c:v mjpeg -q:v 3 -c:a pcm_s16le"),
    Cell("rv20-ac3.rm", "-c:v rv20 -q:v 3 -c:a ac3"),
    Cell("gif.gif", "-c:v gif"),
    Cell("apng.apng", "-c:v apng -f apng -plays 0"),
    Cell("apng-alpha.png", "-c:v apng -pix_fmt rgba -f apng -plays 0"),
    Cell("animated.webp", "-c:v libwebp_anim -loop 0 -q:v 90"),
    Cell("animated.avif", "-c:v libaom-av1 -cpu-used 8"),
    Cell("raw.y4m", "-pix_fmt yuv420p"),
    Cell("raw-444.y4m", "-pix_fmt yuv444p"),
    Cell("stream.h264", "-c:v libx264"),
    Cell("stream.hevc", "-c:v libx265"),
    Cell("stream.obu", "-c:v libaom-av1 -cpu-used 8"),
    Cell("stream.ivf", "-c:v libvpx -b:v 2M"),
    Cell("stream.m2v", "-c:v mpeg2video -bf 2 -q:v 3"),
    Cell("stream.m4v", "-c:v mpeg4 -q:v 3 -f m4v"),
    Cell("stream.mjpeg", "-c:v mjpeg -q:v 3"),
    _picture("still.png", ""),
    _picture("still.jpg", "-q:v 3"),
    _picture("still.webp", "-c:v libwebp -q:v 90"),
    _picture("still.bmp", ""),
    _picture("still.tiff", ""),
    _picture("still.gif", ""),
    _picture("still.avif", "-c:v libaom-av1 -still-picture 1"),
    _picture("still.jp2", ""),
    _picture("still.jxl", ""),
]


@dataclass
class Row:
    """The outcome of a cell.

    Attributes:
        frames: number of frames read.
        time: largest error of a frame's time in seconds.
        pixels: largest mean difference of a frame from FFmpeg's decode, of 255.
        sound: largest shift of the tone in the film in seconds; None without sound.
        wrong: what differs.
        said: the warnings, or the error.
        failed: "refused" by vidcam, "not made" or "not compared" because FFmpeg cannot; empty if none.
    """

    frames: int = 0
    time: float = 0.0
    pixels: float = 0.0
    sound: float | None = None
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    failed: str = ""

    @property
    def verdict(self) -> str:
        """One of right, said, WRONG, refused, not made, not compared."""
        return self.failed or (("said" if self.said else "WRONG") if self.wrong else "right")


def made(cell: Cell, folder: Path) -> Path:
    """Return the clip of a cell, made by FFmpeg.

    Raises:
        subprocess.CalledProcessError: this FFmpeg cannot make it.
    """
    path, first = folder / cell.name, folder / f"first-{cell.name}"
    sound = ["-f", "lavfi", "-i", _SOUND] if cell.has_sound else []
    target = first if cell.then else path
    _run("ffmpeg", "-y", "-f", "lavfi", "-i", _PICTURE, *sound, *cell.options.split(), target)
    if cell.then:
        _run("ffmpeg", "-y", "-i", first, "-c", "copy", *cell.then.split(), path)
        first.unlink()
    return path


def compared(cell: Cell, folder: Path) -> Row:
    """Make a clip, read it, write its film, and compare both with FFmpeg's decode.

    Where FFmpeg's muxer moved times or sound, the clip is right as FFmpeg reads it, too.
    """
    film = folder / f"film-{cell.name}.mp4"
    try:
        path = made(cell, folder)
    except subprocess.CalledProcessError as error:
        return Row(said=error.stderr.decode().splitlines()[-1:], failed="not made")
    try:
        clip = source_of(path)
        frames = list(clip)
        _write_film(clip, frames, film)
    except VidcamError as error:
        return Row(said=[str(error)], failed="refused")
    row = Row(frames=len(frames), said=list(clip.warnings))
    times = np.array([frame.time for frame in frames])
    try:
        pictures = decoded(path, cell.size)
    except subprocess.CalledProcessError as error:  # an older FFmpeg than PyAV's
        return Row(said=error.stderr.decode().splitlines()[-1:], failed="not compared")
    if not len(frames) == len(pictures) == len(cell.times):
        row.wrong.append(f"{len(frames)} frames, FFmpeg decodes {len(pictures)} of {len(cell.times)}")
        return row
    probed = _probed_times(path)
    row.time = min(_largest(times - times[0], expected) for expected in (cell.times, probed - probed[0]))
    if row.time > 0.5 / RATE:
        row.wrong.append("times")
    if (clip.height, clip.width) != cell.size:
        row.wrong.append(f"size {clip.width}x{clip.height}")
        return row
    row.pixels = max(float(cv2.absdiff(frame.pixels, picture).mean()) for frame, picture in zip(frames, pictures))
    if row.pixels > PIXELS:
        row.wrong.append("pixels")
    shown = _probed_times(film)
    if _largest(shown - shown[0], times - times[0]) > 0.5 / RATE:
        row.wrong.append("film")
    if cell.has_sound:
        row.sound = min(_largest(tone(film), expected) for expected in (np.array(TONE), tone(path)))
        if row.sound > SOUND:
            row.wrong.append("sound")
    return row


def decoded(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Return FFmpeg's own decode of a clip, (T, H, W, 3) uint8 RGB."""
    as_rgb = ["-fps_mode", "passthrough", "-vf", "scale=interl=-1", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    return np.frombuffer(_run("ffmpeg", "-i", path, "-map", "0:V", *as_rgb), np.uint8).reshape(-1, *size, 3)


def tone(path: Path) -> np.ndarray:
    """Return the seconds from the first frame at which the tone of a clip begins and ends, (2,); infinity without sound."""
    silence = f"aresample={_HEARD}:async=1:first_pts=0"  # until the sound begins
    to_mono = ["-map", "0:a:0?", "-ac", "1", "-af", silence, "-f", "f32le", "-"]
    try:
        samples = np.frombuffer(_run("ffmpeg", "-copyts", "-i", path, *to_mono), np.float32)
    except subprocess.CalledProcessError:
        samples = np.zeros(0, np.float32)
    loud = np.flatnonzero(np.abs(samples) > _LOUD)
    return loud[[0, -1]] / _HEARD - _probed_times(path)[0] if len(loud) else np.full(2, np.inf)


def _probed_times(path: Path) -> np.ndarray:
    """Return the time of each frame in seconds by ffprobe, (T,); NaN where it has none."""
    times = ["-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0"]
    text = _run("ffprobe", "-select_streams", "V:0", *times, path).decode()
    return np.array([float(line.strip(",")) if line[0].isdigit() else np.nan for line in text.split()])


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of two lists of times in seconds; infinity if one has no times."""
    return float(np.nan_to_num(np.abs(found - expected), nan=np.inf).max()) if found.shape == expected.shape else np.inf


def _write_film(clip: FrameSource, frames: Sequence[Frame], path: Path) -> None:
    size = film_size(clip.height, clip.width)
    with FilmWriter(
        path,
        size,
        time_base=clip.time_base,
        frame_rate=clip.frame_rate,
        colour=clip.colour,
        audio_from=clip.sound,
        audio_shift=clip.sound_shift,
    ) as film:
        for frame in frames:
            film.write(cv2.resize(frame.pixels, size[::-1]), frame.pts)


def _run(program: str, *arguments: str | Path) -> bytes:
    return subprocess.run([program, "-v", "error", *arguments], capture_output=True, check=True).stdout


def _line(cell: Cell, row: Row, folder: Path) -> str:
    """Return the line of the table."""
    said = "; ".join(row.said).replace(f"{folder}/", "") or "nothing"
    measured = [f"{row.frames}", f"{1000 * row.time:.0f}", f"{row.pixels:.1f}"] if not row.failed else ["", "", ""]
    measured.append("" if row.sound is None else f"{1000 * row.sound:.0f}")
    outcome = row.verdict + (f" ({', '.join(row.wrong)})" if row.wrong else "")
    return f"| `{cell.name}` | `{' '.join([cell.options, cell.then]).strip()}` | {' | '.join(measured)} | {outcome} | {said} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a clip is read wrongly and nothing says so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="Directory of the clips and films.")
    parser.add_argument("--only", nargs="+", help="Only the clips of these names.")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    program = _run("ffmpeg", "-version").decode().split()[2]
    print(
        f"Made and decoded by FFmpeg {program}; read by PyAV {av.__version__} with FFmpeg {av.ffmpeg_version_info}.\n"
    )
    print("| file | FFmpeg's options | frames | time, ms | pixels | sound, ms | outcome | said |")
    print("|---|---|--:|--:|--:|--:|---|---|")
    outcomes = Counter[str]()
    for cell in CELLS:
        if given.only and cell.name not in given.only:
            continue
        row = compared(cell, given.out)
        outcomes[row.verdict] += 1
        print(_line(cell, row, given.out), flush=True)
    print(f"\n{', '.join(f'{count} {outcome}' for outcome, count in sorted(outcomes.items()))}")
    return 1 if outcomes["WRONG"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
