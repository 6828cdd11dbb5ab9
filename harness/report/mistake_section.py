"""The test samples that the final model got most wrong, as pictures or as rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.records import NAN
from harness.report.blocks import Block, Picture, Pictures, Table
from harness.report.findings import Findings
from harness.report.stats import MistakeStats
from harness.report.wording import clipped, number, percent, setting

_LONGEST = 24


def mistakes(findings: Findings) -> Iterator[Block]:
    """Yield pictures and a table of them; nothing where none were recorded."""
    test = findings.stats["test"]
    found = test.get("mistakes") if test else None
    if not found:
        return
    sure = all(each.get("confidence") is not None for each in found)
    caption = "Wrong with the highest confidence" if sure else "The largest errors"
    pictures = tuple(Picture(each["picture"], tuple(_lines(each))) for each in found if each.get("picture"))
    if pictures:
        yield Pictures(pictures, caption)
    yield mistake_table(found, f"{caption}, as a table" if pictures else caption, folded=bool(pictures))


def _lines(mistake: MistakeStats) -> Iterator[str]:
    """Yield what stands below a picture."""
    yield f"{_told(mistake['predicted'])} instead of {_told(mistake['target'])}"
    confidence = mistake.get("confidence")
    if confidence is not None:
        yield f"{percent(confidence)} sure"
    yield mistake.get("name") or f"sample {mistake['index']}"


def mistake_table(found: Sequence[MistakeStats], caption: str, *, folded: bool) -> Table:
    """Return the samples with what was predicted of them, and their columns."""
    features = list(dict.fromkeys(name for each in found for name in each.get("row", {})))
    rows: dict[str, list[str]] = {"sample": [str(each["index"]) for each in found]}
    if any(each.get("name") for each in found):
        rows["name"] = [clipped(each.get("name", ""), 40) for each in found]
    rows |= {"actual": [_told(each["target"]) for each in found]}
    rows |= {"predicted": [_told(each["predicted"]) for each in found]}
    if any(each.get("confidence") is not None for each in found):
        rows["confidence"] = [percent(each["confidence"] or NAN) for each in found]
    numeric = {"sample", "confidence"} | (set() if isinstance(found[0]["target"], str) else {"actual", "predicted"})
    # A column may be called as ours are.
    columns = (*rows, *(f"{clipped(name, _LONGEST)}" for name in features))
    cells = [*rows.values(), *([clipped(each.get("row", {}).get(name, ""), 40) for each in found] for name in features)]
    return Table(
        caption=caption,
        columns=columns,
        rows=tuple(zip(*cells, strict=True)),
        numeric=frozenset(numeric & set(rows)),
        folded=folded,
    )


def _told(answer: str | float) -> str:
    return clipped(answer, _LONGEST) if isinstance(answer, str) else setting(answer) if answer % 1 else number(answer)
