"""The coordinator with an executor that computes results instead of training, in whatever order and with any fault."""

import dataclasses
import json
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import InputError, StorageError
from harness.problems import problems
from harness.records import EpochRecord, Outcome, Plan, TaskKind, TrialRecord
from harness.spec import parse_spec
from harness.store import RunFolder, StudyDatabase, trials_frame
from harness.store.ledger import ledger
from harness.study import keeping
from harness.study.archive import Archive
from harness.study.contract import Capabilities, Evaluation, Grouping, Lost, Report
from harness.study.coordinator import Coordinator
from harness.study.decide.decisions import SampledTrials
from harness.study.decide.fixed import FixedTrials, Replicate
from harness.study.decide.lag import lag_of
from harness.study.execute.packing import Packing, Placement
from harness.study.job import Job
from harness.study.objectives import contenders, resolve_objectives
from harness.study.stop import Stop

SPACE = """
task: digits
objective: accuracy
budget: {trials: 14, epochs: 9, retries: 2}
search: {pruner: none, sampler: random}
space:
  architecture: {mlp: {depth: {int: [0, 4]}, width: {int: [8, 64], log: true}}}
  optimizer: {sgd: {lr: {float: [1e-3, 1.0], log: true}}}
  batch_size: [32, 64]
"""


def spec_of(*overrides):
    return parse_spec(SPACE, origin="x", overrides=overrides)


def accuracy(params, epoch):
    """A learning curve that depends on every parameter that is searched."""
    rate, depth = params.get("optimizer.sgd.lr", 0.1), params.get("architecture.mlp.depth", 1)
    width, batch = params.get("architecture.mlp.width", 8), params.get("batch_size", 64)
    return (1 - 0.5**epoch) / (1 + abs(rate - 0.1) + depth / 10) + width * 1e-4 + batch * 1e-6


class Computed:
    """An executor whose assignments end in a random order; ``faults`` maps trials to what happens to each attempt."""

    def __init__(self, slots, seed=0, faults=None, shape=None, devices=1):
        self.slots, self.random, self.faults = slots, random.Random(seed), faults or {}
        self.placement, self.workers = Placement(slots, devices), {}
        self.running, self.submitted, self.groups, self.most, self.cancelled = {}, [], [], 0, []
        self.shape = shape or (lambda evaluation: evaluation)

    def capabilities(self):
        return Capabilities(self.slots, 1, "cpu", "a test")

    def submit(self, group):
        busy = {self.workers[trial] for trial in self.running}
        assert len(busy) < self.slots
        worker = self.placement.choose(busy, lambda _worker: self.random.randint(0, 2))
        for assignment in group:
            assert assignment.trial not in self.running
            self.running[assignment.trial] = assignment
            self.workers[assignment.trial] = worker
        self.submitted += group
        self.groups.append([assignment.trial for assignment in group])
        self.most = max(self.most, len(busy) + 1)
        return self.placement.device_of(worker)

    def wait(self, watcher, _timeout_s):
        trial = self.random.choice(sorted(self.running))
        assignment = self.running[trial]
        fault = self.faults.get(trial, [])
        ended = fault.pop(0)(assignment) if fault else self.shape(train(assignment, watcher))
        del self.running[trial]
        return [ended]

    def cancel(self, trial, _reason):
        self.cancelled.append(trial)

    def rest(self):
        pass

    def close(self):
        pass


def train(assignment, watcher):
    epochs = [EpochRecord(**epoch) for epoch in json.loads(assignment.checkpoint or b"[]")]
    carried_s = float(len(epochs))
    reason, outcome = "done", Outcome.COMPLETE
    for number in range(1, assignment.until + 1):
        if number > len(epochs):
            epochs.append(epoch_record(assignment, number))
        if verdict := watcher.judge(Report(epochs[number - 1], {"parameters": 10.0, "flops": 20.0})):
            reason, outcome = verdict, Outcome.PRUNED
            break
    checkpoint = b""
    if outcome is Outcome.COMPLETE and len(epochs) < 9:
        outcome, checkpoint = Outcome.PRUNED, json.dumps([dataclasses.asdict(epoch) for epoch in epochs]).encode()
    last = epochs[-1].validation
    record = TrialRecord(
        trial=assignment.trial,
        outcome=outcome,
        reason=reason,
        candidate=assignment.candidate.as_dict(),
        params=assignment.params,
        values=(last["accuracy"],) if outcome is Outcome.COMPLETE else (),
        seed=assignment.seed,
        epochs=len(epochs),
        best_epoch=len(epochs),
        validation=last,
        figures={"parameters": 10.0 * (1 + 5 * assignment.trial % 7), "value_se": 0.2},
        seconds=float(len(epochs)),
        lost_s=max(0.0, assignment.spent_s - carried_s),
        attempts=assignment.attempt,
        plan=plan(assignment.micro_batch),
    )
    return Evaluation(record, epochs, b"weights", checkpoint)


