"""``harness export``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion, options


def _complete(incomplete: str) -> list[str]:
    return [name for name in ("onnx", "torch", "safetensors", "card") if name.startswith(incomplete)]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", autocompletion=completion.search_runs)],
    out: Annotated[Path, typer.Option(metavar="PATH", help="File to write; its model card is PATH.md.")],
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="onnx, torch, safetensors, or card alone.", autocompletion=_complete
        ),
    ] = "onnx",
    model: options.Model = "best",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    trust: options.Trust = False,
    json: options.Json = False,
) -> None:
    """Write a model of a run as one file for other programs, with a model card beside it."""
    options.prepare(trust=trust)
    from harness.cli.console import print_json
    from harness.exporting import export as write

    exported = write(run, format=form, out=out, model=model, force=force, trust=trust)
    if json:
        print_json({**asdict(exported), "path": str(exported.path), "card": str(exported.card)})
        return
    for path in dict.fromkeys((exported.path, exported.card)):
        print(path)
