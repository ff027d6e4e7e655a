"""The page in the browser: its components, and the functions that its events call."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import fields
from importlib.resources import files
from typing import Any

import gradio as gr
import jinja2

from vidcam.app.choice import BUNDLED, Choice, layers, samples
from vidcam.app.events import (
    CLIP_DROPPED,
    EXPLAIN,
    FILES,
    LABELS_DROPPED,
    MODEL_CHOSEN,
    SAMPLE_CHOSEN,
    WEIGHTS_DROPPED,
    address_of,
)
from vidcam.app.explainer import UNEXPECTED, Explainer, log
from vidcam.app.jobs import Files, Job
from vidcam.app.limits import Limits
from vidcam.app.names import LABELS, WEIGHTS
from vidcam.app.progress import Progress
from vidcam.app.results import ARCHIVE
from vidcam.cam.input_methods import METHOD_NAMES
from vidcam.errors import VidcamError
from vidcam.models.registry import model_names, spec_named
from vidcam.results.drawing import COLORMAPS

_NOTE = jinja2.Environment(autoescape=True).from_string("""
<p role="note" class="vidcam-note">
{%- if domain %}{{ name }} was trained on {{ domain }}, such as the samples, and not on real video. Its answer
about any other clip means nothing.
{%- else %}{{ name }} was trained on real video, and the samples are rendered figures. Its answer about one means nothing.
{%- endif %}</p>
""")
_RESULT = jinja2.Environment(autoescape=True).from_string("""
<p><a download href="{{ place }}/{{ archive }}">Download everything</a></p>
<iframe title="vidcam report" src="{{ place }}/report.html" sandbox="allow-scripts allow-downloads"
style="width: 100%; height: 62rem; border: 0"></iframe>
""")
HEAD = (files("vidcam.app") / "head.html").read_text(encoding="utf-8")
"""The script and the style of the page: the preview of a clip, and the height of a report."""


def page(explainer: Explainer, limits: Limits, left: Callable[[str], None]) -> gr.Blocks:
    """Return the page.

    Args:
        explainer: explains clips.
        limits: of the page.
        left: called with the internal name of a session that has ended.
    """

    def explained(
        _: None,
        sample: str | None,
        __: None,
        ___: None,
        model: str,
        target: str,
        method: str,
        layer: str,
        colormap: str,
        request: gr.Request,
        bar: Any = gr.Progress(),
    ) -> str:
        scope = request.request.scope if request.request is not None else {}
        chosen = scope.get(FILES, Files())
        words = Progress()

        def progress(step: str, done: int, of: int) -> None:
            bar(done / of if of else 0.0, desc=words.text(step, done, of))

        choice = Choice(model, target, method, layer, colormap)
        progress("loading", 0, 0)
        try:
            result = explainer.explain(str(request.session_hash), chosen, choice, progress)
        except VidcamError as error:
            raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from None
        except Exception:
            log.exception("a clip could not be explained")
            raise gr.Error(UNEXPECTED, duration=None, print_exception=False) from None
        note = _note(model, sample) if chosen.weights is None else ""
        return note + _RESULT.render(archive=ARCHIVE, place=f"results/{result.key}")

    def ended(request: gr.Request) -> None:
        left(str(request.session_hash))

    with gr.Blocks(title="vidcam", analytics_enabled=False) as blocks:
        gr.Markdown("# vidcam\nWhy did the network see this action, where in the picture and when?")
        with gr.Row():
            with gr.Column():
                label = f"Clip (at most {limits.megabytes} MB and {limits.seconds} s)"
                clip = gr.File(label=label, height=150, elem_id="vidcam-clip")
                names = [(name.replace("-", " "), name) for name in samples()]
                sample = gr.Radio(names, value=None, label="or a sample: rendered clips for the bundled networks")
                gr.HTML('<div id="vidcam-preview"></div>')
            with gr.Column():
                model = gr.Dropdown(
                    choices=model_names(),
                    value=None,
                    label="Network",
                    info="For a clip of a camera one that was trained on real video, such as r3d_18; its weights are downloaded.",
                )
                note = gr.HTML()
                target = gr.Dropdown(
                    choices=_targets(None),
                    value="top",
                    label="Class",
                    info="top, top5, one of the list, or 'A - B' for why A and not B",
                    allow_custom_value=True,
                )
                with gr.Accordion("More settings", open=False):
                    method = gr.Dropdown(
                        choices=["auto", *METHOD_NAMES],
                        value="auto",
                        label="Method",
                        info="auto: the network's default",
                    )
                    layer = gr.Dropdown(
                        choices=_layers(None),
                        value="auto",
                        label="Layer",
                        info="auto: the network's default. The list begins with the last layer; `vidcam layers` lists more.",
                        allow_custom_value=True,
                    )
                    colormap = gr.Dropdown(choices=list(COLORMAPS), value=COLORMAPS[0], label="Colours")
                    weights = gr.File(
                        label=f"Weights of your own ({WEIGHTS})",
                        height=150,
                        elem_id="vidcam-weights",
                    )
                    labels = gr.File(
                        label=f"Class names ({', '.join(LABELS)})",
                        height=150,
                        elem_id="vidcam-labels",
                    )
                button = gr.Button("Explain", variant="primary")
        report = gr.HTML()
        # Not through the queue: its stream, about to end after one of these, would lose a click that comes right then.
        direct: Any = {"queue": False, "api_visibility": "private"}
        picked = model.input(_of_model, [model, sample], [target, layer, note], **direct)
        # The request alone makes the clip the session's.
        of_clip = [sample, model, target, layer, note, report]
        arrived = "(...values) => vidcamArrived(...values)"
        dropped = clip.upload(lambda _, model: _of_clip(model), [clip, model], of_clip, js=arrived, **direct)
        inputs = [clip, sample, weights, labels, model, target, method, layer, colormap]
        assert len(inputs) == 4 + len(fields(Choice))
        click = button.click(explained, inputs, report, api_visibility="private", concurrency_limit=1)
        of_sample = [clip, model, target, layer, note, report]
        sampled = sample.input(_of_sample, sample, of_sample, js="(name) => vidcamSample(name)", **direct)
        weighed = weights.upload(lambda _: None, weights, None, **direct)
        labelled = labels.upload(lambda _: None, labels, None, **direct)
        # The report of a former clip is not shown for another one, nor beside an error.
        clip.clear(None, None, report, js="() => { vidcamPreview(); return ''; }", api_visibility="private")
        click.failure(None, None, report, js="() => ''", api_visibility="private")
        blocks.unload(ended)
    events = (picked, dropped, click, sampled, weighed, labelled)
    numbers = [MODEL_CHOSEN, CLIP_DROPPED, EXPLAIN, SAMPLE_CHOSEN, WEIGHTS_DROPPED, LABELS_DROPPED]
    assert [event["id"] for event in events] == numbers
    blocks.state_session_capacity = 200
    return blocks.queue(max_size=limits.waiting)


def queued_jobs(blocks: gr.Blocks) -> list[Job]:
    """Return the jobs in the page's queue, those being explained included."""
    queue = blocks._queue
    waiting = [event for each in queue.event_queue_per_concurrency_id.values() for event in each.queue]
    running = [event for job in queue.active_jobs if job is not None for event in job]
    requests = [(event.session_hash, event.request.scope) for event in waiting + running]
    return [Job(session, address_of(scope), scope.get(FILES, Files())) for session, scope in requests]


