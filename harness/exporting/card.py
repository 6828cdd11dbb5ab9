"""The model card of a final model (Mitchell et al., 2019, arXiv:1810.03993), from the records of its run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.data.modalities.table_fitting import training_range
from harness.exporting.check import Checked
from harness.exporting.forms import RawInput
from harness.exporting.forms.table import MISSING_DATE
from harness.exporting.samples import Data
from harness.records import NAN
from harness.report.average_section import average_section
from harness.report.blocks import Alert, Code, Content, Points, Section, Table, facts
from harness.report.doubts import result_warnings
from harness.report.final_section import final_section
from harness.report.findings import Findings
from harness.report.markdown import render_markdown
from harness.report.parts_section import where
from harness.report.tables import chosen_table, score_table, search_table
from harness.report.verdict import verdict
from harness.report.wording import NOT_MEASURED, clipped, duration, number, percent, score, setting
from harness.study.final.saved import BEST, ENSEMBLE, FULL, Saved

_SHOWN = 20
"""Categories and classes that are written out."""
_LONGEST = 40
_FORMS = {
    "numbers": "Numbers come as numbers: no units, no decimal commas. NaN is a missing one, and becomes the median.",
    "dates": f"Dates come as microseconds since 1970 in UTC; {MISSING_DATE} (NumPy's NaT) is a missing one. The table "
    "has the first date of training.",
    "categories": "Categories come as text as it stands in the table, an empty one for a missing value; whatever "
    "training did not see is the unknown category. A program of torch takes codes: the places in the list of "
    "categories, which the file itself holds in full, counted from 1, and 0 for unknown.",
    "image": "Images come as they are, of this one size; they are standardised within the model.",
    "series": "Series come as they are, steps x channels, with NaN behind the end of one that is shorter (where no "
    "series of the data was, each needs all steps). Within a series nothing may be missing: fill it in by straight "
    "lines, as was done in training.",
    "window": "Windows are the steps before the first that is predicted, in the units of the data, steps x channels. "
    "A channel that is called `ahead` has the steps that end with the last that is predicted.",
    "tokens": "Texts come as the codes that the library tokenizers makes of them with the tokeniser in the file, of "
    "their first {characters:,} characters.",
    "wave": "Sounds come as samples from -1 to 1 at {rate:,} a second, one channel, with zeros behind the end.",
}


@dataclass(frozen=True)
class Told:
    """What a card is written from."""

    findings: Findings
    name: str
    """Of the model's folder."""
    saved: Saved
    preprocessing: Mapping[str, Any]
    inputs: Sequence[RawInput]
    data: Data
    checked: Checked | None
    """None where the file does not compute."""
    usage: str
    form: str
    versions: Mapping[str, str | None]
    """Of what the file was written with."""


def write_card(told: Told) -> str:
    """Return the card as Markdown; the same records give the same bytes."""
    task = told.findings.stats["task"]
    content = Content(
        title=f"Model card: {task['name']}",
        subtitle=f"{str(task['kind']).capitalize()} · {_architectures(told.saved)} · {told.form}",
        verdict=(*_whose(told), *(line for line in verdict(told.findings) if line)),
        alerts=tuple(Alert(warning.code, warning.text) for warning in result_warnings(told.findings.run)),
        cards=(),
        sections=tuple(_sections(told)),
    )
    return render_markdown(content)


def _sections(told: Told) -> Iterator[Section]:
    run, best = told.findings.run, told.findings.stats["best"]
    yield Section(anchor="use", title="How to use it", text=tuple(_use(told)), blocks=(Code("python", told.usage),))
    yield Section(anchor="predicts", title="What it predicts", blocks=(facts("", list(_predicts(told))),))
    yield _inputs(told)
    notes = tuple(run.stats["task"]["notes"])
    remarks = (Points(notes, "Remarks on the data"),) if notes else ()
    yield Section(anchor="data", title="Data", blocks=(facts("The data", list(_data(told))), *remarks))
    searched = (chosen_table(best),) if best and best["params"] else ()
    yield Section(anchor="found", title="How it was found", blocks=(search_table(run), *searched))
    yield average_section(told.findings) if told.name == ENSEMBLE else final_section(told.findings)
    scores = (score_table(told.findings),) if best else ()
    yield Section(anchor="scores", title="Scores", text=tuple(_scores(told)), blocks=scores)
    yield Section(anchor="limits", title="Limits", blocks=(Points(tuple(_limits(told))),))
    yield Section(anchor="cost", title="Cost and machine", blocks=(facts("", list(_cost(told))),))
    versions = [(name, setting(version)) for name, version in told.versions.items()]
    yield Section(anchor="versions", title="Written with", blocks=(facts("", versions),))
    yield Section(anchor="space", title="Space", blocks=(Code("yaml", run.space),))


def _architectures(saved: Saved) -> str:
    candidates = [member.candidate for member in saved.members] or [saved.candidate]
    return ", ".join(dict.fromkeys(candidate.architecture.name for candidate in candidates))


def _whose(told: Told) -> Iterator[str]:
    """Say of another model than the one that was scored whose scores the card shows."""
    if told.name == FULL:
        yield (
            f"This is {FULL}/, the winner trained on all samples, those of any test part too: it has no score of its "
            f"own. What follows is of {BEST}/, whose scores stand for it."
        )
    elif told.name == ENSEMBLE and told.findings.run.average is not None:
        yield (
            f"This is {ENSEMBLE}/, an average of trials, whose scores stand under 'Average of the best trials'. All "
            f"other scores and warnings are of {BEST}/."
        )
    elif told.name != BEST:
        yield f"The scores are those of the run's model {BEST}/, and this is its model {told.name}/."


