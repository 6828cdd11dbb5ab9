"""Options that several commands have: each is declared once, and a command names those that it takes."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import completion
from harness.errors import InputError

Space = Annotated[
    str | None,
    typer.Argument(help="A shipped space's or task's name, or a YAML file.", autocompletion=completion.spaces),
]
Timeout = Annotated[str | None, typer.Option(help="Time for everything, such as 10m or 1h30m.")]
Resume = Annotated[Path | None, typer.Option(help="Go on with this run folder.", autocompletion=completion.search_runs)]
Trials = Annotated[int | None, typer.Option(help="Total of trials of the run, resumed or not.")]
Sampler = Annotated[
    str | None,
    typer.Option(
        help="tpe, random, grid, cmaes, gp, nsga2 or qmc.", show_default=False, autocompletion=completion.samplers
    ),
]
Pruner = Annotated[
    str | None,
    typer.Option(help="median, asha, hyperband, dominated, none or auto.", autocompletion=completion.pruners),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32, tf32, bf16 or fp16.")]
Seed = Annotated[int | None, typer.Option(help="Decides candidates, weights and orders; splits have task.split.seed.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override any key of the space file.")
]
Workers = Annotated[
    str, typer.Option(metavar="N|auto", help="Worker processes, by default one a core; 0: train in this one.")
]
Deterministic = Annotated[
    bool | None,
    typer.Option("--deterministic", help="Plans by rule, not measured, and on one thread: repeats bit for bit."),
]
Plan = Annotated[
    str | None,
    typer.Option(help="auto, or safe: nothing is measured or trained together to be faster.", show_default=False),
]
TrialTimeout = Annotated[str | None, typer.Option(help="Time for one trial, such as 90s.")]
Retries = Annotated[int | None, typer.Option(help="How often a trial whose worker died is started again.")]
Executor = Annotated[str, typer.Option(help="local or ray.")]
Address = Annotated[str | None, typer.Option(help="Of the Ray cluster: auto or HOST:PORT.")]
Storage = Annotated[
    str | None, typer.Option(metavar="URL", help="PostgreSQL database of the study; by default a file.")
]
Out = Annotated[Path, typer.Option(help="Folder that the run's own folder is made in.")]
Track = Annotated[
    list[str] | None,
    typer.Option(metavar="mlflow|tensorboard[=WHERE]", help="Tell a tracker of it too; may be given again."),
]
Trust = Annotated[bool, typer.Option("--trust", help="Let the space import your own modules, which runs code.")]
Model = Annotated[
    str, typer.Option("--model", metavar="NAME", help="Which model of the run: best, or the name of another's folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def prepare(*, trust: bool) -> None:
    """Set up the process of a command that trains, before torch is loaded."""
    if trust:
        # As `python -m` does: the user's own modules are found from where the command was started.
        sys.path.insert(0, str(Path.cwd()))
    from harness.hardware.openmp import waiting_asleep

    os.environ.update(waiting_asleep(os.environ))


def overrides(given: Mapping[str, Any]) -> list[str]:
    """Return --set, and those options of a command that are short for it, as ``key.path=value``.

    ``given`` has the values of the command's parameters by their names.
    """
    from harness.spec import overrides_of

    named = {name: given.get(name) for name in inspect.signature(overrides_of).parameters}
    return [*(given["set_"] or []), *overrides_of(**named)]


def seconds(text: str, option: str) -> float:
    """Return a duration such as 10m in seconds. Raises :class:`InputError` that names the option."""
    from harness.spec import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None
