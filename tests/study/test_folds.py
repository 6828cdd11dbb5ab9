"""Trials that are trained several times: in folds, or with several seeds."""

import dataclasses
import json
import math
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pytest

import harness
from harness.errors import SpecError
from harness.records import EpochRecord, Outcome, TaskKind, TrialRecord
from harness.spec import parse_spec, spec_hash
from harness.study.contract import Report
from harness.study.decide.decisions import SampledTrials
from harness.study.decide.protocol import Result
from harness.study.folds import best_epochs, running_means
from harness.study.objectives import Objective, resolve_objectives
from harness.study.stop import Stop
from harness.study.trial.building import training_seed

pytestmark = pytest.mark.usefixtures("without_charts")

FOLDS, REPEATS = "evaluation.folds=3", "evaluation.repeats=3"
ACCURACY = Objective("accuracy", maximize=True)
LAYER, SAFE = "space.architecture.mlp.norm=layer", "search.plan=safe"
"""A batch norm of the few samples at the end of an epoch makes what is rounding elsewhere large."""


@pytest.fixture(scope="module", params=["stacked", "alone"])
def folded(real, request):
    """The job of three folds, which are trained at the same time or one after the other."""
    return real.job_of(FOLDS, LAYER, *([SAFE] if request.param == "alone" else []))


@pytest.fixture(scope="module")
def whole(real, folded):
    """The trial in three folds, and the watcher that it was reported to."""
    watcher = real.Recorder()
    with real.bench() as evaluate:
        return evaluate(folded, watcher, judged=True), watcher


def test_the_value_is_the_mean_over_folds_trained_one_by_one(real, folded, whole):
    """The same samples in single trials on one holdout, whose seeds are those of the folds."""
    record = whole[0].record
    job = folded
    single = dataclasses.replace(job, spec=real.job_of(LAYER, SAFE).spec, folds=())
    alone = []
    with real.bench() as evaluate:
        for number, fold in enumerate(job.folds, start=1):
            seed = training_seed(job, 5, number)
            alone.append(evaluate(dataclasses.replace(single, dataset=fold), seed=seed).record)
    values = [each.values[0] for each in alone]
    assert record.plan.arm == ("alone" if job.spec.search.plan == "safe" else "stacked")
    assert record.values == (pytest.approx(fmean(values), abs=1e-12),)
    for name in ("loss", "f1_macro"):
        assert record.validation[name] == pytest.approx(fmean(each.validation[name] for each in alone), abs=1e-5)
    assert record.figures["value_sd"] == pytest.approx(stdev(values))
    assert record.figures["value_se"] == pytest.approx(stdev(values) / math.sqrt(3))
    assert record.best_epoch == int(fmean(each.best_epoch for each in alone) + 0.5)
    assert (record.epochs, record.reason) == (12, "trained for 3 folds, 12 epochs in all")
    assert [(e.fold, e.epoch) for e in whole[0].epochs] == [(f, e) for f in (1, 2, 3) for e in (1, 2, 3, 4)]
    assert [report.epoch.epoch for report in whole[1].reports if report.finished] == [4, 4, 4]


@pytest.mark.parametrize("how", [("objective=loss",), ("objective=loss", SAFE)], ids=["stacked", "alone"])
def test_repeats_share_their_samples_and_so_the_error_of_these(real, how):
    with real.bench() as evaluate:
        record = evaluate(real.job_of(REPEATS, *how)).record
        last = evaluate(real.job_of(*how), seed=training_seed(real.job_of(REPEATS), 5, 3)).record
    assert record.figures["value_sd"] > 0.0
    shared = last.figures["value_se"]
    assert record.figures["value_se"] == pytest.approx(math.hypot(record.figures["value_sd"] / math.sqrt(3), shared))


