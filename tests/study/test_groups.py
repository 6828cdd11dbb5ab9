"""Candidates that are trained as one program: each is judged, stored and metered as a trial of its own."""

import importlib
import os
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Figures, Outcome, TaskKind, TrialRecord
from harness.spec import parse_spec
from harness.store import RunFolder, StudyDatabase, trials_frame
from harness.store.ledger import ledger
from harness.study.archive import Archive
from harness.study.contract import Assignment, Evaluation, Grouping
from harness.study.coordinator import Coordinator
from harness.study.decide.decisions import SampledTrials
from harness.study.execute.inprocess import InProcess
from harness.study.execute.packing import Packing
from harness.study.execute.processes import LocalProcesses
from harness.study.execute.task import Task
from harness.study.groups import Groups, Running
from harness.study.job import Job
from harness.study.objectives import resolve_objectives
from harness.study.observer import Observer
from harness.study.stop import Stop
from harness.study.trial.share import Share

SPACE = """
task: digits
objective: accuracy
budget: {trials: 10, epochs: 6, retries: 0}
search: {pruner: none, sampler: random}
space:
  architecture: {mlp: {depth: {int: [1, 2]}, width: 8}}
  optimizer: {sgd: {lr: {float: [0.1, 1.0]}}}
"""
SPEC = parse_spec(SPACE, origin="x")
DEPTH = "architecture.mlp.depth"
TOGETHER = Grouping(4, lambda _: "toy")
BY_DEPTH = Grouping(4, lambda assignment: assignment.params[DEPTH])


@pytest.fixture(scope="module")
def toy():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        yield importlib.import_module("toy_program")


class PruneOne(SampledTrials):
    """Prunes trial 2 after its third epoch."""

    prunes = True

    def should_prune(self, stretch, report, epochs):
        del report
        return "not good enough" if stretch.trial == 2 and len(epochs) == 3 else ""


class Left(Stop):
    """A time budget of which as much is always left."""

    @property
    def left_s(self):
        return self.end_s - self.started_s


class StopAfter(Observer):
    def __init__(self, stop, epochs):
        self.stop, self.epochs = stop, epochs

    def epoch_ended(self, _epoch):
        self.epochs -= 1
        if self.epochs == 0:
            self.stop.request(2)


def search(path, workshop, *, grouping=BY_DEPTH, source=SampledTrials, stop=None, watch=None, executor=None, total=10):
    """Search in ``path``, or go on there, and return the records by trial."""
    stop = stop or Stop()
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path.parent, "x", path)
    if not (path / "status.json").exists():
        folder.write("status.json", "{}")
    objectives = resolve_objectives(SPEC, TaskKind.CLASSIFICATION)
    shape = SimpleNamespace(kind="classification")
    dataset = SimpleNamespace(train=range(64), validation=range(16), shape=shape)
    job = Job(SPEC, dataset, SimpleNamespace(type="cpu"), objectives)
    with (
        closing(StudyDatabase.open(path / "study.db", study="harness", directions=["maximize"])) as database,
        closing(folder),
        closing(executor or InProcess(workshop, stop, threads=1, device="cpu")) as executor,
    ):
        archive = Archive(folder, database, objectives, SPEC.limits)
        trials, packing = source(SPEC, objectives, archive.known), Packing(1, 1, float("inf"))
        coordinator = Coordinator(job, archive, trials, executor, packing, stop, watch or Observer(), grouping)
        for _ in coordinator.run(total):
            pass
        return dict(archive.records)


def values(records):
    return {trial: (record.params, record.seed, record.values) for trial, record in records.items()}