def epoch_record(assignment, number):
    metrics = {name: float("nan") for name in problems["classification"].summed} | {
        "accuracy": accuracy(assignment.params, number)
    }
    return EpochRecord(
        trial=assignment.trial,
        epoch=number,
        train=metrics,
        validation=metrics,
        learning_rate=0.1,
        gradient_norm=1.0,
        train_s=1.0,
        validation_s=1.0,
        train_samples_s=10.0,
    )


def plan(micro_batch):
    return Plan(
        device="cpu",
        precision="fp32",
        precision_ratio=1.0,
        precision_reason="",
        batch_size=64,
        layout="contiguous",
        layout_reason="",
        data_path="resident",
        data_reason="",
        threads=1,
        micro_batch=micro_batch,
    )


class Heard:
    def __init__(self):
        self.started, self.ended, self.epochs = [], [], []

    def trial_started(self, number, _params):
        self.started.append(number)

    def epoch_ended(self, epoch):
        self.epochs.append((epoch.trial, epoch.epoch))

    def trial_ended(self, record):
        self.ended.append(record.trial)


def run(
    path,
    spec,
    executor,
    *,
    total=None,
    stop=None,
    packing=None,
    watch=None,
    archive_of=Archive,
    source=SampledTrials,
    grouping=None,
):
    """Carry a search on in ``path`` to its total, and return its archive."""
    folder = RunFolder.open(path) if path.exists() else RunFolder.create(path.parent, "x", path)
    if not (path / "status.json").exists():
        folder.write("status.json", "{}")
    objectives = resolve_objectives(spec, TaskKind.CLASSIFICATION)
    shape = SimpleNamespace(kind="classification")
    dataset = SimpleNamespace(train=range(64), validation=range(16), shape=shape)
    job = Job(spec, dataset, SimpleNamespace(type="cpu"), objectives)
    directions = [objective.direction for objective in objectives]
    database = StudyDatabase.open(path / "study.db", study="harness", directions=directions)
    try:
        archive = archive_of(folder, database, objectives, spec.limits)
        archive.tidy()
        packing = packing or Packing(executor.slots, 1, float("inf"))
        trials = source(spec, objectives, archive.known)
        coordinator = Coordinator(job, archive, trials, executor, packing, stop or Stop(), watch or Heard(), grouping)
        for _ in coordinator.run(total or spec.total):
            pass
        return archive
    finally:
        database.close()
        folder.close()


IN_GROUPS = Grouping(
    8, lambda assignment: (assignment.params["architecture.mlp.depth"] or None) and (assignment.until, "deep")
)
"""What has no hidden layer is trained alone."""


def outcomes(archive):
    return Counter(str(record.outcome) for record in archive.records.values())


def told(archive):
    """Everything about the trials that is not measured, as text, since NaN equals nothing."""
    plain = [dataclasses.replace(record, lost_s=0.0, attempts=1, seconds=0.0) for record in archive.records.values()]
    return [json.dumps(dataclasses.asdict(record), sort_keys=True) for record in plain]


TOGETHER = {
    "tpe": ["none", "median", "asha", "hyperband"],  # the one that learns from what was pruned
    "random": ["none", "hyperband"],
    "cmaes": ["median", "asha"],
    "qmc": ["none", "asha"],
    "nsga2": ["median", "hyperband"],
}
"""Samplers with pruners: each with two at least."""


