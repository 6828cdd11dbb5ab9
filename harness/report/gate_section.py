"""The chapter on predictions and limits: what was predicted, what came, and what was rejected."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.blocks import Section, Table
from harness.report.findings import Findings
from harness.report.gates import STAGES, TOLERANCE, Gates
from harness.report.wording import duration, number, percent, plural, whole
from harness.store.ledger import SAVED_BY_GATES, Ledger, share

_PREDICTIONS = {
    "latency_ms": "latency (ms)",
    "memory_mb": "memory, by the probe (MiB)",
    "static_memory_mb": "memory, by the sizes of tensors (MiB)",
    "epoch_s": "epoch (s)",
    "energy_j_per_sample": "energy (J/sample)",
}
_UNITS = {"latency_ms": " ms", "memory_mb": " MiB", "energy_j_per_sample": " J", "train_seconds": " s"}
_STAGE_COLUMNS = {"counted": "gate 0, counted", "probed": "gate 1, probed", "measured": "when measured"}


def gate_section(findings: Findings) -> Section:
    """Return the chapter; it is empty of a run without predictions or limits."""
    gates = findings.gates
    tables = []
    if len(gates.calibration):
        tables.append(calibration_table(gates))
    if len(gates.rejections):
        tables.append(rejection_table(gates))
    text = " ".join(_text(gates, findings.book)) if gates.predicted or tables else ""
    return Section(anchor="gates", title="Predicted and measured", text=(text,) if text else (), blocks=tuple(tables))


def calibration_table(gates: Gates) -> Table:
    """Return how well each prediction was met."""
    rows = tuple(
        (
            _PREDICTIONS[row["name"]],
            whole(row["trials"]),
            number(row["ratio"]),
            percent(row["error"]),
            percent(row["close"]),
        )
        for row in gates.calibration.to_dict("records")
    )
    columns = (
        "prediction",
        "trials",
        "measured / predicted, median",
        "error, median",
        f"within {100 * TOLERANCE:.0f} %",
    )
    return Table(caption="Predictions against measurements", columns=columns, rows=rows, numeric=frozenset(columns[1:]))


def rejection_table(gates: Gates) -> Table:
    """Return how many candidates each limit rejected, and where."""
    rows = tuple(
        (
            row["limit"],
            f"{number(row['at_most'])}{_UNITS.get(row['limit'], '')}",
            *(whole(row[count]) for count in ("trials", *STAGES)),
        )
        for row in gates.rejections.to_dict("records")
    )
    columns = ("limit", "at most", "trials over it", *(_STAGE_COLUMNS[stage] for stage in STAGES))
    return Table(caption="Candidates rejected by limits", columns=columns, rows=rows, numeric=frozenset(columns[1:]))


def _text(gates: Gates, book: Ledger) -> Iterator[str]:
    """Yield sentences on what gates cost and saved, and on what cannot be told."""
    if gates.predicted:
        yield f"Predicted before their training: {plural(gates.predicted, 'trial')}."
    if book.gates_s > 0:
        yield f"Gates took {duration(book.gates_s)}, {percent(share(book.gates_s, book.device_s))} of the device time."
    if book.rejected:
        yield f"Rejected before training: {plural(book.rejected, 'candidate')}{_saved(book)}."
    if gates.unexplained:
        yield f"{plural(gates.unexplained, 'infeasible trial')} broke no limit by a number that was recorded."
    if len(gates.calibration):
        yield "Error is the distance of a prediction from what was measured, as a share of what was measured."
    if len(gates.rejections):
        yield "A trial that breaks several limits counts in the row of each."


def _saved(book: Ledger) -> str:
    saved = book.rows.loc[book.rows["what"] == SAVED_BY_GATES, "device_s"]
    if saved.empty:
        return "; what training them would have cost was not predicted"
    rest = f" (not counted: {book.unpredicted:,} without a prediction)" if book.unpredicted else ""
    return f", which saved {duration(float(saved.iloc[0]))} of training, predicted and not measured{rest}"
