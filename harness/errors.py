"""Every error that harness raises on purpose, each with the exit code its command ends with.

    HarnessError                 1
    ├── InputError               2   the user's request or files: space, task, option, data
    │   ├── SpecError                a space file, with file and key path
    │   └── DataError                a table, image, array or label that cannot be used
    ├── NoSuccessfulTrialError   3   a search ended without one complete trial
    ├── HardwareError            4   a device, driver or package that is not there
    └── StorageError             5   a run folder or study database that cannot be read or written

    TrialEnd                         not a failure of the program: how one trial ended early
    ├── Diverged
    ├── MetricFailed
    ├── OutOfMemory
    ├── TimedOut
    ├── Pruned
    ├── Infeasible
    │   └── TooFewSamples
    └── Interrupted

A message says what was wrong, where, and what to do about it, in one line.

>>> error = SpecError("space.yaml: budget.trails: unknown key; did you mean 'trials'?")
>>> isinstance(error, InputError), error.exit_code
(True, 2)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from harness.records import Outcome


class HarnessError(Exception):
    """Root of the errors shown to a user as one line, without a traceback."""

    exit_code: ClassVar[int] = 1


class InputError(HarnessError):
    """Something the user asked for or supplied cannot be used."""

    exit_code = 2


class SpecError(InputError):
    """A space file is wrong; the message starts with ``file: key.path:``."""


class DataError(InputError):
    """Data was found but cannot be used as it is."""


class NoSuccessfulTrialError(HarnessError):
    """A search ended without one complete trial."""

    exit_code = 3


class HardwareError(HarnessError):
    """A device, driver or optional package is missing or unusable."""

    exit_code = 4


class StorageError(HarnessError):
    """A run folder, report or study database cannot be read or written."""

    exit_code = 5


class TrialEnd(Exception):
    """A trial ended before its last epoch; ``str(end)`` is the reason that is recorded."""

    outcome: ClassVar[Outcome] = Outcome.CRASHED


class Diverged(TrialEnd):
    """A loss, gradient or parameter became NaN, infinite or exploded."""

    outcome = Outcome.DIVERGED


class MetricFailed(TrialEnd):
    """A metric of the user's own raised or returned no number, or the objective has no value on these samples."""


class OutOfMemory(TrialEnd):
    """Not even one sample fits in the memory of the device."""

    outcome = Outcome.OOM


class TimedOut(TrialEnd):
    """The time of the trial or of the run was used up."""

    outcome = Outcome.TIMEOUT


class Pruned(TrialEnd):
    """The pruner judged the trial not worth finishing."""

    outcome = Outcome.PRUNED


class Infeasible(TrialEnd):
    """A hard limit of the space is broken, or what the candidate asks for cannot be trained."""

    outcome = Outcome.INFEASIBLE


class TooFewSamples(Infeasible):
    """One sample went through a layer alone that takes the statistics of several."""


class Interrupted(TrialEnd):
    """The user or the system asked the run to stop."""

    outcome = Outcome.INTERRUPTED


def first_line(error: BaseException | str) -> str:
    """Return the first line of what an error says, the kind of error where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def described(error: BaseException) -> str:
    """Return the kind of an error with the first line of what it says, as ``ValueError: no digits``."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known name, else the list of known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