@pytest.mark.parametrize("place", [(1, 4), (2, 1), (2, 4), (3, 2)])
def test_a_trial_that_was_cut_off_goes_on_in_its_fold(place, real):
    """From the checkpoint at the end of a fold, or within one, to the same bits."""
    job, stop = real.job_of(FOLDS, SAFE, "budget.checkpoint_time=0.001"), Stop()

    def cut(report):
        if (report.epoch.fold, report.epoch.epoch) == place:
            stop.request(2)
        return ""

    first = real.Recorder(at_report=cut)
    with real.bench() as evaluate:
        begun = evaluate(job, first, stop=stop)
        assert begun.outcome is Outcome.INTERRUPTED
        _, checkpoint = first.checkpoints[-1]
        ended, whole = evaluate(job, checkpoint=checkpoint), evaluate(job)
    assert real.told(ended) == real.told(whole)


def test_a_checkpoint_of_a_fold_that_is_not_there_is_not_followed(real):
    watcher = real.Recorder()
    with real.bench() as evaluate:
        evaluate(real.job_of(FOLDS, SAFE), watcher)
        _, checkpoint = watcher.checkpoints[-1]
        ended = evaluate(real.job_of(), checkpoint=checkpoint)
    assert ended.outcome is Outcome.COMPLETE
    assert "it stands in fold 2 of 1" in ended.record.notes[0]


def test_it_is_pruned_between_folds(real, folded, whole):
    watcher = real.Recorder(at_report=lambda report: "enough" if report.finished and report.epoch.fold == 2 else "")
    with real.bench() as evaluate:
        ended = evaluate(folded, watcher, judged=True)
    assert (ended.outcome, ended.record.reason, ended.record.values) == (Outcome.PRUNED, "enough", ())
    assert ended.record.epochs == 8
    first = [epoch.validation for epoch in best_epochs(ACCURACY, whole[0].epochs)[:2]]
    assert ended.record.validation["accuracy"] == pytest.approx(fmean(each["accuracy"] for each in first))


def epochs_of(trial, values):
    """Return two epochs of each fold, the first of which is better than the second."""
    numbers = {"learning_rate": 0.1, "gradient_norm": 1.0, "train_s": 1.0, "validation_s": 1.0, "train_samples_s": 1.0}
    return [
        EpochRecord(
            trial=trial, fold=fold, epoch=epoch, train={}, validation={"accuracy": value - 0.1 * (epoch - 1)}, **numbers
        )
        for fold, value in enumerate(values, start=1)
        for epoch in (1, 2)
    ]


def test_a_running_mean_is_that_of_the_best_epochs():
    found = running_means(ACCURACY, epochs_of(0, [0.5, 0.9, 0.7]))
    assert [epoch.epoch for epoch in found] == [1, 2, 3]
    assert [epoch.validation["accuracy"] for epoch in found] == pytest.approx([0.5, 0.7, 0.7])


@pytest.mark.parametrize("pruner", ["median", "dominated"])
def test_pruners_compare_the_running_mean_with_those_of_others_at_the_same_fold(pruner):
    """Others reach 0.5 in their first fold and 0.9 in the second: means of 0.5 and 0.7."""
    spec = parse_spec(
        "task: digits\nspace: {architecture: {mlp: {width: {int: [8, 512]}}}}",
        origin="x",
        overrides=["objective=accuracy", f"search.pruner={pruner}", FOLDS, "search.sampler=tpe"],
    )
    source = SampledTrials(spec, resolve_objectives(spec, TaskKind.CLASSIFICATION), [])
    for _ in range(12):
        stretch = source.ask(99)
        record = TrialRecord(
            trial=stretch.trial, outcome=Outcome.COMPLETE, reason="", candidate={}, params=stretch.params, values=(0.7,)
        )
        source.tell(stretch, Result(record, epochs_of(stretch.trial, [0.5, 0.9, 0.7])))
    stretch = source.ask(99)

    def verdicts(values):
        epochs = epochs_of(stretch.trial, values)
        reports = [Report(epoch, {}, finished=epoch.epoch == 2) for epoch in epochs]
        return [bool(source.should_prune(stretch, report, epochs[: n + 1])) for n, report in enumerate(reports)]

    assert verdicts([0.4]) == [False, True], "not before the fold is at its end"
    assert verdicts([0.6, 0.6]) == [False, False, False, True], "0.6 is below 0.7, though it began above 0.5"
    assert verdicts([0.6, 0.9, 0.1]) == [False] * 6, "after the last fold there is nothing to save"


