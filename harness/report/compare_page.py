"""The report of a comparison of architectures: ``compare.html``, ``compare.md`` and ``comparison.csv``.

All of it follows from ``comparison.json``, and from the environment that its folder tells of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import InputError, StorageError
from harness.report.blocks import Alert, Block, Card, Code, Content, Points, Section, facts
from harness.report.charts import Chart
from harness.report.compare_plots import differences, price, seed_scores
from harness.report.compare_tables import (
    PRICES,
    Document,
    design_table,
    family_table,
    known,
    margin_of,
    opening_table,
    ordered,
    ordered_pairs,
    pair_table,
    seed_table,
    signed,
    unmeasured,
    winner_table,
)
from harness.report.formats import Format
from harness.report.html import render_html
from harness.report.latex import render_latex
from harness.report.markdown import render_markdown
from harness.report.pages import write_own
from harness.report.provenance import command, versions
from harness.report.wording import duration, number, plural, score, whole
from harness.statistics import Word
from harness.store import to_csv
from harness.store.files import read_file, read_object
from harness.store.runs import COMPARISON, DESIGN

SCHEMA_VERSION = 1
USUAL: tuple[Format, ...] = ("md", "html", "csv")
"""Those that the folder of every comparison holds."""

_DRAWN = ("latency_ms", "parameters", "train_seconds", "energy_j")
"""Prices over which quality is drawn."""
_CHEAPEST = "the cheapest that is not detectably worse"
_CSV = ("name", "run", "trial", "mean", "low", "high", *PRICES, "trials", "complete", "device_seconds")


def write_comparison(folder: Path, formats: Iterable[Format] = USUAL, out: Path | None = None) -> list[Path]:
    """Write the report of a comparison into its folder, or into ``out``, from the ``comparison.json`` in it.

    The same records give the same bytes. Raises :class:`InputError` when the folder is none of a comparison that has
    come to its first look, and :class:`StorageError` when it is damaged, of a newer version, or the report cannot be
    written.
    """
    return write_own(build_compare(folder, formats), folder, out)


def build_compare(folder: Path, formats: Iterable[Format] = USUAL) -> dict[str, str]:
    """Return the texts of a comparison's report by their names; see above. JSON is its ``comparison.json`` as it is."""
    document = read_comparison(folder)
    content = compare_content(document, _provenance(folder))
    writers: dict[Format, tuple[str, Callable[[], str]]] = {
        "md": ("compare.md", lambda: render_markdown(content)),
        "html": ("compare.html", lambda: render_html(content, compare_charts(document))),
        "csv": ("comparison.csv", lambda: to_csv(_families(document))),
        "tex": ("compare.tex", lambda: render_latex(content)),
        "json": (COMPARISON, lambda: read_file(folder / COMPARISON).decode("utf-8")),
    }
    return {name: write() for name, write in map(writers.__getitem__, formats)}


def read_comparison(folder: Path) -> dict[str, Any]:
    """Return the content of a comparison's ``comparison.json``; raises as :func:`write_comparison` does."""
    if not (folder / COMPARISON).is_file():
        fix = "name the folder of a comparison"
        if (folder / DESIGN).is_file():
            fix = f"it has not come to its first look: go on with 'harness compare --resume {folder}'"
        raise InputError(f"{folder}: no {COMPARISON} in it; {fix}")
    document = read_object(folder / COMPARISON)
    if document.get("kind") != "comparison" or document.get("schema") != SCHEMA_VERSION:
        raise StorageError(
            f"{folder / COMPARISON}: {document.get('kind')!r} of schema {document.get('schema')!r}, this harness reads "
            f"'comparison' of schema {SCHEMA_VERSION}; use the version of harness that wrote it"
        )
    return document


def compare_content(document: Document, provenance: tuple[Block, ...] = ()) -> Content:
    """Return everything that the report of a comparison says."""
    task, families = document["task"], document["families"]
    return Content(
        title=f"Comparison on {task['name']}",
        subtitle=f"{str(task['kind']).capitalize()} · {task['direction']} {task['metric']} · "
        f"{plural(len(families), 'architecture')} · {plural(document['design']['pairs_used'], 'seed')} each",
        verdict=tuple(_verdict(document)),
        alerts=tuple(_alerts(document)),
        cards=tuple(_cards(document)),
        sections=tuple(section for section in _sections(document, provenance) if section.text or section.blocks),
    )


