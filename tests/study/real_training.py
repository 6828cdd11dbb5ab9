"""Real trials on a few digits, for the tests of what evaluates: jobs, assignments, a watcher that records."""

from contextlib import contextmanager
from dataclasses import replace

import torch

from harness.hardware import Sampler, meters_for
from harness.measure import only_new_garbage
from harness.records import Figures
from harness.spec import options_of, parse_spec
from harness.study.contract import Assignment
from harness.study.decide.points import middle_candidate
from harness.study.search import Request, open_search
from harness.study.stop import Stop
from harness.study.trial.evaluate import Evaluator

SPACE = """
task: {builtin: digits, limit: 120}
objective: accuracy
budget: {trials: 1, epochs: 4, checkpoint_time: 1000}
search: {pruner: none}
training: {precision: fp32}
space:
  architecture: {mlp: {depth: 1, width: 16, norm: batch, dropout: 0.2}}
  optimizer: {adamw: {lr: 0.02}}
  schedule: cosine
  batch_size: 32
"""
OWN = "{{architecture: {{own: {{family: '{}:build', {}}}}}, batch_size: {}, optimizer: {{sgd: {{lr: 0.1}}}}}}"


def job_of(*overrides, device="cpu"):
    """Return the job of the space with these overrides, on a CPU unless told otherwise."""
    spec = parse_spec(SPACE, origin="x", overrides=overrides)
    return open_search(Request(spec=spec, device=device, trust=True)).job


def own_job(*overrides, module="planted", batch=32, **params):
    """Return the job whose one architecture is ``build`` of a module with these parameters."""
    listed = ", ".join(f"{name}: {value}" for name, value in params.items())
    return job_of(f"space={OWN.format(module, listed, batch)}", *overrides)


def assignment(job, *, trial=3, seed=5, until=None, **options):
    """Return the assignment of the job's first architecture."""
    candidate = middle_candidate(job.spec, options_of(job.spec)[0])
    until = until or job.spec.budget.epochs
    return Assignment(trial=trial, seed=seed, candidate=candidate, params={}, until=until, **options)


class Recorder:
    """A watcher that remembers, and does what it is told at a report or a checkpoint."""

    def __init__(self, at_report=None, at_checkpoint=None):
        self.at_report, self.at_checkpoint = at_report, at_checkpoint
        self.reports, self.checkpoints = [], []

    def judge(self, report):
        self.reports.append(report)
        return self.at_report(report) if self.at_report else ""

    def judge_all(self, reports):
        return [self.judge(report) for report in reports]

    def keep(self, trial, checkpoint):
        self.checkpoints.append((trial, checkpoint))
        if self.at_checkpoint:
            self.at_checkpoint(checkpoint)

    @property
    def epochs(self):
        return [report.epoch.epoch for report in self.reports]


@contextmanager
def bench(sampler=None):
    """Yield a function that evaluates an assignment of a job in a fresh evaluator."""
    with sampler or Sampler(meters_for(torch.device("cpu"))) as sampler, only_new_garbage():

        def evaluate(job, watcher=None, stop=None, **options):
            try:
                evaluator = Evaluator(job, sampler, stop or Stop())
                (evaluation,) = evaluator.evaluate((assignment(job, **options),), watcher or Recorder())
                return evaluation
            finally:
                after = sampler.sample()
                assert all(each.time_unix_s < after for each in sampler.drain()), (
                    "its telemetry goes on under its number"
                )

        yield evaluate


def quick_speed(*_arguments, **_options):
    """Return what measuring the speed, which takes a second, would."""
    names = ("train_samples_s", "inference_samples_s", "latency_p50_ms", "latency_p95_ms")
    return Figures(dict.fromkeys(names, 1.0))


def told(evaluation, *, notes=True):
    """Return everything of an evaluation but times and what was measured, as text: equal to the last bit, NaN too."""
    record = evaluation.record
    plan = record.plan and replace(
        record.plan, precision_ratio=0.0, layout_reason="", data_reason="", threads_reason=""
    )
    same = replace(
        record,
        plan=plan,
        figures={name: record.figures[name] for name in ("parameters", "flops") if name in record.figures},
        reasons={},
        notes=record.notes if notes else (),
        started_unix_s=0.0,
        seconds=0.0,
        lost_s=0.0,
        attempts=0,
    )
    epochs = [replace(epoch, train_s=0.0, validation_s=0.0, train_samples_s=0.0) for epoch in evaluation.epochs]
    return repr((same, epochs, evaluation.weights, evaluation.traceback))
