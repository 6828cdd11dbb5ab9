"""The report of one set of architectures over several tasks, from a comparison on each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from harness.errors import InputError
from harness.report.blocks import Content, Section, Table
from harness.report.charts import Chart
from harness.report.compare_page import read_comparison
from harness.report.compare_plots import critical_difference
from harness.report.compare_tables import Document, known, margin_of, table
from harness.report.html import render_html
from harness.report.markdown import render_markdown
from harness.report.pages import write_pages
from harness.report.wording import number, percent, plural, score
from harness.statistics import Ranks, critical_differences, interquartile_mean, signed_rank


def write_tasks(folders: Sequence[Path], out: Path) -> list[Path]:
    """Write ``tasks.md`` and ``tasks.html`` into the folder ``out``; raises as :func:`build_tasks` does."""
    return write_pages(build_tasks(folders), out)


def build_tasks(folders: Sequence[Path]) -> dict[str, str]:
    """Return the texts of ``tasks.md`` and ``tasks.html`` for comparisons of the same architectures on several tasks.

    Raises :class:`InputError` for fewer than two tasks, a task that comes twice, or fewer than three architectures in
    common, and as :func:`~harness.report.compare_page.read_comparison` and
    :func:`~harness.statistics.critical_differences` do.
    """
    documents = [read_comparison(folder) for folder in folders]
    scores = oriented_means(documents)
    ranks = critical_differences(scores)
    content = Content(
        title=f"Comparison over {len(documents)} tasks",
        subtitle=f"{plural(len(scores), 'architecture')} · {', '.join(each['task']['name'] for each in documents)}",
        verdict=tuple(_verdict(ranks)),
        cards=(),
        sections=tuple(_sections(documents, ranks)),
    )
    note = "A grey bar lies over those that cannot be told apart."
    diagram = Chart("Critical-difference diagram", critical_difference(ranks), note, wide=True)
    return {"tasks.md": render_markdown(content), "tasks.html": render_html(content, {"ranks": (diagram,)})}


def oriented_means(documents: Sequence[Document]) -> dict[str, list[float]]:
    """Return by architecture its mean score on each task, more is better; raises as :func:`build_tasks` does."""
    tasks = [each["task"]["fingerprint"] for each in documents]
    if len(tasks) < 2:
        raise InputError(f"{plural(len(tasks), 'comparison')}: name comparisons on two tasks or more")
    if len(set(tasks)) < len(tasks):
        twice = next(each["task"]["name"] for each in documents if tasks.count(each["task"]["fingerprint"]) > 1)
        raise InputError(f"two comparisons are of the same data ({twice}): name one for each task")
    common = [name for name in _by_name(documents[0]) if all(name in _by_name(each) for each in documents)]
    if len(common) < 3:
        raise InputError(
            f"the comparisons have {plural(len(common), 'architecture')} in common ({', '.join(common)}): name "
            "comparisons with three or more"
        )
    return {name: [_sign(each) * _by_name(each)[name] for each in documents] for name in common}


def _by_name(document: Document) -> dict[str, float]:
    return {family["name"]: known(family["mean"]) for family in document["families"]}


def _sign(document: Document) -> float:
    return 1.0 if document["task"]["direction"] == "maximize" else -1.0


def _verdict(ranks: Ranks) -> Iterator[str]:
    best = next(iter(ranks.ranks))
    yield f"{best} has the best mean rank, {ranks.ranks[best]:.2f} of {len(ranks.ranks)} over {ranks.tasks} tasks."
    alike = ranks.p > 0.05
    yield f"Friedman's test: {'no difference detected' if alike else 'ranks differ'} (p {number(ranks.p)})."


def _sections(documents: Sequence[Document], ranks: Ranks) -> Iterator[Section]:
    yield Section(
        anchor="ranks",
        title="Ranks",
        text=(
            "Mean ranks of the mean test scores; two that are closer than the critical difference "
            f"({number(ranks.critical_difference)}, Nemenyi's test at 5 %) cannot be told apart. It speaks for other "
            "tasks only as far as these were drawn like them.",
        ),
        blocks=(_rank_table(documents, ranks),),
    )
    yield Section(anchor="tasks", title="Scores on every task", blocks=(_task_table(documents, ranks),))
    margins = [margin_of(each) for each in documents]
    metrics = {each["task"]["metric"] for each in documents}
    if len(metrics) == 1 and None not in margins and len(set(margins)) == 1 and margins[0] is not None:
        text = (
            f"How probable it is that over such tasks the first is better, that both are within {margins[0].text}, or "
            "that the second is better: Bayesian signed-rank test (Benavoli et al., 2017)."
        )
        block = _agreement_table(documents, ranks, margins[0].value)
        yield Section(anchor="pairs", title="Practical equivalence", text=(text,), blocks=(block,))


def _rank_table(documents: Sequence[Document], ranks: Ranks) -> Table:
    rows = {
        "architecture": list(ranks.ranks),
        "mean rank": [f"{rank:.2f}" for rank in ranks.ranks.values()],
    }
    if len({each["task"]["metric"] for each in documents}) == 1:
        found = [interquartile_mean(_seed_scores(documents, name)) for name in ranks.ranks]
        rows["interquartile mean"] = [score(each.value) for each in found]
        rows["95 % interval"] = [f"{score(each.low)} to {score(each.high)}" for each in found]
    return table("Mean ranks, the best first", rows, frozenset(rows) - {"architecture"})


def _seed_scores(documents: Sequence[Document], name: str) -> list[list[float]]:
    """Return the scores of one architecture on every task, one a seed."""
    return [next(family["values"] for family in each["families"] if family["name"] == name) for each in documents]


def _task_table(documents: Sequence[Document], ranks: Ranks) -> Table:
    rows = {
        "task": [each["task"]["name"] for each in documents],
        "metric": [each["task"]["metric"] for each in documents],
    }
    rows |= {name: [score(_by_name(each)[name]) for each in documents] for name in ranks.ranks}
    return table("Mean test scores", rows, frozenset(rows) - {"task", "metric"})


def _agreement_table(documents: Sequence[Document], ranks: Ranks, rope: float) -> Table:
    scores = oriented_means(documents)
    pairs = list(combinations(ranks.ranks, 2))
    found = [signed_rank(scores[a], scores[b], rope) for a, b in pairs]
    rows = {
        "pair": [f"{a} and {b}" for a, b in pairs],
        "first better": [percent(each.a) for each in found],
        "equivalent": [percent(each.rope) for each in found],
        "second better": [percent(each.b) for each in found],
    }
    return table("Every two architectures", rows, frozenset(rows) - {"pair"})