def _verdict(document: Document) -> Iterator[str]:
    families = {family["name"]: family for family in document["families"]}
    cheapest, best = families.get(document["cheapest_not_worse"]), ordered(document)[0]
    metric, pairs = document["task"]["metric"], ordered_pairs(document)
    if cheapest is None:
        yield "No verdict yet: the comparison has not come to its first look."
        return
    beaten = {pair["b"] for pair in pairs if pair["a"] == best["name"] and pair["verdict"] == Word.BETTER}
    if len(beaten) == len(families) - 1:
        yield f"{best['name']} is better than {_every(len(beaten))}: {_quality(best, metric)}."
    elif cheapest is best:
        yield f"{best['name']} has the best mean, and is {_CHEAPEST}: {_quality(best, metric)}."
    else:
        yield f"{cheapest['name']} is {_CHEAPEST} than the best: {_quality(cheapest, metric)}."
        yield f"The best mean is that of {best['name']}: {_quality(best, metric)}."
    if len(pairs) <= 3:
        for pair in pairs:
            yield f"{pair['a']} against {pair['b']}: {pair['verdict']} ({_difference(pair)})."
    else:
        counts = Counter(pair["verdict"] for pair in pairs)
        yield f"{len(pairs)} pairs: {', '.join(f'{count} {word}' for word, count in counts.items())}."


def _every(others: int) -> str:
    return "the other" if others == 1 else f"all {others} others"


def _quality(family: Mapping[str, Any], metric: str) -> str:
    cost = f"{whole(family['parameters'])} parameters, latency {number(family['latency_ms'])} ms"
    return f"test {metric} {score(family['mean'])} ({score(family['low'])} to {score(family['high'])}), {cost}"


def _difference(pair: Mapping[str, Any]) -> str:
    return (
        f"{signed(pair['difference'])}, interval {signed(pair['low'])} to {signed(pair['high'])}, "
        f"p {number(pair['p_adjusted'])} after {plural(pair['pairs_used'], 'pair')}"
    )


def _alerts(document: Document) -> Iterator[Alert]:
    again = sorted({opening["family"] for opening in document["openings"] if opening["reopened"]})
    if again:
        yield Alert(
            "reopened-test-set",
            f"The test samples had been opened before for {', '.join(again)}. Whatever was chosen since then may have "
            "been chosen by them, so these scores may be optimistic and the error rates of the verdict do not hold.",
        )
    if document["state"] != "complete":
        yield Alert(
            "not-complete",
            f"The comparison is {document['state']}: its design has not come to its end, so a pair that is not decided "
            "may still come to be.",
        )


def _cards(document: Document) -> Iterator[Card]:
    families, best = document["families"], ordered(document)[0]
    metric = document["task"]["metric"]
    if document["cheapest_not_worse"] is not None:
        yield Card("cheapest not worse", document["cheapest_not_worse"], "of those not detectably worse than the best")
    yield Card(f"best mean {metric}", score(best["mean"]), best["name"])
    decided = sum(pair["verdict"] not in (Word.UNDETECTED, Word.OPEN) for pair in document["pairs"])
    yield Card("pairs decided", f"{decided} of {len(document['pairs'])}", "better, or equivalent")
    looks = ", ".join(map(str, document["design"]["looks"]))
    yield Card("seeds each", str(document["design"]["pairs_used"]), f"looks at {looks}")
    spent = sum(known(family["device_seconds"]) for family in families)
    yield Card("device time of the searches", duration(spent), plural(sum(f["trials"] for f in families), "trial"))


