"""The page in the browser: its components, and the functions that its events call."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import gradio as gr
import jinja2

from vidcam.app.events import CLIP, CLIP_DROPPED, EXPLAIN, MODEL_CHOSEN, address_of
from vidcam.app.explainer import GONE, UNEXPECTED, Explainer, log
from vidcam.app.jobs import Job
from vidcam.app.limits import Limits
from vidcam.app.results import ARCHIVE
from vidcam.cam.input_methods import METHOD_NAMES
from vidcam.errors import VidcamError
from vidcam.models.registry import model_names, spec_named

_DEFAULT_MODEL = "playground-r2plus1d"
_RESULT = jinja2.Environment(autoescape=True).from_string("""
<p><a download href="{{ place }}/{{ archive }}">Download everything</a></p>
<iframe title="vidcam report" src="{{ place }}/report.html" sandbox="allow-scripts allow-downloads"
style="width: 100%; height: 62rem; border: 0"></iframe>
""")
# The report is of an origin of its own: it tells its height, and nobody else's message counts.
HEAD = """<script>
addEventListener("message", ({ source, data }) => {
  const frame = document.querySelector("iframe[title='vidcam report']");
  if (!frame || source !== frame.contentWindow || !(data && data.height > 0)) return;
  frame.style.height = `${Math.min(data.height, 20000)}px`;
});
</script>"""


def page(explainer: Explainer, limits: Limits, left: Callable[[str], None]) -> gr.Blocks:
    """Return the page.

    Args:
        explainer: explains clips.
        limits: of the page.
        left: called with the internal name of a session that has ended.
    """

    def explained(_: None, model: str, target: str, method: str, request: gr.Request, bar: Any = gr.Progress()) -> str:
        upload = request.request.scope.get(CLIP) if request.request is not None else None
        if upload is None:
            raise gr.Error(GONE, print_exception=False)

        def progress(share: float, step: str) -> None:
            bar(share, desc=step)

        try:
            result = explainer.explain(str(request.session_hash), upload, model, target, method, progress)
        except VidcamError as error:
            raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from None
        except Exception:
            log.exception("a clip could not be explained")
            raise gr.Error(UNEXPECTED, duration=None, print_exception=False) from None
        return _RESULT.render(archive=ARCHIVE, place=f"results/{result.key}")

    def ended(request: gr.Request) -> None:
        left(str(request.session_hash))

    with gr.Blocks(title="vidcam", analytics_enabled=False) as blocks:
        gr.Markdown("# vidcam\nWhy did the network see this action, where in the picture and when?")
        with gr.Row():
            clip = gr.File(label=f"Clip (at most {limits.megabytes} MB and {limits.seconds} s)", height=190)
            with gr.Column():
                model = gr.Dropdown(choices=model_names(), value=_DEFAULT_MODEL, label="Model")
                target = gr.Dropdown(
                    choices=_targets(_DEFAULT_MODEL),
                    value="top",
                    label="Class",
                    info="top, top5, one of the list, or 'A - B' for why A and not B",
                    allow_custom_value=True,
                )
                method = gr.Dropdown(
                    choices=["auto", *METHOD_NAMES], value="auto", label="Method", info="auto: the model's default"
                )
                button = gr.Button("Explain", variant="primary")
        report = gr.HTML()
        # Not through the queue: its stream, about to end after one of these, would lose a click that comes right then.
        choices = model.change(_choices, model, target, queue=False, api_visibility="private")
        # The request alone makes the clip the session's.
        dropped = clip.upload(lambda _: None, clip, None, queue=False, api_visibility="private")
        inputs = [clip, model, target, method]
        click = button.click(explained, inputs, report, api_visibility="private", concurrency_limit=1)
        blocks.unload(ended)
    assert [event["id"] for event in (choices, dropped, click)] == [MODEL_CHOSEN, CLIP_DROPPED, EXPLAIN]
    blocks.state_session_capacity = 200
    return blocks.queue(max_size=limits.waiting)


def queued_jobs(blocks: gr.Blocks) -> list[Job]:
    """Return the jobs in the page's queue, those being explained included."""
    queue = blocks._queue
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
    running = [event for job in queue.active_jobs if job is not None for event in job]
    requests = [(event.session_hash, event.request.scope) for event in waiting + running]
    return [Job(session, address_of(scope), scope.get(CLIP)) for session, scope in requests]


def has_messages(blocks: gr.Blocks, session: str) -> bool:
    """Return True if there may be messages for a session.

    Args:
        blocks: the page.
        session: the internal name of the session.
    """
    return session in blocks._queue.pending_messages_per_session


def _choices(model: str) -> Any:
    return gr.Dropdown(choices=_targets(model), value="top")


def _targets(model: str) -> list[str]:
    return ["top", "top5", *spec_named(model).labels()]