def _use(told: Told) -> Iterator[str]:
    if told.checked is None:
        return
    yield (
        f"The file was compared with the run's own model in fp32 on {told.checked.samples:,} samples before it was "
        f"written: the largest difference is {told.checked.difference:.1e}"
        + (f", and the class differs in {told.checked.ties:,} whose probabilities tie." if told.checked.ties else ".")
    )
    if told.data.source is None:
        yield f"All of these samples were made up: {told.data.reason}"


def _predicts(told: Told) -> Iterator[tuple[str, str]]:
    names = told.saved.class_names
    yield "target", setting(told.preprocessing["target"].get("name"))
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield "classes", f"{len(names)}: {', '.join(clipped(name, _LONGEST) for name in names[:_SHOWN])}{more}"
    else:
        yield "values", "in the units of the target"
    if levels := told.preprocessing["target"].get("quantiles", ()):
        yield "quantiles", ", ".join(map(str, levels))
    if told.saved.threshold:
        rule = f"from a probability of {number(told.saved.threshold.value)} on (by {told.saved.threshold.by})"
        yield "second class", f"predicted {rule}"
    yield "models that are averaged", str(len(told.saved.members) or told.saved.ensemble)
    if told.saved.isotonic or told.saved.temperature != 1.0:
        by = "isotonic curves" if told.saved.isotonic else f"temperature {number(told.saved.temperature)}"
        yield "calibration", f"{by}, inside of the model"
    for candidate in [member.candidate for member in told.saved.members] or [told.saved.candidate]:
        yield "settings", json.dumps(candidate.as_dict()["architecture"], ensure_ascii=False)


def _inputs(told: Told) -> Section:
    ranges = {each["column"]: training_range(each) for each in told.preprocessing.get("numeric", ())}
    firsts = {each["column"]: each["first"] for each in told.preprocessing.get("dates", ())}
    rows = []
    for each in told.inputs:
        low, high = ranges.get(each.column, (NAN, NAN))
        seen = f"{number(low)} to {number(high)}" if each.kind == "numbers" else firsts.get(each.column, "")
        rows.append(
            (
                each.name,
                each.dtype,
                " x ".join(map(str, ("N", *each.shape))),
                _missing(told, each),
                seen or _texts(each),
            )
        )
    table = Table(
        caption="Inputs",
        columns=("input", "dtype", "shape", "missing in the data", "in training"),
        rows=tuple(rows),
        numeric=frozenset({"missing in the data"}),
    )
    return Section(anchor="inputs", title="Inputs", text=tuple(_forms(told)), blocks=(table,))


def _forms(told: Told) -> Iterator[str]:
    """Yield in what form the values of each kind of inputs come."""
    kinds = {each.kind: each for each in told.inputs}
    for kind, text in _FORMS.items():
        if kind in kinds:
            yield text.format(**kinds[kind].facts)


def _missing(told: Told, each: RawInput) -> str:
    """Return the share of missing values in all of the data, where these are at hand."""
    source = told.data.source
    if source is None or not isinstance(source.inputs, pd.DataFrame):
        return NOT_MEASURED
    return percent(float(source.inputs[each.column].isna().mean()))


def _texts(each: RawInput) -> str:
    shown = ", ".join(clipped(text, _LONGEST) for text in each.categories[:_SHOWN])
    more = len(each.categories) - _SHOWN
    return f"{len(each.categories)}: {shown}{f' and {more:,} more' if more > 0 else ''}" if shown else NOT_MEASURED


def _data(told: Told) -> Iterator[tuple[str, str]]:
    task = told.findings.stats["task"]
    yield "name", task["name"]
    yield "sha256", task["fingerprint"]
    for part, samples in (("training", task["train"]), ("validation", task["validation"]), ("test", task["test"])):
        yield f"{part} samples", f"{samples:,}"
    yield "licence of the data", "unknown"
    if told.data.source is None:
        yield "share of missing values", f"not measured: {told.data.reason}"


def _scores(told: Told) -> Iterator[str]:
    sure = told.findings.interval
    yield from _whose(told)
    yield "The winner was selected by its validation score, so that score is optimistic; the test score is not."
    if sure is not None:
        yield f"95 % interval of test {sure.metric}: {score(sure.low)} to {score(sure.high)} ({sure.method})."


def _limits(told: Told) -> Iterator[str]:
    if told.preprocessing["inputs"] == "table":
        yield (
            "A number further outside its training range than half of that range is taken as if it lay just there: the "
            "model has learnt nothing of what is beyond."
        )
        yield "A category that training did not see, and a missing one, are the same to the model: unknown."
    yield "The scores hold for samples drawn like those of the data; of other places or times nothing was measured."


def _cost(told: Told) -> Iterator[tuple[str, str]]:
    run, winner = told.findings.run, told.findings.winner
    for name, value in where({"hardware": run.hardware, "environment": {}}):
        if value != NOT_MEASURED:
            yield name, value
    yield "seconds of the run", duration(run.stats["elapsed_s"])
    yield "energy of the run", _energy(run.trials["energy_j"].sum(min_count=1), told)
    if winner is not None:
        yield "seconds of the winner's trial", duration(winner["seconds"])
        yield "energy of the winner's trial", _energy(winner["energy_j"], told)


def _energy(joules: float, told: Told) -> str:
    if math.isfinite(joules):
        return f"{number(joules)} J"
    winner = told.findings.winner
    reasons = json.loads(winner["reasons"]) if winner is not None else {}
    return f"not measured: {reasons.get('energy_j', 'no reason was recorded')}"