def _sections(document: Document, provenance: tuple[Block, ...]) -> Iterator[Section]:
    task, design = document["task"], document["design"]
    yield Section(
        anchor="families",
        title="Architectures",
        text=(
            "Each was searched and chosen by its validation score, with the trials and the time that the table names. "
            f"Its frozen winner was then trained under {plural(design['pairs_used'], 'seed')} (split of the learning "
            f"samples, initial weights and order) and scored on {plural(task['test_samples'], 'test sample')}, all the "
            "same for each. Prices are medians over these trainings.",
        ),
        blocks=(family_table(document),),
    )
    yield Section(anchor="differences", title="Differences", text=(_intervals(design),), blocks=(pair_table(document),))
    yield Section(
        anchor="prices",
        title="Quality and price",
        text=(f"No other beats these in both quality and price: {', '.join(document['front'])}.",),
    )
    yield Section(anchor="seeds", title="Scores of every seed", blocks=(seed_table(document),))
    yield Section(anchor="winners", title="Frozen winners", blocks=tuple(map(winner_table, ordered(document))))
    yield Section(anchor="openings", title="Openings of the test set", blocks=(opening_table(document),))
    yield Section(anchor="design", title="Design", text=_design_text(document), blocks=(design_table(document),))
    notes = (*document["notes"], *(f"Not measured: {each}" for each in unmeasured(document)))
    yield Section(anchor="notes", title="Notes", blocks=(Points(notes),) if notes else ())
    yield Section(anchor="reproduce", title="How to reproduce", blocks=provenance)


def _intervals(design: Mapping[str, Any]) -> str:
    levels = ", ".join(
        f"{100 * (1 - threshold):.1f} % at {look} pairs"
        for look, threshold in zip(design["looks"], design["thresholds"], strict=True)
    )
    return (
        "Mean difference over pairs of the same seed, oriented so that above 0 the first is better; its BCa bootstrap "
        f"interval is that of the look which decided ({levels}), of this pair alone. The p-value is that of the exact "
        "sign-flip test with Holm's correction over all pairs, and decides at the threshold of the look. Both hold for "
        "these test samples: what other samples of the same source would change comes on top."
    )


def _design_text(document: Document) -> tuple[str, ...]:
    if document["design"]["seeds"] != "auto":
        return ("The number of seeds was fixed beforehand, and there is one look.",)
    return (
        "The looks were fixed beforehand. A look after every pair would call a false winner in a fifth of all "
        "comparisons of equals; these looks with these thresholds together do in at most 5 %, which was simulated.",
    )


def compare_charts(document: Document) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of a comparison, by the anchor of their section."""
    families, task = ordered(document), document["task"]
    maximize, margin = task["direction"] == "maximize", margin_of(document)
    note = "A line joins the scores of one seed. Beside them: the mean with its 95 % interval."
    far = "" if margin is None else f" Dotted: the margin of {margin.text}."
    drawn = [name for name in _DRAWN if any(family[name] is not None for family in families)]
    better = "More" if maximize else "Less"
    return {
        "families": (Chart("Score of every seed", seed_scores(families, task["metric"]), note, wide=True),),
        "differences": (
            Chart(
                "Differences",
                differences(ordered_pairs(document), task["metric"], None if margin is None else margin.value),
                f"Above 0: the first is better.{far}",
                wide=True,
            ),
        ),
        "prices": tuple(
            Chart(
                f"{task['metric']} and {PRICES[name]}",
                price(families, task["metric"], name, PRICES[name], maximize=maximize),
                f"Better: {better.lower()} {task['metric']}, less {PRICES[name]}.",
            )
            for name in drawn
        ),
    }


def _families(document: Document) -> pd.DataFrame:
    """Return the families as a table: the columns of ``comparison.json``, and one for the score under each seed."""
    families = document["families"]
    rows = [[*(family[name] for name in _CSV), *family["values"]] for family in families]
    columns = [*_CSV, *(f"seed_{seed}" for seed in families[0]["seeds"])]
    # As objects: a whole number beside one that is missing stays whole.
    return pd.DataFrame(rows, columns=columns, dtype=object)


def _provenance(folder: Path) -> tuple[Block, ...]:
    """Return the command, the versions and the space of a comparison, as far as its folder has them."""
    places = (folder / "environment.json", folder / "winners" / "environment.json")
    environment = next((read_object(place) for place in places if place.is_file()), {})
    asked, space = command(environment, "harness.compare"), folder / "space.yaml"
    return (
        *((asked,) if asked else ()),
        *((facts("Versions", versions(environment)),) if environment else ()),
        *((Code("yaml", space.read_text(encoding="utf-8")),) if space.is_file() else ()),
    )
