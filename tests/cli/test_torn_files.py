"""Every file of a run, cut off anywhere: the run is repaired or refused by the name of the file, never worse."""

from __future__ import annotations

import contextlib
import fnmatch
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import harness
from harness.errors import HarnessError
from harness.records import Outcome, Plan, TrialRecord
from harness.report import RunFiles, load_run
from harness.store import RunFolder, check_run, part_files, read_json, read_status
from harness.store.files import read_object, read_parquet
from harness.store.run import changed_files, refresh_manifest
from harness.study import Observer, Request, open_search, spec_to_resume, telemetry
from harness.study.final import Finisher
from harness.study.stop import Stop

pytestmark = pytest.mark.slow

SPACE = """
task: digits
objective: accuracy
budget: {trials: 2, epochs: 2}
search: {pruner: none, baselines: false, checks: false}
training: {final: keep}
space:
  architecture: {mlp: {depth: [0, 1], width: {int: [8, 16]}}}
  optimizer: {sgd: {lr: {float: [1e-2, 0.3], log: true}}}
"""

REBUILT = ("hardware.json", "environment.json", "splits.parquet", "trials.*", "epochs.parquet", "telemetry.parquet")
REBUILT += ("report.*", "manifest.json")
"""What resuming writes anew without a look at it."""
FINAL = ("best/*", "predictions.parquet")
"""What resuming writes anew when it is no longer what the run was sealed with."""
RECORD = ("choices/*",)
"""What is measured anew where it is damaged; tests/plan/test_memory.py covers it."""
UNREAD = (".lock", "logs/*")
"""What nobody reads back."""
ALONE = ("telemetry/*.parquet", "checkpoints/trial-*")
"""What has a test of its own below."""
ELSEWHERE = ("study.db", "checkpoints/resume-*", "validation/trial-*")
"""What the tests of the database, of mid-trial checkpoints and of kept predictions cover."""


def resumed_status(run: Path) -> Any:
    check_run(run)
    return read_status(run)


def resumed_space(run: Path) -> str:
    return spec_to_resume(run, None, []).model_dump_json()


def loaded(run: Path) -> dict[str, Any]:
    """Return what a report is made of, as plain data."""
    found = load_run(run)
    frames = {field.name: getattr(found, field.name) for field in fields(RunFiles)}
    return {name: value.to_csv() if isinstance(value, pd.DataFrame) else value for name, value in frames.items()}


def sealed(run: Path) -> Any:
    refresh_manifest(run, ["report.md"])
    return read_json(run / "manifest.json")


def framed(name: str) -> Callable[[Path], str]:
    """Return what reads one Parquet file as ``load_run`` does, without all the others."""
    return lambda run: read_parquet(run / name).to_csv()


RESUMING = {
    "status.json": resumed_status,
    "space.yaml": resumed_space,
    "stats.json": lambda run: read_json(run / "stats.json"),
}
"""What resuming reads of a run, and how."""

