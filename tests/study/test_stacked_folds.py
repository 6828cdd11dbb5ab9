"""The folds or seeds of a trial that are trained as one program: what is told, decided, kept and gone on from."""

from dataclasses import replace
from itertools import groupby

import pytest
import torch

from harness.records import Named, Outcome
from harness.study.stop import Stop
from harness.study.trial.building import build_model, training_seed
from harness.study.trial.evaluate import Evaluator
from harness.study.trial.stacked import key_of
from harness.train.stack import Stack

FOLDS, SAFE = "evaluation.folds=3", "search.plan=safe"
UNEQUAL = (
    FOLDS,
    "budget.epochs=12",
    "training={precision: fp32, patience: 2}",
    "space.schedule=constant",
    "space.architecture.mlp.norm=layer",
    "space.architecture.mlp.dropout=0.0",  # masks are not the same on every processor
)
"""With seed 21 the folds end after 5, 6 and 8 epochs, with seed 34 after 12, 5 and 10."""


@pytest.fixture(scope="module")
def evaluate(real):
    with real.bench() as evaluate:
        yield evaluate


@pytest.fixture(scope="module")
def evaluate_group(real, evaluate):
    """Return a function that evaluates several assignments as one program."""
    sampler = evaluate.__closure__[0].cell_contents
    return lambda job, group: list(Evaluator(job, sampler, Stop()).evaluate(tuple(group), real.Recorder()))


@pytest.fixture(scope="module")
def arms(real):
    """The job whose folds are trained at the same time, and the one whose folds are trained one after the other."""
    return real.job_of(*UNEQUAL), real.job_of(*UNEQUAL, SAFE)


def lengths(evaluation):
    """Return the epochs of each fold."""
    return [len(list(epochs)) for _, epochs in groupby(evaluation.epochs, key=lambda epoch: epoch.fold)]


def told_by(watcher):
    return [(report.epoch.fold, report.epoch.epoch, report.finished) for report in watcher.reports]


def same_course(first, second):
    """Check that two evaluations say the same, to rounding."""
    assert (first.outcome, first.record.reason) == (second.outcome, second.record.reason)
    assert (first.record.epochs, first.record.best_epoch) == (second.record.epochs, second.record.best_epoch)
    for got, wanted in zip(first.epochs, second.epochs, strict=True):
        assert (got.fold, got.epoch, got.trial) == (wanted.fold, wanted.epoch, wanted.trial)
        assert got.validation == pytest.approx(wanted.validation, abs=1e-5)


@pytest.mark.parametrize("seed", [34, 21])
def test_epochs_are_told_as_if_one_fold_were_trained_after_the_other(real, arms, evaluate, seed):
    watchers = [real.Recorder(), real.Recorder()]
    stacked, alone = (evaluate(job, watcher, seed=seed) for job, watcher in zip(arms, watchers, strict=True))
    assert (stacked.record.plan.arm, alone.record.plan.arm) == ("stacked", "alone")
    assert lengths(stacked) == {34: [12, 5, 10], 21: [5, 6, 8]}[seed]
    assert told_by(watchers[0]) == told_by(watchers[1])
    same_course(stacked, alone)
    assert stacked.record.figures["value_sd"] == pytest.approx(alone.record.figures["value_sd"], abs=1e-5)
    assert stacked.predictions
    assert stacked.record.shared_with == 0


def test_folds_drop_what_each_drops_alone(real, evaluate):
    dropping = (*UNEQUAL, "space.architecture.mlp.dropout=0.3")
    stacked, alone = (evaluate(real.job_of(*dropping, *more), seed=5) for more in ((), (SAFE,)))
    assert (stacked.record.plan.arm, alone.record.plan.arm) == ("stacked", "alone")
    same_course(stacked, alone)


@pytest.mark.parametrize("fold", [1, 2])
def test_a_trial_that_is_pruned_after_a_fold_has_nothing_of_later_ones(real, arms, evaluate, fold):
    def after(report):
        return "enough" if report.finished and report.epoch.fold == fold else ""

    watchers = [real.Recorder(at_report=after), real.Recorder(at_report=after)]
    pairs = zip(arms, watchers, strict=True)
    stacked, alone = (evaluate(job, watcher, seed=34, judged=True) for job, watcher in pairs)
    assert (stacked.outcome, lengths(stacked)) == (Outcome.PRUNED, [12, 5][:fold])
    assert told_by(watchers[0]) == told_by(watchers[1])
    same_course(stacked, alone)


@pytest.mark.parametrize("overrides", [(FOLDS,), ("evaluation.repeats=3",)], ids=str)
def test_a_trial_is_the_same_in_any_company(real, evaluate_group, overrides):
    job, group = real.job_of(*overrides), []
    for trial, rate in enumerate((0.02, 0.01)):
        one = real.assignment(job, trial=trial, seed=trial)
        group.append(replace(one, candidate=replace(one.candidate, optimizer=Named("adamw", {"lr": rate}))))
    together = evaluate_group(job, group)
    for assignment, ended in zip(group, together, strict=True):
        (alone,) = evaluate_group(job, [assignment])
        assert (ended.trial, ended.record.shared_with) == (assignment.trial, 1)
        assert real.told(replace(ended, record=replace(ended.record, shared_with=0))) == real.told(alone)
        assert len(alone.record.values) == 1


