"""The chapter on the final model: what it was chosen from before the test set was opened, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.report.blocks import Section, Table
from harness.report.findings import Findings
from harness.report.stats import ComparedStats, Scores, TestStats, ThresholdStats
from harness.report.wording import duration, goal, number, score, whole

_RULE = (
    "Before the test set was opened, the recipe of the selected trial was rehearsed: retrained on the training data "
    "alone with another seed, and measured on validation. The best of its lengths is used for a refit on training and "
    "validation data unless its loss is worse than that of the kept weights by more than one standard error of the "
    "difference, sample by sample. The kept weights were selected on validation, so the comparison is biased in their "
    "favour."
)
_TRIALS = (
    "Before the test set was opened, trials were selected greedily and with replacement so that their average has the "
    "least loss on validation (Caruana et al. 2004). The average is used unless its loss is worse than that of the "
    "selected trial alone by more than one standard error of the difference, sample by sample. Its loss in the table "
    "is that of averages on the half of the validation samples that they were not selected on; that of the selected "
    "trial was selected on all of them, so the comparison is biased in its favour."
)
_AVERAGE = (
    "The average of several refits is used unless its loss is worse than the kept weights' by more than one standard "
    "error."
)

_BY: Mapping[str, str] = {
    "f1": "has the best F1 score of that class on validation",
    "youden": "has the largest sensitivity + specificity on validation (Youden's J)",
    "cost": "has the least cost on validation",
    "value": "was given",
}
_WHEN: Mapping[str, str] = {
    "before": "before the test set was opened",
    "after": "after the test scores were known, so they may have had a say in it",
}


def final_words(test: TestStats) -> str:
    """Say how the model that was scored on the test set came about."""
    if test["final"] == "ensemble":
        return f"averaged over {test.get('members', 0)} refits on training and validation data"
    if test["final"] == "trials":
        return f"averaged over {test.get('members', 0)} trials with the weights kept from the search"
    words = {"refit": "after a refit on training and validation data", "keep": "with the weights kept from the search"}
    return words.get(test["final"], f"final: {test['final']}")


def final_section(findings: Findings) -> Section:
    """Return the chapter; it is empty where nothing was compared and nothing is noted."""
    test = findings.stats["test"]
    if test is None:
        return Section(anchor="final", title="The final model")
    rows = test.get("decision") or []
    tables = [decision_table(rows, findings.metrics[0])] if rows else []
    threshold, text = test.get("threshold"), [*_rules(rows), *_said(test)]
    if threshold:
        text.append(threshold_words(threshold, findings.stats["task"]["classes"]))
        tables.append(threshold_table(threshold, test["metrics"]))
    return Section(anchor="final", title="The final model", text=tuple(text), blocks=tuple(tables))


def decision_table(rows: Sequence[ComparedStats], metric: str) -> Table:
    """Return what was compared on validation, and what was chosen."""
    cells = tuple(
        (
            row["what"],
            goal(metric, row["objective"]),
            score(row["loss"]),
            "isotonic" if row.get("isotonic") else number(row.get("temperature", 1.0)),
            row["against"],
            number(row["difference"]),
            number(row["standard_error"]),
            "yes" if row["chosen"] else "",
        )
        for row in rows
    )
    first = metric if metric != "loss" else "objective (loss)"
    columns = ("model", first, "loss", "temperature", "compared with", "difference", "standard error", "chosen")
    return Table(
        caption="Candidates for the final model, on validation",
        columns=columns,
        rows=cells,
        numeric=frozenset((first, "loss", "temperature", "difference", "standard error")),
    )


def threshold_words(threshold: ThresholdStats, classes: Sequence[str]) -> str:
    """Say from where on the second class is predicted, by what, and when that was settled."""
    rule = _BY[threshold["by"]]
    if "false_positive" in threshold and "false_negative" in threshold:
        costs = [number(threshold[name]) for name in ("false_positive", "false_negative")]
        rule += f" (a false positive costs {costs[0]}, a false negative {costs[1]})"
    return (
        f"Decision threshold: {classes[1]!r} is predicted from a probability of {number(threshold['value'])} on, which "
        f"{rule}. It was set {_WHEN[threshold['set']]}. Scores of the test data that follow from the predicted classes "
        "are at this threshold; the listed mistakes are those of the most probable class."
    )


def threshold_table(threshold: ThresholdStats, metrics: Scores) -> Table:
    """Return the test scores at the threshold beside those of the most probable class."""
    rows = tuple((name, score(metrics.get(name)), score(value)) for name, value in threshold["most_probable"].items())
    columns = ("metric", "at the threshold", "most probable class")
    return Table(caption="Test scores at the threshold", columns=columns, rows=rows, numeric=frozenset(columns[1:]))


def _rules(rows: Sequence[ComparedStats]) -> Iterator[str]:
    """Yield how it was decided."""
    if _of_trials(rows):
        yield _TRIALS
    elif rows:
        yield _RULE
    if any(row["members"] > 1 for row in rows) and not _of_trials(rows):
        yield _AVERAGE


def _of_trials(rows: Sequence[ComparedStats]) -> bool:
    """Tell whether what was compared is an average of trials, beside one of them alone."""
    return bool(rows) and rows[-1]["what"].endswith(" trials")


def _said(test: TestStats) -> Iterator[str]:
    """Yield what making the final model took, what using it takes where that is not the winner's cost, and the note."""
    if trials := test.get("trials"):
        listed = ", ".join(
            f"trial {each['trial']} ({100 * each['weight']:.0f} %, {each['architecture']})" for each in trials
        )
        yield f"Averaged: {listed}."
    of_trials = _of_trials(test.get("decision") or [])
    first, whose = ("selection", "its") if of_trials else ("rehearsal", "the rehearsal's")
    spent = {first: test.get("rehearsal_s") or 0.0, "refit": test.get("refit_s") or 0.0}
    parts = [f"{what} {duration(seconds)}" for what, seconds in spent.items() if seconds > 0.0]
    if parts:
        yield f"Time taken: {', '.join(parts)}."
    if figures := test.get("figures"):
        yield (
            f"The average of {test.get('members', 0)} models has {whole(figures.get('parameters'))} parameters "
            f"altogether and a latency of {number(figures.get('latency_p50_ms'))} ms (one sample, median)."
        )
    if test.get("isotonic"):
        yield (
            "Calibration: isotonic regression of each class against the rest (Zadrozny and Elkan 2002), fitted on "
            f"{whose} predictions of the validation data, takes the probabilities along a rising curve. The "
            "validation losses in the table are those of the samples that it was fitted on, so they are optimistic."
        )
    temperature = test.get("temperature", 1.0)
    if temperature != 1.0:
        effect = "softer" if temperature > 1.0 else "sharper"
        yield (
            f"Calibration: the logits are divided by {number(temperature)} (temperature scaling, fitted on {whose} "
            f"predictions of the validation data), which makes the probabilities {effect} and leaves the "
            "predicted classes as they are."
        )
    if note := test.get("note"):
        yield note