def test_a_program_trains_what_would_be_trained_alone_at_a_share_of_its_price(toy, tmp_path):
    together, alone = toy.ToyWorkshop(), toy.ToyWorkshop()
    found = search(tmp_path / "together", together)
    assert values(found) == values(search(tmp_path / "alone", alone, grouping=Grouping()))
    assert [len(trials) for trials, _ in alone.programs] == [1] * 10
    assert max(len(trials) for trials, _ in together.programs) > 2
    for trials, _ in together.programs:
        assert len({found[trial].params[DEPTH] for trial in trials}) == 1
        assert {found[trial].shared_with for trial in trials} == {len(trials) - 1}
    spent_s = sum(seconds for _, seconds in together.programs)
    assert spent_s < sum(seconds for _, seconds in alone.programs)
    frame = trials_frame(found.values(), ())
    assert frame["seconds"].sum() == ledger(frame).device_s == pytest.approx(spent_s)
    assert frame["energy_j"].sum() == pytest.approx(toy.JOULES * spent_s)
    assert frame["memory_rss_peak_mib"].sum() == pytest.approx(toy.MIB * 10)


def given_out(groups, slots):
    """Return the trials of the groups that free slots are given of what waits, as the coordinator does."""
    found = []
    while len(groups.under_way) < slots and (group := groups.next(slots)):
        groups.begin(group)
        found.append([running.assignment.trial for running in group.members])
    return found