@pytest.mark.parametrize(("sampler", "pruner"), [(each, pruner) for each in TOGETHER for pruner in TOGETHER[each]])
def test_any_number_of_workers_finds_the_same_trials_grouped_or_not(sampler, pruner, tmp_path):
    spec = spec_of(f"search.sampler={sampler}", f"search.pruner={pruner}")
    first = told(run(tmp_path / "one", spec, Computed(1)))
    assert len(first) == 14
    for workers, grouping in ((2, None), (4, None), (1, IN_GROUPS), (3, IN_GROUPS)):
        executor = Computed(workers, seed=workers)
        folder = tmp_path / f"{workers}-{grouping is not None}"
        assert told(run(folder, spec, executor, grouping=grouping)) == first
        assert executor.most == workers
        assert (max(map(len, executor.groups)) > 1) == (grouping is not None)


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "nsga2", "qmc"])
@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_a_search_in_two_parts_is_the_search_in_one_go(sampler, pruner, tmp_path):
    spec = spec_of(f"search.sampler={sampler}", f"search.pruner={pruner}")
    whole = told(run(tmp_path / "whole", spec, Computed(1)))
    stop = Stop()

    class StopAfter(Heard):
        def trial_ended(self, record):
            super().trial_ended(record)
            if len(self.ended) == 6:
                stop.request(2)

    run(tmp_path / "parts", spec, Computed(1), stop=stop, watch=StopAfter())
    assert told(run(tmp_path / "parts", spec, Computed(1))) == whole


class Power(Exception):
    """The power goes off."""


def failing_archive(at):
    """Return an archive whose folder and database stop working at persistence step ``at``, and the steps it counted."""
    steps = []

    def step(what):
        steps.append(what)
        if len(steps) == at:
            raise Power(what)

    def build(folder, database, objectives, limits):
        class Folder:
            path = folder.path

            def write(self, name, content):
                step(f"before write {name}")
                folder.write(name, content)
                step(f"after write {name}")

            def remove(self, name):
                step(f"before remove {name}")
                folder.remove(name)
                step(f"after remove {name}")

            def __getattr__(self, name):
                return getattr(folder, name)

        class Database:
            def __getattr__(self, name):
                def call(*args, **kwargs):
                    step(f"before {name}")
                    result = getattr(database, name)(*args, **kwargs)
                    step(f"after {name}")
                    return result

                return call if name in ("begin", "finish", "keep") else getattr(database, name)

        return Archive(Folder(), Database(), objectives, limits)

    return build, steps


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["none", "asha"])
def test_the_power_may_go_off_at_any_persistence_step(pruner, tmp_path):
    spec = spec_of("budget.trials=5", f"search.pruner={pruner}")
    build, steps = failing_archive(0)
    whole = told(run(tmp_path / "whole", spec, Computed(2), archive_of=build))
    names = sorted(path.name for path in (tmp_path / "whole").rglob("*") if path.suffix == ".safetensors")
    assert len(steps) > 20
    for at in range(1, len(steps) + 1):
        path = tmp_path / f"at-{at}"
        acknowledged = Heard()
        with pytest.raises(Power):
            run(path, spec, Computed(2, seed=at), archive_of=failing_archive(at)[0], watch=acknowledged)
        resumed = Heard()
        archive = run(path, spec, Computed(2, seed=at + 1), watch=resumed)
        assert told(archive) == whole, steps[at - 1]
        assert sorted(file.name for file in path.rglob("*") if file.suffix == ".safetensors") == names
        if pruner == "none":
            assert not set(acknowledged.ended) & set(resumed.started), "what was acknowledged is not trained again"


def test_the_weights_of_the_best_and_of_what_may_yet_win_are_kept_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "MOST_TRIALS", 2)
    spec, path, most = spec_of("search.pruner=none"), tmp_path / "run", 0
    objectives = resolve_objectives(spec, TaskKind.CLASSIFICATION)
    for total in (4, 9, 14):
        archive = run(path, spec, Computed(2), total=total)
        records = archive.records.values()
        contending = contenders(objectives, records)
        assert archive.best is contending[0]
        best = keeping.best_trials(objectives[0], records)[:2]
        kept = {record.trial for record in (*contending, *best)}
        files = sorted(file.name for file in path.rglob("trial-*.safetensors"))
        assert files == sorted(Path(keeping.weights_file(trial)).name for trial in kept)
        most = max(most, len(kept - {record.trial for record in best}))
    assert most > 0, "else this shows nothing of what may yet win"


def lost(outcome=Outcome.CRASHED, seconds=5.0):
    return lambda assignment: Lost(assignment.trial, outcome, "its worker died of SIGSEGV", seconds)


