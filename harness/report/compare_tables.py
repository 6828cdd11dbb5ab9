"""The tables of a comparison of architectures: the content of ``comparison.json`` in, text cells out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.problems import problems
from harness.records import NAN
from harness.report.blocks import Table, facts
from harness.report.wording import NOT_MEASURED, duration, flattened, number, score, whole
from harness.statistics import Margin

Document = Mapping[str, Any]

PRICES = {
    "parameters": "parameters",
    "latency_ms": "latency (ms)",
    "throughput_per_s": "throughput (samples/s)",
    "memory_mib": "memory (MiB)",
    "train_seconds": "training (s)",
    "energy_j": "energy (J)",
}
"""What a family costs, with its titles."""


def known(value: float | None) -> float:
    """Return a figure of JSON, where null is NaN."""
    return NAN if value is None else float(value)


def ordered(document: Document) -> list[Mapping[str, Any]]:
    """Return the families, the best mean first."""
    sign = -1.0 if document["task"]["direction"] == "maximize" else 1.0
    return sorted(document["families"], key=lambda family: sign * known(family["mean"]))


def ordered_pairs(document: Document) -> list[Mapping[str, Any]]:
    """Return what is said of every two families, those of the best mean first."""
    place = {family["name"]: rank for rank, family in enumerate(ordered(document))}
    return sorted(document["pairs"], key=lambda pair: (place[pair["a"]], place[pair["b"]]))


def margin_of(document: Document) -> Margin | None:
    """Return the margin of equivalence in the metric's units; None where none was asked for."""
    asked, task = document["design"]["margin"], document["task"]
    if asked is None:
        return None
    metrics = problems[task["kind"]].metrics if task["kind"] in problems else ()
    share = any(metric.share for metric in metrics if metric.name == task["metric"])
    return Margin.asked(asked, share=share, unit=task["metric"])


def signed(value: float | None) -> str:
    """Write a difference with its sign, with four decimals unless it is very small or large."""
    if value is None or not 5e-5 <= abs(value) < 1000:
        return score(value)
    return f"{value:+.4f}"


def family_table(document: Document) -> Table:
    """Return the architectures, the best mean first, with the prices that any of them has."""
    families = ordered(document)
    rows: dict[str, list[str]] = {"architecture": [family["name"] for family in families]}
    rows[f"test {document['task']['metric']}"] = [score(family["mean"]) for family in families]
    rows["95 % interval"] = [f"{score(family['low'])} to {score(family['high'])}" for family in families]
    for name, title in PRICES.items():
        if any(family[name] is not None for family in families):
            rows[title] = [(whole if name == "parameters" else number)(family[name]) for family in families]
    rows["trials"] = [f"{family['complete']:,} of {family['trials']:,}" for family in families]
    rows["search"] = [duration(family["device_seconds"]) for family in families]
    numeric = frozenset(rows) - {"architecture"}
    front = set(document["front"])
    chosen = document["cheapest_not_worse"]
    rows["remark"] = [
        "; ".join(
            word
            for word, holds in (
                ("the cheapest that is not detectably worse", family["name"] == chosen),
                ("on the Pareto front", family["name"] in front),
            )
            if holds
        )
        for family in families
    ]
    return table("Architectures, the best mean first", rows, numeric)


def table(caption: str, rows: Mapping[str, Sequence[str]], numeric: frozenset[str], *, folded: bool = False) -> Table:
    """Return a table whose columns are given by their names."""
    cells = tuple(zip(*rows.values(), strict=True))
    return Table(caption=caption, columns=tuple(rows), rows=cells, numeric=numeric, folded=folded)


def unmeasured(document: Document) -> list[str]:
    """Return why figures are missing, each reason once."""
    missing: dict[str, list[str]] = {}
    for family in document["families"]:
        for name, reason in (family.get("reasons") or {}).items():
            missing.setdefault(f"{PRICES.get(name, name)}: {reason}", []).append(family["name"])
    return [f"{what} ({', '.join(names)})" for what, names in missing.items()]


def pair_table(document: Document) -> Table:
    """Return what is said of every two architectures, and by which figures."""
    pairs = ordered_pairs(document)
    rows = {
        "pair": [f"{pair['a']} minus {pair['b']}" for pair in pairs],
        "verdict": [pair["verdict"] for pair in pairs],
        "difference": [signed(pair["difference"]) for pair in pairs],
        "interval": [f"{signed(pair['low'])} to {signed(pair['high'])}" for pair in pairs],
        "p": [number(pair["p"]) for pair in pairs],
        "p, adjusted": [number(pair["p_adjusted"]) for pair in pairs],
        "P(first > second)": [number(pair["p_better"]) for pair in pairs],
        "pairs of seeds": [str(pair["pairs_used"]) for pair in pairs],
    }
    return table("Every two architectures", rows, frozenset(rows) - {"pair", "verdict"})


def seed_table(document: Document) -> Table:
    """Return the test scores, one row a seed."""
    families = ordered(document)
    rows = {"seed": [str(seed) for seed in families[0]["seeds"]]}
    rows |= {family["name"]: [score(value) for value in family["values"]] for family in families}
    metric = document["task"]["metric"]
    return table(f"Test {metric} under every seed", rows, frozenset(rows) - {"seed"}, folded=True)


def winner_table(family: Mapping[str, Any]) -> Table:
    """Return what was chosen for an architecture, and by which run."""
    pairs = [("search", f"trial {family['trial']} of {family['run']}"), *flattened(family["params"])]
    return facts(family["name"], pairs, folded=True)


def opening_table(document: Document) -> Table:
    """Return the log of the openings of the test samples."""
    openings = document["openings"]
    rows = {
        "architecture": [opening["family"] for opening in openings],
        "when": [str(opening["when"]) for opening in openings],
        "seeds": [str(len(opening["seeds"])) for opening in openings],
        "reopened": ["yes" if opening["reopened"] else "no" for opening in openings],
    }
    return table("When the test samples were opened, and for whom", rows, frozenset({"seeds"}))


def design_table(document: Document) -> Table:
    """Return when was looked, and what decided."""
    design, task, margin = document["design"], document["task"], margin_of(document)
    pairs = [
        ("looks, in pairs of seeds", ", ".join(map(str, design["looks"]))),
        ("thresholds of the adjusted p-value", ", ".join(f"{threshold:g}" for threshold in design["thresholds"])),
        ("pairs used", str(design["pairs_used"])),
        ("margin of equivalence", NOT_MEASURED if margin is None else margin.text),
        ("false winners among equals, at most", f"{100 * design['alpha']:g} %"),
        ("seed", str(design["seed"])),
        ("test samples", whole(task["test_samples"])),
        ("data fingerprint", str(task["fingerprint"])),
    ]
    return facts("The design", pairs)
