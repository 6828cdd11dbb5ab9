"""The small files of a run against each other: status, manifest, machine, environment, list, openings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.integrity.contents import Contents
from harness.integrity.findings import Finding, differences, differing
from harness.records import Outcome
from harness.store.loose import at, number
from harness.store.parts import ENVIRONMENT, HARDWARE, part_files
from harness.store.run import MANIFEST, STATUS
from harness.store.runs import OPENINGS, REPLICATES
from harness.text import plain

if TYPE_CHECKING:
    from harness.study.decide.fixed import Replicate

STATS = "stats.json"


def check_facts(contents: Contents) -> None:
    """Note where what the run says of itself is not the same everywhere."""
    contents.note(_manifest_findings(contents))
    contents.note(_part_findings(contents))
    contents.note(_opened(contents))


def _manifest_findings(contents: Contents) -> Iterator[Finding]:
    manifest, status = contents.object(MANIFEST) or {}, contents.object(STATUS) or {}
    told = {
        "state": (STATUS, status.get("state")),
        "seed": (STATS, at(contents.stats, "search", "seed")),
        "data_fingerprint": (STATS, at(contents.stats, "task", "fingerprint")),
        "environment": (ENVIRONMENT, contents.object(ENVIRONMENT)),
        "machine": (HARDWARE, contents.object(HARDWARE)),
    }
    for key, (file, expected) in told.items():
        if key in manifest and expected is not None:
            yield from differences(MANIFEST, file, expected, manifest[key], key)
    if contents.stats and "fingerprint" in status:
        expected = at(contents.stats, "task", "fingerprint")
        yield from differing(STATUS, f"fingerprint is not that of {STATS}", expected, status["fingerprint"])


def _part_findings(contents: Contents) -> Iterator[Finding]:
    """Yield where the last part is not what the run was made on, or a git diff is not what it was."""
    environment = contents.object(ENVIRONMENT)
    if files := part_files(contents.run):
        name = f"parts/{files[max(files)].name}"
        part = contents.object(name) or {}
        expected = {"hardware": contents.object(HARDWARE), "environment": _without_diff(environment)}
        found = {"hardware": part.get("hardware"), "environment": _without_diff(part.get("environment"))}
        yield from differences(name, f"{HARDWARE} and {ENVIRONMENT}", expected, found)
    diff = at(environment, "git", "diff")
    if isinstance(diff, str):
        digest = hashlib.sha256(diff.encode()).hexdigest()
        what = "git.diff is not that of git.diff_sha256"
        yield from differing(ENVIRONMENT, what, at(environment, "git", "diff_sha256"), digest)


def _without_diff(environment: Any) -> Any:
    """Return an environment without the diff, which an earlier part may have in its place."""
    git = at(environment, "git")
    if not isinstance(git, Mapping):
        return environment
    return {**environment, "git": {key: value for key, value in git.items() if key != "diff"}}


def _opened(contents: Contents) -> Iterator[Finding]:
    """Yield where the run has looked at the test samples more often than it counted."""
    looks = number(at(contents.stats, "test", "opened"))
    counted = number(at(contents.object(STATUS), "test_opened"))
    if looks > counted:
        yield Finding(STATUS, f"test_opened is less than in {STATS}", f"at least {looks:.0f}", f"{counted:.0f}")


def check_list(contents: Contents) -> None:
    """Note where the trials of a list are not what was asked for."""
    from harness.study.replicates import read_replicates

    listed = contents.read(REPLICATES, lambda path: read_replicates(path.parent))
    if listed is not None and (trials := contents.trials) is not None:
        contents.note(_asked_findings(listed, trials))
        contents.note(_spread_findings(at(contents.stats, "replicates", "validation"), len(listed), trials))


def check_openings(contents: Contents) -> None:
    """Note where the test samples were opened for other trials than are in the table."""
    if (trials := contents.trials) is not None:
        contents.note(_opening_findings(at(contents.object(OPENINGS), "openings") or (), trials))


def _asked_findings(listed: Sequence[Replicate], trials: pd.DataFrame) -> Iterator[Finding]:
    for row in trials[["trial", "params", "seed"]].to_dict("records"):
        asked = listed[row["trial"]]
        expected = {"params": dict(asked.params), "seed": asked.seed}
        found = {"params": json.loads(row["params"]), "seed": row["seed"]}
        yield from differences("trials.parquet", REPLICATES, expected, found, f"trial {row['trial']}")


def _spread_findings(told: Any, count: int, trials: pd.DataFrame) -> Iterator[Finding]:
    """Yield where mean and deviation are not those of the trials; they are told of one candidate only."""
    from harness.study.replicates import spread

    if not isinstance(told, dict) or not told:
        return
    complete = trials[trials["outcome"] == Outcome.COMPLETE]
    columns = {f"validation_{metric}": metric for metric in told}
    rows = complete[list(columns)].rename(columns=columns).to_dict("records")
    measured = dict(zip(complete["trial"].tolist(), rows, strict=True))
    again = spread(range(count), measured)
    yield from differences(STATS, "trials.parquet", plain(again), told, "replicates.validation")


def _opening_findings(openings: Iterable[Any], trials: pd.DataFrame) -> Iterator[Finding]:
    known = dict(zip(trials["trial"].tolist(), trials["seed"].tolist(), strict=True))
    for opening in openings:
        seeds = [known[trial] for trial in opening["trials"] if trial in known]
        yield from differing(OPENINGS, "its seeds are not those of its trials", seeds, opening["seeds"])
