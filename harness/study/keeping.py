"""What a run keeps of its trials beside the winner's weights: enough of the best to average them later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

import numpy as np
import torch

from harness.errors import StorageError
from harness.records import MIB, Outcome, TrialRecord
from harness.store import decode, encode
from harness.store.files import read_file
from harness.study.objectives import Objective
from harness.train.checkpoint import pack, unpack

MOST_TRIALS = 20
"""Complete trials, the best by the first objective, whose weights and predictions are kept."""
MOST_BYTES = 256 * MIB
"""What their files take at most; those of trials that may yet win are kept whatever they take."""
_OUTPUTS = "outputs"


def weights_file(trial: int) -> str:
    """Return the file of the run with a trial's weights, as the search left them."""
    return f"checkpoints/trial-{trial:06d}.safetensors"


def predictions_file(trial: int) -> str:
    """Return the file of the run with what a trial predicted of the validation samples."""
    return f"validation/trial-{trial:06d}.safetensors"


def best_trials(first: Objective, records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the best MOST_TRIALS complete trials that were trained, the best first, the earlier of equals first.

    It takes one look at each, since the search asks after every trial.
    """
    complete = (record for record in records if record.outcome is Outcome.COMPLETE and record.same_as is None)

    def rank(record: TrialRecord) -> tuple[float, int]:
        return (-record.values[0] if first.maximize else record.values[0], record.trial)

    return nsmallest(MOST_TRIALS, complete, rank)


def kept_trials(first: Objective, records: Iterable[TrialRecord], sizes: Mapping[int, int]) -> Iterator[int]:
    """Yield the trials whose files are kept: the best ones up to MOST_TRIALS, as long as they fit in MOST_BYTES.

    ``sizes`` are the bytes of each. The first one that does not fit ends the list, so that a further trial never brings
    one back that was let go of.
    """
    taken = 0
    for record in best_trials(first, records):
        taken += sizes.get(record.trial, 0)
        if taken > MOST_BYTES:
            return
        yield record.trial


@dataclass(frozen=True, eq=False)
class Kept:
    """A trial with what it predicted of the validation samples."""

    record: TrialRecord
    outputs: np.ndarray
    """float32 ``N x C`` probabilities, or values less the mean of those of training; of folds, those of each by
    the model that was trained without it, one fold after the other."""


def pack_predictions(record: TrialRecord, outputs: np.ndarray) -> bytes:
    """Return the content of a trial's file of predictions; nothing in it is a pickle."""
    return pack({_OUTPUTS: torch.from_numpy(outputs)}, {"record": encode(record, ())})


def read_predictions(run: Path) -> list[Kept]:
    """Return the trials of a run whose predictions and weights were kept, by number; none of an older run.

    Raises :class:`StorageError` where a file is damaged.
    """
    found = []
    for path in sorted(run.glob("validation/trial-*.safetensors")):
        try:
            tensors, facts = unpack(read_file(path, limit=None))
            record, _ = decode(facts["record"])
            outputs = tensors[_OUTPUTS].numpy()
        except (StorageError, LookupError) as error:
            said = str(error).partition(";")[0]
            raise StorageError(f"{path}: cannot be read ({said}); copy it again, or remove it to do without") from None
        if (run / weights_file(record.trial)).is_file():
            found.append(Kept(record, outputs))
    return found
