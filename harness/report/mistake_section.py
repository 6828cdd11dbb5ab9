"""The chapter on the test samples that the final model got most wrong, as pictures or as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records import NAN
from harness.report.blocks import Block, Picture, Pictures, Section, Table
from harness.report.findings import Findings
from harness.report.stats import MistakeStats
from harness.report.wording import clipped, number, percent, plural, setting

_LONGEST = 24


def mistake_section(findings: Findings) -> Section:
    """Return the chapter; it is empty where no mistakes were recorded."""
    test = findings.stats["test"]
    found = test.get("mistakes") if test else None
    if not found:
        return Section(anchor="mistakes", title="Mistakes")
    classes = any(each["confidence"] is not None for each in found)
    what = "The wrong answers of the highest confidence" if classes else "The largest errors"
    text = f"{what}, of the final model on the test samples; {plural(len(found), 'sample')}."
    pictures = tuple(Picture(each["picture"], tuple(_lines(each))) for each in found if "picture" in each)
    table = mistake_table(found, folded=bool(pictures))
    blocks: tuple[Block, ...] = (Pictures(pictures, "Pictures"), table) if pictures else (table,)
    return Section(anchor="mistakes", title="Mistakes", text=(text,), blocks=blocks)


def _lines(mistake: MistakeStats) -> Iterator[str]:
    """Yield what stands below a picture."""
    yield f"{_told(mistake['predicted'])} instead of {_told(mistake['target'])}"
    confidence = mistake.get("confidence")
    if confidence is not None:
        yield f"{percent(confidence)} sure"
    yield mistake.get("name") or f"sample {mistake['index']}"


def mistake_table(found: Sequence[MistakeStats], *, folded: bool) -> Table:
    """Return the samples with what was predicted of them, and their columns."""
    features = list(dict.fromkeys(name for each in found for name in each.get("row", {})))
    rows: dict[str, list[str]] = {"sample": [str(each["index"]) for each in found]}
    if any(each.get("name") for each in found):
        rows["name"] = [clipped(each.get("name", ""), 40) for each in found]
    if any("text" in each for each in found):
        rows["text"] = [each.get("text", "") for each in found]
    rows |= {"actual": [_told(each["target"]) for each in found]}
    rows |= {"predicted": [_told(each["predicted"]) for each in found]}
    if any(each.get("confidence") is not None for each in found):
        rows["confidence"] = [percent(each["confidence"] or NAN) for each in found]
    numeric = {"sample", "confidence"} | (set() if isinstance(found[0]["target"], str) else {"actual", "predicted"})
    # A column may be called as ours are.
    columns = (*rows, *(f"{clipped(name, _LONGEST)}" for name in features))
    cells = [*rows.values(), *([clipped(each.get("row", {}).get(name, ""), 40) for each in found] for name in features)]
    return Table(
        caption="Samples",
        columns=columns,
        rows=tuple(zip(*cells, strict=True)),
        numeric=frozenset(numeric & set(rows)),
        folded=folded,
    )


def _told(answer: str | float | None) -> str:
    if isinstance(answer, str):
        return clipped(answer, _LONGEST)
    return setting(answer) if answer is not None and answer % 1 else number(answer)
