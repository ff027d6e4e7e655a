"""The command that explains a camera or a stream while it runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidcam.cli.options import OF_FILMS, Overwrite, with_config
from vidcam.cli.printing import plain, print_json, stderr, stdout
from vidcam.errors import SettingsError
from vidcam.recipe import ExplainConfig

if TYPE_CHECKING:
    from vidcam.live.run import Live
    from vidcam.live.segments import OnlineSegment
    from vidcam.live.step import Step

commands = typer.Typer()

_SOURCE = "A camera (0, /dev/video0), rtsp://, http://, hls+http://, tcp://, udp://, - (standard input), or a file at its pace."


@commands.command()
@with_config(without=("fusion", "evidence", "context", "dense", "check", *OF_FILMS))
def live(
    source: Annotated[str, typer.Argument(help=_SOURCE, metavar="SOURCE")],
    config: ExplainConfig,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="End after this time.", show_default="none")] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Show a page at this port; 0 takes one that is free.", show_default="none"),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address of the page; at another one than this machine's it needs the printed token.")
    ] = "127.0.0.1",
    record: Annotated[
        Path | None, typer.Option(help="Record the overlays in this MP4 file, which grows.", show_default="none")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each window.")] = False,
    window: Annotated[bool, typer.Option("--window", help="Show a window on the desktop, if OpenCV has them.")] = False,
) -> None:
    """Explain a camera or a stream while it runs. Ctrl-C ends it.

    Prints each segment when it closes; overlays are shown by --port or --window, and written by --record.
    """
    from vidcam.explainer import Explainer
    from vidcam.live.lines import window_lines
    from vidcam.live.recording import Recording

    explainer = Explainer(config.load(), config)
    spec, labels = explainer.model.spec, explainer.model.labels

    def note(text: str) -> None:
        stderr.print(f"[yellow]note:[/] {plain(text)}")

    with ExitStack() as opened:
        film = None if record is None else opened.enter_context(Recording(record, overwrite=overwrite))
        show = opened.enter_context(_Window()) if window else None
        run = opened.enter_context(explainer.live(source, config.target, seconds=seconds, note=note))
        page = None
        if port is not None:
            from vidcam.app.live import LivePage

            page = opened.enter_context(LivePage(run, labels, host, port))
            stderr.print(f"{page.address}  (Ctrl-C ends it)")
        try:
            for step in run:
                if film is not None:
                    film.write(step.overlay, step.time)
                if page is not None:
                    page.show(step)
                if show is not None:
                    show.show(step)
                if as_json:
                    for line in window_lines(step, labels, probabilities=spec.probabilities is not None):
                        print_json(line)
                _print_segments(step.closed, as_json)
        except KeyboardInterrupt:
            run.close()
        _print_segments(run.last_segments, as_json)
        _print_summary(run)


class _Window:
    """A window on the desktop."""

    _NAME = "vidcam live"

    def __enter__(self) -> _Window:
        import cv2

        try:
            cv2.namedWindow(self._NAME)
        except cv2.error as error:
            raise SettingsError(
                "this OpenCV shows no windows; install opencv-python in place of opencv-python-headless, or use --port"
            ) from error
        return self

    def show(self, step: Step) -> None:
        import cv2

        cv2.imshow(self._NAME, cv2.cvtColor(step.overlay, cv2.COLOR_RGB2BGR))
        cv2.waitKey(1)

    def __exit__(self, *error: object) -> None:
        import cv2

        cv2.destroyWindow(self._NAME)


def _print_segments(segments: tuple[OnlineSegment, ...], as_json: bool) -> None:
    from vidcam.live.lines import segment_lines

    if as_json:
        for line in segment_lines(segments):
            print_json(line)
        return
    for s in segments:
        stdout.print(
            f"{plain(s.label)}  {s.start:.2f} to {s.end:.2f} s, confidence {s.score:.2f}, opened after {s.opened_after:.1f} s"
        )


def _print_summary(run: Live) -> None:
    s = run.summary
    stderr.print(
        f"{plain(run.name)}: {s.frames:,} frames in {s.seconds:.1f} s ({s.rate:.1f} a second), {s.unexplained:,} of them "
        f"without a window; {s.windows:,} windows explained, {s.skipped:,} skipped; delay {s.delay(0.5):.2f} s (median), "
        f"{s.delay(0.99):.2f} s (99 %); {s.stretches:,} stretch{'es' if s.stretches != 1 else ''} without a break"
    )