@given(
    st.integers(1, 4),
    st.integers(1, 16),
    st.lists(st.sampled_from(["a", "b", None]), max_size=40).map(lambda kinds: list(enumerate(kinds))),
)
def test_no_slot_has_more_than_its_share_and_none_is_idle_while_something_waits(slots, most, waiting):
    groups, kinds = Groups(Grouping(most, lambda assignment: assignment.params["kind"])), dict(waiting)
    for trial, kind in waiting:
        assignment = Assignment(trial=trial, seed=0, candidate=None, params={"kind": kind}, until=1)
        groups.add(Running(None, assignment))
    found = given_out(groups, slots)
    for trials in found:
        assert len({kinds[trial] for trial in trials}) == 1
        assert len(trials) <= (1 if kinds[trials[0]] is None else min(most, -(-len(waiting) // slots)))
    assert sum(map(len, found)) == len(waiting) or len(found) == slots
    assert [trials[0] for trials in found[:1]] == [0][: len(waiting)], "the first comes first"


def test_in_a_time_budget_programs_are_as_large_as_is_known_to_end_in_time(toy, tmp_path):
    usual, timed, short = toy.ToyWorkshop(), toy.ToyWorkshop(), toy.ToyWorkshop()
    found = search(tmp_path / "usual", usual, grouping=TOGETHER)
    assert values(search(tmp_path / "timed", timed, grouping=TOGETHER, stop=Left(10_000.0))) == values(found)
    assert [len(trials) for trials, _ in usual.programs] == [4, 4, 2]
    assert [len(trials) for trials, _ in timed.programs] == [2, 4, 4]
    # Two trials took six seconds, and half of thirteen are left to each program.
    search(tmp_path / "short", short, grouping=TOGETHER, stop=Left(13.0))
    assert [len(trials) for trials, _ in short.programs] == [2] * 5


def test_one_of_a_program_is_pruned_and_the_others_go_on(toy, tmp_path):
    workshop = toy.ToyWorkshop()
    found = search(tmp_path / "run", workshop, source=PruneOne)
    pruned = found.pop(2)
    assert (pruned.outcome, pruned.epochs) == (Outcome.PRUNED, 3)
    assert {(record.outcome, record.epochs) for record in found.values()} == {(Outcome.COMPLETE, 6)}
    ((trials, seconds),) = [program for program in workshop.programs if 2 in program[0]]
    others = [found[trial].seconds for trial in trials if trial != 2]
    assert pruned.seconds == pytest.approx(3 / len(trials))
    assert others == pytest.approx([3 / len(trials) + 3 / (len(trials) - 1)] * len(others))
    assert seconds == 6.0


@pytest.mark.skipif(os.name != "posix", reason="worker processes inherit descriptors")
def test_what_ends_first_is_told_first(toy, tmp_path):
    heard = []

    class Listen(Observer):
        def epoch_ended(self, epoch):
            heard.append((epoch.trial, epoch.epoch))

        def trial_ended(self, record):
            heard.append(record.trial)

    with closing(LocalProcesses(toy.ToyWorkshop(), workers=1, threads=1, device="cpu")) as executor:
        search(tmp_path / "run", None, source=PruneOne, executor=executor, watch=Listen(), grouping=TOGETHER, total=4)
    assert heard.index(2) < heard.index((3, 6))


def test_a_program_too_large_for_the_memory_is_split_and_none_is_as_large_again(toy, tmp_path):
    workshop = toy.ToyWorkshop(fits=2)
    found = search(tmp_path / "run", workshop)
    assert {record.outcome for record in found.values()} == {Outcome.COMPLETE}
    (large, *others) = [trials for trials, _ in workshop.programs]
    assert len(large) > 2
    assert max(map(len, others)) == 2
    assert {trial: found[trial].attempts for trial in large} == dict.fromkeys(large, 2)
    spent_s = sum(record.seconds + record.lost_s for record in found.values())
    assert spent_s == pytest.approx(sum(seconds for _, seconds in workshop.programs))


@pytest.mark.skipif(os.name != "posix", reason="worker processes inherit descriptors")
@pytest.mark.slow
def test_whoever_kills_the_worker_is_found_and_the_others_are_trained(toy, tmp_path):
    executor = LocalProcesses(toy.ToyWorkshop(deadly=1), workers=1, threads=1, device="cpu")
    found = search(tmp_path / "run", None, executor=executor, grouping=TOGETHER, total=4)
    assert [found[trial].outcome for trial in range(4)] == [
        Outcome.COMPLETE,
        Outcome.CRASHED,
        Outcome.COMPLETE,
        Outcome.COMPLETE,
    ]
    assert found[1].reason == "its worker died of SIGKILL"
    assert [found[trial].attempts for trial in range(4)] == [3, 3, 2, 2]
    assert [found[trial].shared_with for trial in range(4)] == [0, 0, 1, 1]


def test_a_program_that_was_cut_off_goes_on_from_the_checkpoints_of_its_trials(toy, tmp_path):
    whole = search(tmp_path / "whole", toy.ToyWorkshop())
    workshop, stop = toy.ToyWorkshop(), Stop()
    cut = search(tmp_path / "run", workshop, stop=stop, watch=StopAfter(stop, 10))
    assert {record.outcome for record in cut.values()} == {Outcome.INTERRUPTED}
    assert len(cut) > 1
    found = search(tmp_path / "run", workshop)
    assert values(found) == values(whole)
    assert len(workshop.trained) == len(set(workshop.trained)) == 10 * 6, "no epoch is trained twice"
    assert {trial: record.epochs for trial, record in found.items()} == dict.fromkeys(range(10), 6)


@given(leaves=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=8))
def test_shares_are_the_time_that_each_was_there_over_how_many_were(leaves):
    share, given_out, expected, since = Share(len(leaves)), [], 0.0, 0.0
    for left, seconds in enumerate(sorted(leaves)):
        expected, since = expected + (seconds - since) / (len(leaves) - left), seconds
        own = share.divided(Figures({"energy_j": 3.0 * seconds, "power_w": 3.0})).values
        assert own == {"energy_j": pytest.approx(3.0 * expected, abs=1e-9), "power_w": 3.0}
        share.end(own)
        given_out.append(own["energy_j"])
    assert sum(given_out) == pytest.approx(3.0 * max(leaves), abs=1e-9)


def test_what_is_lost_with_a_worker_is_divided_among_those_that_had_not_ended():
    group = tuple(
        Assignment(trial=trial, seed=0, candidate=None, params={}, until=1, spent_s=7.0) for trial in range(3)
    )
    task = Task(group)
    task.assigned_s = time.monotonic() - 10.0
    record = TrialRecord(trial=1, outcome=Outcome.PRUNED, reason="", candidate={}, params={}, seconds=8.0, lost_s=1.0)
    assert not task.end(Evaluation(record, ()))
    lost = task.lost(Outcome.CRASHED, "its worker died")
    assert [each.trial for each in lost] == [0, 2]
    assert [each.seconds for each in lost] == pytest.approx([4.0, 4.0], abs=0.5)