def test_a_trial_whose_worker_died_is_tried_again(tmp_path):
    executor = Computed(2, faults={3: [lost(), lost()]})
    archive = run(tmp_path / "run", spec_of(), executor)
    record = archive.records[3]
    assert (record.outcome, record.attempts, record.lost_s) == (Outcome.COMPLETE, 3, 10.0)
    assert [assignment.attempt for assignment in executor.submitted if assignment.trial == 3] == [1, 2, 3]


def test_a_trial_that_kills_every_worker_is_given_up_with_the_reason(tmp_path):
    archive = run(tmp_path / "run", spec_of(), Computed(2, faults={3: [lost()] * 9}))
    record = archive.records[3]
    assert (record.outcome, record.attempts, record.lost_s, record.seconds) == (Outcome.CRASHED, 3, 10.0, 5.0)
    assert record.reason == "its worker died of SIGSEGV, 3 times"
    assert outcomes(archive) == {"complete": 13, "crashed": 1}


def test_a_trial_killed_for_memory_goes_on_with_half_the_micro_batch(tmp_path):
    spec = spec_of("space.batch_size=64", "budget.retries=0")
    executor = Computed(1, faults={1: [lost(Outcome.OOM)] * 3, 2: [lost(Outcome.OOM)] * 99})
    archive = run(tmp_path / "run", spec, executor, total=4)
    assert [a.micro_batch for a in executor.submitted if a.trial == 1] == [0, 32, 16, 8]
    assert (archive.records[1].outcome, archive.records[1].plan.micro_batch) == (Outcome.COMPLETE, 8)
    assert [a.micro_batch for a in executor.submitted if a.trial == 2] == [0, 32, 16, 8, 4, 2, 1]
    assert archive.records[2].outcome is Outcome.OOM


def test_a_trial_that_ran_out_of_memory_among_others_gets_the_device_to_itself(tmp_path):
    executor = Computed(4, faults={5: [lost(Outcome.OOM)]})
    alone = []
    submit = executor.submit

    def watched(group):
        if group[0].attempt == 2:
            alone.append(not executor.running and not group[0].shared)
        return submit(group)

    executor.submit = watched
    archive = run(tmp_path / "run", spec_of(), executor)
    assert alone == [True]
    assert archive.records[5].outcome is Outcome.COMPLETE
    assert archive.records[5].plan.micro_batch == 0, "that it shared was no fault of its own"


def test_a_time_out_is_final(tmp_path):
    archive = run(tmp_path / "run", spec_of(), Computed(2, faults={2: [lost(Outcome.TIMEOUT)]}))
    assert archive.records[2].outcome is Outcome.TIMEOUT
    assert len(archive.records) == 14


@pytest.mark.parametrize("workers", [1, 4])
def test_a_candidate_is_not_trained_twice(workers, tmp_path):
    space = "space={architecture: {mlp: {depth: [0, 1], width: 8}}, batch_size: [32, 64], optimizer: {sgd: {lr: 0.1}}}"
    spec = spec_of(space, "budget.trials=20")
    executor = Computed(workers)
    archive = run(tmp_path / "run", spec, executor)
    assert len(archive.records) == 20
    assert len({json.dumps(a.candidate.as_dict()) for a in executor.submitted}) == len(executor.submitted) <= 4
    for record in archive.records.values():
        if record.same_as is not None:
            original = archive.records[record.same_as]
            assert record.values == original.values
            assert original.same_as is None
            assert record.seconds == 0.0
            assert record.reason.startswith(f"same candidate as trial {original.trial}")


def test_a_crash_is_not_taken_for_the_candidates_own(tmp_path):
    space = "space={architecture: {mlp: {depth: 1, width: 8}}, optimizer: {sgd: {lr: 0.1}}, batch_size: [32, 64]}"
    executor = Computed(1, faults={n: [lost()] for n in range(6)})
    archive = run(tmp_path / "run", spec_of(space, "budget.trials=6", "budget.retries=0"), executor)
    assert len(executor.submitted) == 6
    assert outcomes(archive) == {"crashed": 6}


def test_successive_halving_goes_on_from_checkpoints(tmp_path):
    executor = Computed(2)
    archive = run(tmp_path / "run", spec_of("search.pruner=asha", "budget.trials=27"), executor)
    assert len(archive.records) == 27
    later = [a for a in executor.submitted if a.until > 1]
    assert later
    assert all(len(json.loads(a.checkpoint)) in (1, 3) for a in later)
    complete = [record for record in archive.records.values() if record.outcome is Outcome.COMPLETE]
    assert 0 < len(complete) < 10
    assert {record.epochs for record in archive.records.values()} == {1, 3, 9}
    best = max(accuracy(record.params, 9) for record in archive.records.values())
    assert best in [record.values[0] for record in complete]


