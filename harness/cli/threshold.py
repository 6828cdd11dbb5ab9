"""``harness threshold``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import completion, options
from harness.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from harness.study.final.redeciding import Redecided

RULES = ("f1", "youden", "cost")


def _complete(incomplete: str) -> list[str]:
    return [name for name in RULES if name.startswith(incomplete)]


def threshold(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="A finished run of two classes.",
            autocompletion=completion.search_runs,
            show_default=False,
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option(metavar="f1|youden|cost", help="What is best on validation.", autocompletion=_complete),
    ] = None,
    false_positive: Annotated[
        float | None, typer.Option(help="With --by cost: what it costs to say the second class where it is the first.")
    ] = None,
    false_negative: Annotated[
        float | None, typer.Option(help="With --by cost: what it costs to say the first class where it is the second.")
    ] = None,
    value: Annotated[float | None, typer.Option(help="This probability.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Predict the most probable class again.")] = False,
    json: options.Json = False,
) -> None:
    """Set from which probability on the final model of a run predicts the second of its two classes."""
    asked = _asked(by, false_positive, false_negative, value, none=none)
    from harness.cli.console import print_json
    from harness.deciding import set_threshold

    found = set_threshold(run, asked)
    if json:
        print_json({"run": str(run), **asdict(found)})
    else:
        _show(run, found)


def _asked(
    by: str | None, false_positive: float | None, false_negative: float | None, value: float | None, *, none: bool
) -> float | str | Mapping[str, Any] | None:
    """Return the threshold that options name. Raises :class:`InputError` unless they name one."""
    if sum((by is not None, value is not None, none)) != 1:
        raise InputError("name one of --by f1, --by youden, --by cost, --value P and --none")
    costs = {"false_positive": false_positive, "false_negative": false_negative}
    if by == "cost":
        if missing := next((name for name, cost in costs.items() if cost is None), None):
            raise InputError(f"--by cost: takes --{missing.replace('_', '-')} as well, in the unit of the other cost")
        return {"cost": costs}
    if named := next((name for name, cost in costs.items() if cost is not None), None):
        raise InputError(f"--{named.replace('_', '-')}: goes with --by cost alone")
    if by is not None and by not in RULES:
        raise InputError(f"--by {by}: unknown{did_you_mean(by, RULES)}")
    return by if by is not None else value


def _show(run: Path, found: Redecided) -> None:
    from harness.cli.console import print_table

    if found.threshold is None:
        print("The most probable class is predicted.")
    else:
        chosen = {"value": "as given"}.get(found.threshold["by"], f"by {found.threshold['by']} on validation")
        print(f"The second class is predicted from a probability of {found.threshold['value']:.4g} on ({chosen}).")
    rows = []
    for metric in found.test_most_probable or found.validation_most_probable:
        parts = {"validation": (found.validation_most_probable, found.validation)}
        parts["test"] = (found.test_most_probable, found.test)
        shown = {part: pair for part, pair in parts.items() if pair[0]}
        plain = {f"{part}, most probable": pair[0][metric] for part, pair in shown.items()}
        at = {f"{part}, at the threshold": pair[1][metric] for part, pair in shown.items() if found.threshold}
        rows.append({"metric": metric, **plain, **at})
    print_table(rows)
    print(f"Report: {run / 'report.html'}")