@pytest.mark.parametrize(("place", "ended"), [((1, 1), 0), ((1, 3), 0), ((2, 6), 2), ((3, 7), 2)])
def test_a_trial_that_was_cut_off_goes_on_where_each_fold_stood(real, evaluate, monkeypatch, place, ended):
    """To the same bits; what was told before is told once more, but not that folds ``ended``, as was asked about."""
    monkeypatch.setattr("harness.study.trial.pace.CHECKPOINT_SHARE", 1e9)
    job, stop = real.job_of(*UNEQUAL, "budget.checkpoint_time=0.000001"), Stop()

    def cut(report):
        if (report.epoch.fold, report.epoch.epoch) == place:
            stop.request(2)
        return ""

    first, again, never = real.Recorder(at_report=cut), real.Recorder(), real.Recorder()
    begun = evaluate(job, first, stop=stop, seed=21)
    assert begun.outcome is Outcome.INTERRUPTED
    rest = evaluate(job, again, checkpoint=first.checkpoints[-1][1], seed=21)
    whole = evaluate(job, never, seed=21)
    assert real.told(rest) == real.told(whole)
    assert rest.predictions
    told = [(fold, epoch, finished and fold > ended) for fold, epoch, finished in told_by(never)]
    assert told_by(again) == told


def test_a_checkpoint_of_other_trainings_is_not_followed(real, evaluate, monkeypatch):
    monkeypatch.setattr("harness.study.trial.pace.CHECKPOINT_SHARE", 1e9)
    folds, holdout = ((*each, "budget.checkpoint_time=0.000001") for each in ((FOLDS,), ()))
    watchers = [real.Recorder(), real.Recorder()]
    for overrides, watcher in zip((folds, holdout), watchers, strict=True):
        evaluate(real.job_of(*overrides), watcher)
    of_folds, of_one = (watcher.checkpoints[-1][1] for watcher in watchers)
    for overrides, checkpoint, said in (
        (folds, of_one, "checkpoint is not of 3 trainings at once"),
        (holdout, of_folds, "checkpoint is of 3 trainings, not of 1"),
        (("evaluation.folds=4",), of_folds, "checkpoint is not of 4 trainings at once"),
    ):
        ended = evaluate(real.job_of(*overrides), checkpoint=checkpoint)
        assert ended.outcome is Outcome.COMPLETE
        assert ended.record.notes[0].startswith(f"retrained: {said}")


@pytest.mark.parametrize("fold", [1, 2])
def test_a_fold_that_diverges_ends_the_trial_when_it_is_its_turn(real, arms, evaluate, monkeypatch, fold):
    def build(job, candidate, data, seed):
        model = build_model(job, candidate, data, seed)
        if seed == training_seed(job, 21, fold):
            torch.nn.init.constant_(model.output.weight, float("inf"))
        return model

    for arm in ("stacked", "attempt"):
        monkeypatch.setattr(f"harness.study.trial.{arm}.build_model", build)
    watchers = [real.Recorder(), real.Recorder()]
    stacked, alone = (evaluate(job, watcher, seed=21) for job, watcher in zip(arms, watchers, strict=True))
    assert (stacked.outcome, stacked.record.reason[:35]) == (Outcome.DIVERGED, "loss became NaN at step 1 (epoch 1)")
    assert lengths(stacked) == [5][: fold - 1]
    assert told_by(watchers[0]) == told_by(watchers[1])
    same_course(stacked, alone)


def test_folds_that_take_other_steps_are_trained_beside_each_other(real, evaluate, monkeypatch):
    """Of 96 samples one is left over after a batch of 95, which is left out; of 97 two are, which are a step."""
    stacks = counted(monkeypatch)
    overrides = ("task.limit=121", "evaluation.folds=5", "space.batch_size=95", "space.architecture.mlp.norm=layer")
    job = real.job_of(*overrides)
    assert {len(fold.train) for fold in job.folds} == {96, 97}
    same_course(evaluate(job), evaluate(real.job_of(*overrides, SAFE)))
    assert len(stacks) == 2


def test_folds_whose_models_have_other_shapes_are_trained_beside_each_other(real, evaluate, monkeypatch, tmp_path):
    """A category that one row has is not known where that row is for validation."""
    stacks = counted(monkeypatch)
    rows = [f"{number},{'rare' if number == 4 else 'ab'[number % 2]},{number % 3 % 2}" for number in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["size,kind,label", *rows]))
    task = f"task={{csv: {tmp_path / 'table.csv'}, target: label, split: {{test: 0.1}}}}"
    overrides = (task, FOLDS, "space.architecture.mlp.norm=layer")
    job = real.job_of(*overrides)
    assert len({fold.shape.inputs[1].cardinalities for fold in job.folds}) == 2
    same_course(evaluate(job), evaluate(real.job_of(*overrides, SAFE)))
    assert sorted(len(members) for members in stacks) == [1, 2]


def test_folds_that_are_too_large_together_are_trained_one_after_the_other(real, monkeypatch):
    job = real.job_of(FOLDS)
    mib = sum(part.placed_bytes for fold in job.folds for part in (fold.train, fold.validation)) / 2**20
    for most, stacked in ((1.01 * mib, True), (0.99 * mib, False)):
        monkeypatch.setattr("harness.study.trial.stacked.MOST_MIB", most)
        assert (key_of(job, real.assignment(job)) is not None) == stacked


def counted(monkeypatch):
    """Return a list that gets the members of every stack that is made."""
    found = []

    def made(members, *rest):
        found.append(list(members))
        return Stack(members, *rest)

    monkeypatch.setattr("harness.study.trial.stacked.Stack", made)
    return found