def test_asked_to_stop_it_cancels_what_runs_and_leaves_it_open(tmp_path):
    stop = Stop()

    class Stopping(Heard):
        def trial_ended(self, _record):
            stop.request(15)

    executor = Computed(3)
    wait = executor.wait

    def interrupted(watcher, timeout_s):
        if stop.signal:
            _, assignment = executor.running.popitem()
            evaluation = train(assignment, watcher)
            record = dataclasses.replace(evaluation.record, outcome=Outcome.INTERRUPTED, values=())
            return [dataclasses.replace(evaluation, record=record, weights=b"")]
        return wait(watcher, timeout_s)

    executor.wait = interrupted
    archive = run(tmp_path / "run", spec_of(), executor, stop=stop, watch=Stopping())
    assert sorted(executor.cancelled) == sorted(
        number for number, record in archive.records.items() if record.outcome is Outcome.INTERRUPTED
    )
    assert len(executor.cancelled) == 2
    again = Computed(3)
    resumed = run(tmp_path / "run", spec_of(), again)
    assert outcomes(resumed) == {"complete": 14}
    for number in executor.cancelled:
        assert (resumed.records[number].attempts, resumed.records[number].lost_s) == (2, 9.0)


def test_when_three_trials_in_a_row_cannot_finish_in_the_time_that_is_left_no_more_are_asked_for(tmp_path):
    def too_late(evaluation):
        if evaluation.trial < 4:
            return evaluation
        record = dataclasses.replace(evaluation.record, outcome=Outcome.INTERRUPTED, values=(), epochs=0, best_epoch=0)
        return Evaluation(record, [])

    executor = Computed(1, shape=too_late)
    spec = spec_of("search.pruner=none", "training.final=refit")
    archive = run(tmp_path / "run", spec, executor, stop=Stop(1000.0))
    assert outcomes(archive) == {"complete": 4, "interrupted": 3}
    first, *others = (assignment.left_s for assignment in executor.submitted)
    assert 395.0 < first <= 400.0, "the winner is trained once more, on 1.25 times the samples, with a margin of 1.2"
    assert all(990.0 < left_s <= 1000.0 for left_s in others)
    assert outcomes(run(tmp_path / "run", spec, Computed(1))) == {"complete": 14}


class TooLate:
    """Ends trials as not started unless they may be shortened, with what their training was predicted to take."""

    def __init__(self, executor, predicted):
        self.executor, self.predicted = executor, predicted

    def __call__(self, evaluation):
        (asked,) = [each for each in self.executor.submitted if each.trial == evaluation.trial][-1:]
        if asked.shorten:
            return evaluation
        record = dataclasses.replace(evaluation.record, outcome=Outcome.INTERRUPTED, values=(), epochs=0, best_epoch=0)
        predicted = {"train_seconds": self.predicted[evaluation.trial % len(self.predicted)]}
        return Evaluation(dataclasses.replace(record, predicted=predicted), [])


@pytest.mark.parametrize("slots", [1, 3])
def test_where_no_trial_could_finish_the_shortest_is_trained_for_fewer_epochs(tmp_path, slots):
    executor = Computed(slots)
    executor.shape = TooLate(executor, [30e3, 20e3, 40e3, 50e3])
    archive = run(tmp_path / "run", spec_of(), executor, stop=Stop(1000.0))
    assert [each.trial for each in executor.submitted if each.shorten] == [1]
    assert archive.best.trial == 1
    assert (archive.records[1].attempts, archive.records[1].outcome) == (2, Outcome.COMPLETE)
    assert outcomes(archive)["complete"] == 1, "what comes next has no time either, and is not shortened"
    again = run(tmp_path / "run", spec_of(), Computed(slots))
    assert outcomes(again) == {"complete": 14}
    assert again.records[1].attempts == 2, "it is not trained once more"