SPACE = """
task: {builtin: digits, limit: 100}
objective: accuracy
budget: {trials: 2, epochs: 2}
search: {pruner: none, sampler: random, deterministic: true, baselines: false, checks: false}
training: {precision: fp32}
space: {architecture: {mlp: {depth: 1, width: {int: [4, 32]}}}, batch_size: 32}
"""


@pytest.mark.slow
def test_a_search_with_folds_from_its_space_to_its_report(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE + "evaluation: {folds: 3}\n")
    result = harness.search(str(space), out=tmp_path, device="cpu", workers=0)
    trials, epochs = result.trials, result.epochs
    assert trials["epochs"].tolist() == [6, 6]
    best = epochs.groupby(["trial", "fold"])["validation_accuracy"].max().groupby("trial")
    assert trials["value"].tolist() == pytest.approx(best.mean().tolist())
    assert trials["value_sd"].tolist() == pytest.approx(best.std().tolist())
    assert (result.stats["test"]["final"], result.stats["evaluation"]) == ("refit", {"folds": 3})
    splits = pd.read_parquet(result.run / "splits.parquet")
    sizes = splits.groupby(["part", "fold"]).size()
    assert sizes["validation"].tolist() == [34, 33, 33]
    assert splits["index"].is_unique
    assert not np.isnan(result.test["accuracy"])
    text = (result.run / "report.md").read_text()
    assert ", standard deviation over 3 folds 0.0" in text
    again = harness.search(resume=result.run, trials=3, device="cpu", workers=0)
    assert again.trials["value"].tolist()[:2] == trials["value"].tolist()


@pytest.mark.slow
def test_worker_processes_find_the_same(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(SPACE + "evaluation: {folds: 3}\n")
    alone, shared = (harness.search(str(space), out=tmp_path, device="cpu", workers=workers) for workers in (0, 2))
    assert shared.trials["value"].tolist() == alone.trials["value"].tolist()
    assert shared.test == alone.test


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("evaluation: {folds: 3, repeats: 3}", "folds and repeats exclude each other"),
        ("evaluation: {folds: 1}", "evaluation.folds: expected a number from 2 to 100, or auto, got 1"),
        ("evaluation: {folds: many}", "evaluation.folds: expected a number from 2 to 100, or auto, got 'many'"),
        ("evaluation: {fold: 3}", "evaluation.fold: unknown key; did you mean 'folds'?"),
        ("evaluation: {folds: 3}\nsearch: {pruner: asha}", "'asha' pauses trials between epochs"),
    ],
)
def test_what_does_not_go_together_is_refused(wrong, message):
    with pytest.raises(SpecError) as raised:
        parse_spec(f"task: digits\nspace: {{architecture: mlp}}\n{wrong}", origin="x")
    assert message in str(raised.value)


def test_rows_in_order_are_not_dealt():
    text = "task: {csv: a.csv, target: y, split: {order: day}}\nspace: {architecture: mlp}\n"
    with pytest.raises(SpecError, match=r"evaluation\.folds: rows in the order of task\.split\.order"):
        parse_spec(text + "evaluation: {folds: 3}", origin="x")
    assert parse_spec(text + "evaluation: {repeats: 3}", origin="x").evaluation.trainings == 3


def test_one_holdout_is_the_space_that_it_was():
    spec = parse_spec(SPACE, origin="x")
    assert spec_hash(parse_spec(SPACE + "evaluation: {}", origin="x")) == spec_hash(spec)
    assert spec_hash(parse_spec(SPACE + "evaluation: {folds: 3}", origin="x")) != spec_hash(spec)
    assert json.dumps(spec.evaluation.model_dump()) == '{"folds": null, "repeats": null}'