def has_messages(blocks: gr.Blocks, session: str) -> bool:
    """Return True if there may be messages for a session.

    Args:
        blocks: the page.
        session: the internal name of the session.
    """
    return session in blocks._queue.pending_messages_per_session


def _of_model(model: str, sample: str | None) -> tuple[Any, ...]:
    """Return the classes, the layers and the note of a network that was chosen."""
    return *_settings(model), _note(model, sample)


def _of_clip(model: str | None) -> tuple[Any, ...]:
    """Return no sample, a network for a clip that was dropped (no bundled one: it was chosen for a sample), and no report."""
    if model is not None and spec_named(model).domain:
        model = None
    return None, model, *_settings(model), "", ""


def _of_sample(sample: str) -> tuple[Any, ...]:
    """Return no file, the network that knows the samples, and no report."""
    return None, BUNDLED, *_settings(BUNDLED), "", ""


def _settings(model: str | None) -> tuple[gr.Dropdown, gr.Dropdown]:
    """Return the classes and the layers of a network, at their defaults."""
    return gr.Dropdown(choices=_targets(model), value="top"), gr.Dropdown(choices=_layers(model), value="auto")


def _note(model: str, sample: str | None) -> str:
    """Return the note, as HTML, on a network that gets another kind of clip than it knows; "" if there is none."""
    domain = spec_named(model).domain
    return "" if bool(domain) == (sample is not None) else _NOTE.render(name=model, domain=domain)


def _targets(model: str | None) -> list[str]:
    return ["top", "top5", *(spec_named(model).labels() if model is not None else ())]


def _layers(model: str | None) -> list[str | tuple[str, str]]:
    if model is None:
        return ["auto"]
    return [(f"auto ({spec_named(model).layer})", "auto"), *layers(model)]