@pytest.mark.parametrize("slots", [1, 2])
def test_what_time_is_left_over_trains_those_that_have_half_of_their_epochs_in_it_the_shortest_first(tmp_path, slots):
    def too_late(evaluation):
        return evaluation if evaluation.trial == 0 else passed_over(evaluation)

    executor = Computed(slots)
    passed_over = TooLate(executor, [0.0, 1500.0, 1200.0, 1700.0, *[1e6] * 10])
    executor.shape = too_late
    archive = run(tmp_path / "run", spec_of(), executor, stop=Stop(1000.0))
    assert [each.trial for each in executor.submitted if each.shorten] == [2, 1], "with a margin of a fifth"
    assert outcomes(archive).keys() == {"complete", "interrupted"}
    assert {trial for trial, each in archive.records.items() if each.outcome is Outcome.COMPLETE} == {0, 1, 2}


def test_a_trial_may_be_cut_to_as_few_epochs_as_others_of_the_space_have(tmp_path):
    spec = spec_of("space.epochs={int: [3, 9]}", "search.first=[{epochs: 9}, {epochs: 9}]")
    executor = Computed(1)
    passed_over = TooLate(executor, [0.0, 2000.0, *[1e6] * 10])
    executor.shape = lambda evaluation: evaluation if evaluation.trial == 0 else passed_over(evaluation)
    run(tmp_path / "run", spec, executor, stop=Stop(1000.0))
    assert [each.trial for each in executor.submitted if each.shorten] == [1], (
        "for 2,000 s there is no half of the time"
    )


def test_where_one_trial_is_complete_three_more_are_asked_for_whatever_was_passed_over(tmp_path):
    def too_late(evaluation):
        if evaluation.trial == 1:
            return evaluation
        record = dataclasses.replace(evaluation.record, outcome=Outcome.INTERRUPTED, values=(), epochs=0, best_epoch=0)
        return Evaluation(record, [])

    executor = Computed(1, shape=too_late)
    archive = run(tmp_path / "run", spec_of(), executor, stop=Stop(1000.0))
    assert outcomes(archive) == {"complete": 1, "interrupted": 4}
    assert not any(assignment.shorten for assignment in executor.submitted)


@pytest.mark.parametrize(("complete", "interrupted"), [(0, 2 + 3), (-1, 2)])
def test_first_candidates_for_more_time_than_there_is_do_not_end_a_search_that_has_one(tmp_path, complete, interrupted):
    def too_late(evaluation):
        if evaluation.trial == complete:
            return evaluation
        record = dataclasses.replace(evaluation.record, outcome=Outcome.INTERRUPTED, values=(), epochs=0, best_epoch=0)
        return Evaluation(record, [])

    spec = spec_of("search.first=[{batch_size: 32}, {batch_size: 64}, {batch_size: 32}]")
    archive = run(tmp_path / "run", spec, Computed(1, shape=too_late), stop=Stop(1000.0))
    assert outcomes(archive)["interrupted"] == interrupted


def test_a_trial_that_would_stop_at_a_rung_is_not_shortened(tmp_path):
    executor = Computed(1)
    executor.shape = TooLate(executor, [1.0])
    archive = run(tmp_path / "run", spec_of("search.pruner=asha"), executor, stop=Stop(1000.0))
    assert not [each for each in executor.submitted if each.shorten]
    assert outcomes(archive) == {"interrupted": 3}


@pytest.mark.parametrize("pruner", ["none", "asha"])
def test_a_trial_that_there_is_no_time_for_keeps_no_others_from_being_trained(tmp_path, pruner):
    def too_late(evaluation):
        if evaluation.trial:
            return evaluation
        record = dataclasses.replace(evaluation.record, outcome=Outcome.INTERRUPTED, values=(), epochs=0, best_epoch=0)
        return Evaluation(record, [])

    spec = spec_of(f"search.pruner={pruner}", "budget.trials=40")
    ended = outcomes(run(tmp_path / "run", spec, Computed(2, shape=too_late)))
    assert (ended["interrupted"], ended.total()) == (1, 40)
    assert "interrupted" not in outcomes(run(tmp_path / "run", spec, Computed(2)))


@pytest.mark.parametrize("final", ["auto", "keep", "{ensemble: 4}"])
def test_a_first_trial_may_take_all_the_time_where_its_weights_may_be_kept(tmp_path, final):
    executor = Computed(1)
    run(tmp_path / "run", spec_of("search.pruner=none", f"training.final={final}"), executor, stop=Stop(1000.0))
    assert 990.0 < executor.submitted[0].left_s <= 1000.0


