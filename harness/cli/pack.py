"""``harness pack`` and ``harness unpack``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion


def pack(
    run: Annotated[
        Path,
        typer.Argument(
            help="A run folder, such as results/20260101-120000-digits-1a2b.", autocompletion=completion.search_runs
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The zip file to write.", show_default="the run's name in this folder")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
) -> None:
    """Put a run into one zip file, to hand it on; equal runs give equal bytes."""
    from harness.integrity import pack as write

    packed = write(run, out, force=force)
    _say_unsealed(packed.sealed)
    print(packed.file)


def unpack(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.zip", help="What harness pack wrote.", autocompletion=completion.packed_runs),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The run folder to make.", show_default="the file's name under results/")
    ] = None,
) -> None:
    """Unpack a run that was packed, and check every file of it; what leads elsewhere is refused."""
    from harness.integrity import unpack as read

    unpacked = read(file, out)
    _say_unsealed(unpacked.sealed)
    print(unpacked.run)


def _say_unsealed(sealed: bool) -> None:
    if not sealed:
        print(
            "harness: the run has no manifest, so nothing can tell whether its files are what they were",
            file=sys.stderr,
        )
