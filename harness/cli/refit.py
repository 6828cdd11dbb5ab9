"""``harness refit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion, options
from harness.cli.early import say_what_is_missing


def refit(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A finished run.", autocompletion=completion.search_runs, show_default=False
        ),
    ],
    device: options.Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier model of all samples.")] = False,
    trust: options.Trust = False,
    json: options.Json = False,
) -> None:
    """Train the winner of a run on all samples, those of the test set too, for use once its score is known."""
    options.prepare(trust=trust)
    from harness.store import check_run

    check_run(run)
    say_what_is_missing()
    from harness.cli.console import err, print_json
    from harness.cli.lines import Lines
    from harness.refitting import refit as train_on_all
    from harness.store.files import read_object
    from harness.study import spec_of_run

    train_on_all(run, device=device, trust=trust, force=force, observer=Lines(err(), spec_of_run(run)))
    saved, test = read_object(run / "full" / "candidate.json"), read_object(run / "stats.json")["test"]
    metrics = test["metrics"] if test else None
    if json:
        print_json(
            {
                "run": str(run),
                "model": "full",
                "samples": saved["trained_on"],
                "epochs": max(each["recipe"]["until"] for each in saved.get("members", [saved])),
                "members": len(saved.get("members", ())) or saved.get("ensemble", 1),
                "note": saved["note"],
                "test_of_best": metrics,
            }
        )
        return
    print(f"Model: {run / 'full'}, {saved['note']}")
    print(f'Use it with: harness.load({str(run)!r}, model="full")')