def test_memory_decides_how_many_share_a_device(tmp_path):
    executor = Computed(4)
    peak = {"memory_process_peak_mib": 400.0}
    executor.shape = lambda evaluation: dataclasses.replace(
        evaluation, record=dataclasses.replace(evaluation.record, figures=peak)
    )
    run(tmp_path / "run", spec_of(), executor, packing=Packing(4, 1, 1000.0))
    assert executor.most == 2


def test_running_out_of_memory_says_something_of_those_on_the_same_device_only(tmp_path):
    packing, told = Packing(4, 2, 1000.0), []
    packing.finished(400.0)
    assert packing.allowed() == 4

    def crowded(assignment):
        device = executor.placement.device_of(executor.workers[assignment.trial])
        others = [executor.placement.device_of(executor.workers[trial]) for trial in executor.running]
        told.append(others.count(device))
        return Lost(assignment.trial, Outcome.OOM, "out of memory", 1.0)

    learn = packing.out_of_memory
    packing.out_of_memory = lambda sharing: learn(sharing) if sharing == told[-1] else pytest.fail(f"told {sharing}")
    executor = Computed(4, faults={9: [crowded]}, devices=2)
    archive = run(tmp_path / "run", spec_of(), executor, packing=packing)
    assert executor.most == 4
    assert told == [2]
    assert packing.allowed() == 2, "one on each device, from now on"
    assert archive.records[9].outcome is Outcome.COMPLETE


def crowded_out(assignment):
    """Return how a stretch ends that ran out of memory half a second after it began, beside others."""
    whole = train(assignment, SimpleNamespace(judge=lambda _report: ""))
    carried = json.loads(assignment.checkpoint or b"[]")
    record = dataclasses.replace(whole.record, outcome=Outcome.OOM, values=(), seconds=len(carried) + 0.5)
    return Evaluation(record, [])


def trained(assignment):
    return train(assignment, SimpleNamespace(judge=lambda _report: ""))


@pytest.mark.parametrize(
    ("pruner", "faults"),
    [
        ("asha", [trained, crowded_out]),
        ("asha", [trained, lost(), crowded_out]),
        ("none", [crowded_out, lost()]),
        ("none", [lost(), crowded_out]),
    ],
)
def test_the_ledger_counts_every_second_once(pruner, faults, tmp_path):
    executor, spent = Computed(4, faults={trial: [*faults] for trial in range(14)}), []
    wait = executor.wait

    def counted(watcher, timeout_s):
        given = {
            trial: len(json.loads(assignment.checkpoint or b"[]")) for trial, assignment in executor.running.items()
        }
        (ended,) = wait(watcher, timeout_s)
        spent.append(ended.seconds - (0 if isinstance(ended, Lost) else given[ended.trial]))
        return [ended]

    executor.wait = counted
    spec = spec_of(f"search.pruner={pruner}")
    archive = run(tmp_path / "run", spec, executor)
    again = [assignment for assignment in executor.submitted if assignment.attempt > 1]
    assert any(assignment.spent_s > 0 and not assignment.shared for assignment in again), "one got the device to itself"
    assert ledger(trials_frame(archive.records.values(), [])).device_s == pytest.approx(sum(spent))


def test_a_halving_too_small_to_promote_anyone_still_finishes_its_best(tmp_path):
    spec = spec_of("search.pruner=asha", "budget.trials=4")
    archive = run(tmp_path / "run", spec, Computed(2))
    (complete,) = [record for record in archive.records.values() if record.outcome is Outcome.COMPLETE]
    assert complete.values[0] == max(accuracy(record.params, 9) for record in archive.records.values())


def params_of(depth, rate=0.1):
    return {
        "architecture.mlp.depth": depth,
        "optimizer.sgd.lr": rate,
        "batch_size": 32,
        **({"architecture.mlp.width": 8} if depth else {}),
    }


LISTED = [Replicate(params_of(depth), seed) for seed in (7, 8, 9) for depth in (0, 2)]


def listed(replicates):
    return lambda spec, _objectives, known: FixedTrials(spec, replicates, known)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_list_is_trained_in_its_order_each_replicate_with_its_own_seed(workers, tmp_path):
    spec, executor = spec_of("search.pruner=median"), Computed(workers)
    archive = run(tmp_path / "run", spec, executor, source=listed(LISTED))
    records = list(archive.records.values())
    assert [(record.params, record.seed) for record in records] == [(dict(r.params), r.seed) for r in LISTED]
    assert outcomes(archive) == {"complete": 6}
    assert all(record.same_as is None for record in records), "replicates are no repeats"
    assert not any(assignment.judged for assignment in executor.submitted)
    assert len({(json.dumps(record.candidate), record.seed) for record in records}) == 6


