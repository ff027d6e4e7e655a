"""Commands for rendered clips and the networks trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidcam.cli.options import Overwrite
from vidcam.cli.printing import progress_bar, stdout
from vidcam.errors import OutputError, counted

commands = typer.Typer(
    help="Rendered clips whose evidence is known, and the networks trained on them.", no_args_is_help=True
)


@commands.command("render")
def playground_render(
    out: Annotated[Path, typer.Option(help="Directory for the clips.")],
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Clips.")] = 10,
    frames: Annotated[int, typer.Option(min=16, help="Frames per clip, at 16 frames per second.")] = 80,
    trimmed: Annotated[bool, typer.Option("--trimmed", help="The action fills the whole clip.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Render clips (MP4) with the truth of every frame beside them (JSON)."""
    from vidcam.playground.clips import write_clip
    from vidcam.playground.scene import trimmed_scene, untrimmed_scene

    paths = [out / f"{seed}-{index:04d}.mp4" for index in range(count)]
    if not overwrite and (there := [p.name for p in paths if p.exists()]):
        raise OutputError(f"{out} already holds {there[0]}; pass --overwrite or give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}); give another --out") from error
    with progress_bar("rendering") as progress:
        for index, path in enumerate(paths):
            scene = (trimmed_scene if trimmed else untrimmed_scene)(seed, index, frames)
            write_clip(scene, path, facts={"seed": seed, "index": index, "trimmed": trimmed})
            progress(index + 1, count)
    stdout.print(f"{counted(count, 'clip')} in {out}")


@commands.command("train")
def playground_train(
    model: Annotated[str, typer.Argument(help="playground-captioner, or a classifier, such as playground-r2plus1d.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
) -> None:
    """Train a bundled network. If interrupted, run the same command again to resume."""
    from vidcam.playground.training.recipes import train

    out.parent.mkdir(parents=True, exist_ok=True)
    recent: list[float] = []

    def print_progress(step: int, loss: float, accuracy: float) -> None:
        recent.append(accuracy)
        if step % 20 == 0:
            window = recent[-20:]
            print(f"step {step}  loss {loss:.3f}  accuracy {sum(window) / len(window):.3f}", flush=True)

    stdout.print(f"weights in {train(model, out, progress=print_progress)}")


@commands.command("accuracy")
def playground_accuracy(
    model: Annotated[str, typer.Argument(help="A bundled classifier, such as playground-r2plus1d.")],
    seed: Annotated[int, typer.Option(min=0, help="0 is what the bundled networks were trained on.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="Windows.")] = 300,
    weights: Annotated[str, typer.Option(help="default, or a file.")] = "default",
) -> None:
    """Print the top-1 accuracy of a bundled network on freshly rendered windows."""
    from vidcam.models.registry import load_model
    from vidcam.playground.training.recipes import accuracy

    share = accuracy(load_model(model, weights), seed, count)
    stdout.print(f"{model}: top-1 {share:.4f} on {counted(count, 'window')} of seed {seed}")