REPORTING = {
    "status.json": resumed_status,
    "stats.json": loaded,
    "hardware.json": loaded,
    "environment.json": loaded,
    "parts/0001.json": lambda run: [read_object(file) for file in part_files(run).values()],
    "trials.parquet": framed("trials.parquet"),
    "epochs.parquet": framed("epochs.parquet"),
    "telemetry.parquet": framed("telemetry.parquet"),
    "predictions.parquet": framed("predictions.parquet"),
    "manifest.json": sealed,
}
"""What a report reads of a run, and how."""
CASES = [*(("resuming", *case) for case in RESUMING.items()), *(("reporting", *case) for case in REPORTING.items())]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small run, as it was left."""
    folder = tmp_path_factory.mktemp("torn")
    (folder / "space.yaml").write_text(SPACE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # no repository, whose uncommitted changes would be a part of the run
        return harness.search("space.yaml", out=folder / "runs", device="cpu", workers=0).run


@pytest.fixture
def run(made, tmp_path):
    """A copy of it to spoil."""
    return Path(shutil.copytree(made, tmp_path / made.name))


def cuts(size: int) -> list[int]:
    """Return after how many bytes a file of this size is cut off."""
    if size <= 512:
        return list(range(size))
    return sorted({*range(64), *range(0, size, 61), *range(size - 64, size)})


@contextlib.contextmanager
def each_cut(file: Path) -> Iterator[Iterator[int]]:
    """Cut a file off after each of :func:`cuts`, and leave it whole again."""
    whole = file.read_bytes()

    def cut() -> Iterator[int]:
        for size in cuts(len(whole)):
            file.write_bytes(whole[:size])
            yield size

    yield cut()
    file.write_bytes(whole)


def names(run: Path) -> list[str]:
    return sorted(file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file())


def test_every_file_of_a_run_is_read_here_rebuilt_or_read_by_nobody(made):
    found = names(made)
    patterns = {*REBUILT, *FINAL, *RECORD, *UNREAD, *ALONE, *ELSEWHERE, *RESUMING, *REPORTING}
    assert not [name for name in found if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    for pattern in {*REBUILT, *FINAL, *RECORD, *ALONE, *RESUMING, *REPORTING}:
        assert fnmatch.filter(found, pattern), f"{pattern}: nothing of this name is left to test"


@pytest.mark.parametrize(("name", "read"), [case[1:] for case in CASES], ids=[" ".join(case[:2]) for case in CASES])
def test_a_torn_file_is_the_same_or_named(name, read, run):
    if name != "manifest.json":
        (run / "manifest.json").unlink()  # without the digests, so that the file alone must tell
    expected = read(run)
    refused = 0
    with each_cut(run / name) as positions:
        for size in positions:
            try:
                found = read(run)
            except HarnessError as error:
                refused += 1
                message = str(error)
            else:
                message = name if found == expected else f"read as something else when cut off after {size} bytes"
            assert name in message
            assert "\n" not in message
    assert refused >= len(cuts((run / name).stat().st_size)) - 2, "only a last line break may be missed"


@pytest.mark.parametrize("name", ["space.yaml", "trials.parquet", "hardware.json"])
def test_a_sealed_run_is_not_reported_on_with_anything_torn(name, run):
    whole = (run / name).read_bytes()
    for size in cuts(len(whole))[::17]:
        (run / name).write_bytes(whole[:size])
        with pytest.raises(HarnessError, match=name):
            load_run(run)


def test_a_torn_part_of_the_telemetry_is_left_out_and_the_rest_kept(run):
    parts = sorted((run / "telemetry").glob("*.parquet"))
    assert len(parts) >= 2
    rest = pd.concat([pd.read_parquet(part) for part in parts[1:]], ignore_index=True)
    folder = RunFolder.open(run)
    try:
        telemetry.gather(folder)
        assert len(pd.read_parquet(run / "telemetry.parquet")) > len(rest)
        with each_cut(parts[0]) as positions:
            for _ in positions:
                telemetry.gather(folder)
                pd.testing.assert_frame_equal(pd.read_parquet(run / "telemetry.parquet"), rest)
    finally:
        folder.close()


def test_a_part_of_the_telemetry_with_other_columns_is_left_out(run):
    before = pd.read_parquet(run / "telemetry.parquet")
    pd.DataFrame({"time_unix_s": ["soon"], "more": [1]}).to_parquet(run / "telemetry" / "zz.parquet")
    folder = RunFolder.open(run)
    try:
        telemetry.gather(folder)
    finally:
        folder.close()
    pd.testing.assert_frame_equal(pd.read_parquet(run / "telemetry.parquet"), before)


def test_torn_weights_of_the_winner_are_named(run):
    spec = spec_to_resume(run, None, [])
    opened = open_search(Request(spec=spec, device="cpu", resume=run))
    best = read_json(run / "best" / "candidate.json")
    made_of = {"candidate": best["candidate"], "params": {}, "outcome": Outcome.COMPLETE, "reason": "x"}
    winner = TrialRecord(trial=best["trial"], plan=cpu_plan(), best_epoch=1, epochs=2, **made_of)
    folder = RunFolder.open(run)
    finisher = Finisher(opened.job, opened.dataset, folder, winner, Stop(), Observer())
    try:
        expected = finisher.finish(lambda: 1).metrics
        with each_cut(run / "checkpoints" / f"trial-{winner.trial:06d}.safetensors") as positions:
            for _ in positions:
                with pytest.raises(HarnessError, match=f"trial-{winner.trial:06d}"):
                    finisher.finish(lambda: pytest.fail("the test samples were looked at"))
        assert finisher.finish(lambda: 1).metrics == expected
    finally:
        folder.close()


def cpu_plan() -> Plan:
    reasons = {"precision_reason": "", "layout_reason": "", "data_reason": ""}
    plain = {"precision": "fp32", "precision_ratio": 1.0, "layout": "contiguous", "data_path": "resident"}
    return Plan(device="cpu", batch_size=64, threads=torch.get_num_threads(), **plain, **reasons)


def test_resuming_rebuilds_whatever_follows_from_the_rest(run, harness):
    before = {name: (run / name).read_bytes() for name in names(run)}
    spoiled = [name for name in before if any(fnmatch.fnmatch(name, pattern) for pattern in REBUILT)]
    for name in spoiled:
        (run / name).write_bytes(before[name][: len(before[name]) // 2])
    (run / "manifest.json").unlink()
    done = harness("search", "--resume", run, "--json")
    assert done.code == 0, done.err
    assert set(names(run)) == {*before, "parts/0002.json"}
    for name in spoiled:
        if name.startswith(("trials", "epochs", "telemetry", "splits")):
            assert (run / name).read_bytes() == before[name], name
    assert changed_files(run) == []
    assert harness("report", run).code == 0


@pytest.mark.parametrize("name", ["best/model.safetensors", "best/candidate.json", "predictions.parquet"])
def test_a_winner_whose_files_are_torn_is_scored_again(name, run, harness):
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: len(whole) // 2])
    done = harness("search", "--resume", run, "--json")
    assert done.code == 0, done.err
    assert (run / name).read_bytes() == whole
    assert read_json(run / "stats.json")["test"]["opened"] == 2, "nothing hides a second look at the test samples"


def test_a_torn_file_ends_a_report_with_five_and_its_name(run, harness):
    for name in ("trials.parquet", "stats.json", "space.yaml", "status.json", "manifest.json"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole[:-40])
        report = (run / "report.md").read_bytes()
        done = harness("report", run)
        assert (done.code, done.out) == (5, ""), name
        assert name in done.err
        assert done.err.count("\n") == 1
        assert (run / "report.md").read_bytes() == report
        (run / name).write_bytes(whole)
    assert harness("report", run).code == 0