def test_a_list_is_gone_on_with_where_it_was_cut_off(tmp_path):
    whole = told(run(tmp_path / "whole", spec_of(), Computed(1), source=listed(LISTED)))
    run(tmp_path / "parts", spec_of(), Computed(1), total=4, source=listed(LISTED))
    rest = Computed(1)
    assert told(run(tmp_path / "parts", spec_of(), rest, source=listed(LISTED))) == whole
    assert [assignment.trial for assignment in rest.submitted] == [4, 5]
    other = [*LISTED[:3], Replicate(params_of(4), 1), *LISTED[4:]]
    with pytest.raises(StorageError, match="trial 3 of the run is not that of the list"):
        run(tmp_path / "parts", spec_of(), Computed(1), source=listed(other))


def test_the_same_replicate_again_takes_its_result(tmp_path):
    executor = Computed(1)
    archive = run(tmp_path / "run", spec_of(), executor, source=listed([*LISTED[:2], LISTED[0]]))
    assert archive.records[2].same_as == 0
    assert len(executor.submitted) == 2


def test_a_list_holds_points_of_the_space_only(tmp_path):
    wrong = Replicate(params_of(9), 0)
    with pytest.raises(
        InputError, match=r"trial 1 of the list is not of this space: parameter architecture\.mlp\.depth"
    ):
        run(tmp_path / "run", spec_of(), Computed(1), source=listed([LISTED[0], wrong]))


def improvements(archive):
    """Return the trials that were better than all before them."""
    records = [record for record in archive.records.values() if record.values]
    return [r.trial for n, r in enumerate(records) if all(r.values > other.values for other in records[:n])]


@pytest.mark.parametrize("pruner", ["none", "median"])
def test_a_search_in_which_nothing_improves_ends(pruner, tmp_path):
    spec = spec_of("budget.trials=200", "budget.stagnation=7", f"search.pruner={pruner}")
    archive = run(tmp_path / "run", spec, Computed(1))
    late = len(archive.records) - (improvements(archive)[-1] + 8)
    assert 0 <= late < lag_of(spec).most, "trials that were under way when the last of them was told"
    again = run(tmp_path / "run", spec, Computed(1))
    assert told(again) == told(archive), "it has ended, and goes on only with more patience"
    patient = run(tmp_path / "run", spec_of("budget.trials=200", "budget.stagnation=9"), Computed(1))
    assert told(patient)[: len(archive.records)] == told(archive)
    assert len(patient.records) >= len(archive.records) + 2


@pytest.mark.parametrize("pruner", ["median", "asha"])
def test_stagnation_ends_a_deterministic_search_alike_with_any_number_of_workers(pruner, tmp_path):
    asked = ["budget.trials=300", "budget.stagnation=12", "search.deterministic=true", f"search.pruner={pruner}"]
    first = told(run(tmp_path / "one", spec_of(*asked), Computed(1)))
    assert 12 < len(first) < 300
    assert told(run(tmp_path / "four", spec_of(*asked), Computed(4, seed=4))) == first


def test_a_space_that_has_grown_keeps_its_trials_and_tries_what_is_new(tmp_path):
    before = spec_of("search.sampler=tpe", "space.batch_size=[32, 64]")
    after = spec_of(
        "search.sampler=tpe",
        "budget.trials=40",
        "space.batch_size=[32, 64, 128]",
        "space.architecture.mlp.width={int: [4, 256], log: true}",
    )
    earlier = run(tmp_path / "run", before, Computed(1))
    archive = run(tmp_path / "run", after, Computed(1))
    assert told(archive)[:14] == told(earlier)
    new = [archive.records[trial].params for trial in range(14, 40)]
    assert 128 in {params["batch_size"] for params in new}
    assert any(not 8 <= params["architecture.mlp.width"] <= 64 for params in new)
    # It went on from what it had learned: the same trials as in a search that had this space from the beginning.
    source = SampledTrials(after, resolve_objectives(after, TaskKind.CLASSIFICATION), archive.known[:14])
    while earlier := source.earlier(stretch := source.ask(40)):
        source.tell(stretch, earlier)
    assert stretch.params == new[0]
