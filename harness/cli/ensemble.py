"""``harness ensemble``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import completion, options

_SHOWN = ("accuracy", "f1_macro", "rmse", "mae", "r2", "loss")


def ensemble(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The run folder of a search.", autocompletion=completion.search_runs)
    ],
    top: Annotated[
        int | None, typer.Option(help="Average only among so many of the best trials.", show_default="all kept, 20")
    ] = None,
    size: Annotated[int, typer.Option(help="Models in the average at most, each as often as it counts.")] = 25,
    metric: Annotated[str, typer.Option(help="Select by this metric on validation.")] = "loss",
    force: Annotated[
        bool, typer.Option("--force", help="Make an average anew, which opens the test samples once more.")
    ] = False,
    device: options.Device = "auto",
    trust: options.Trust = False,
    json: options.Json = False,
) -> None:
    """Average the best trials of a search, and score that once beside its final model."""
    options.prepare(trust=trust)
    from harness.ensembling import ensemble as make

    score = make(run, top=top, size=size, metric=metric, force=force, device=device, trust=trust)
    if json:
        from harness.cli.console import print_json

        print_json({"run": str(run), **score})
    else:
        _show(run, score)


def _show(run: Path, score: Mapping[str, Any]) -> None:
    from harness.cli.console import print_table

    columns = ("trial", "architecture", "weight")
    print_table(
        score["members"],
        columns=columns,
        title=f"\nSelected from {score['trials']} trials by {score['metric']} on validation",
    )
    found, test = score["validation"], score["test"]
    print(
        f"Loss on validation: {found['ensemble']:.4g} (selected there), {found['halves']:.4g} where one half selects "
        f"for the other; trial {found['single_trial']} alone {found['single']:.4g}"
    )
    for note in score["notes"]:
        print(f"Note: {note}")
    if test is None:
        print("No average is better there than one trial alone: nothing was written, and no test sample looked at.")
        return
    decided = ", by the most probable class" if "accuracy" in test["metrics"]["best"] else ""
    print_table(list(_rows(score)), title=f"\nOn {test['samples']:,} test samples{decided}")
    print(f"This was opening {test['opened']} of the test samples of this run.")
    print(f"Model: {run / 'ensemble'}")


def _rows(score: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what each model scored, by how much the average's loss is larger, and what using it takes."""
    names = {"ensemble": "ensemble/", "best": "best/", "trial": f"trial {score['validation']['single_trial']} alone"}
    for name, title in names.items():
        metrics, figures = score["test"]["metrics"][name], score["models"][name]
        difference = score["test"]["differences"].get(name, {"mean": None, "standard_error": None})
        yield {
            "model": title,
            **{each: metrics[each] for each in _SHOWN if each in metrics},
            "ensemble's loss less this": difference["mean"],
            "standard error": difference["standard_error"],
            "parameters": int(figures["parameters"]),
            "latency ms": figures["latency_p50_ms"],
            "weights MiB": figures["weights_mib"],
        }
