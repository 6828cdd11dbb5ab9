"""What a trial costs beside its training: asked for, judged 20 times, stored and told; Optuna's `optimize` beside it.

    python benchmarks/study_overhead.py [--trials 10000] [--sampler random]

Claim: at most 15 ms, and the 10,000th trial costs no more than the first. Trials are asked for, judged and stored one
by one, and in programs of ``--group`` trials as the coordinator does where they are trained together. With the random
sampler in programs of 16, 5.7 to 5.9 ms of CPU a trial without a pruner and 11.5 to 12.1 with the median rule; one by
one 8.1 to 9.1 and 15.2 to 15.4 (2 or 3 runs of 300 trials on two cores of an AMD EPYC that much other work shared,
load 15, which makes each ms of CPU about two).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import torch

from harness.data import load
from harness.problems import problems
from harness.records import EpochRecord, Outcome, TaskKind, TrialRecord
from harness.spec import Spec, parse_spec
from harness.store import RunFolder, StudyDatabase
from harness.study import Observer
from harness.study.archive import Archive
from harness.study.contract import Assignment, Capabilities, Evaluation, Group, Grouping, Lost, Report, Watcher
from harness.study.coordinator import Coordinator
from harness.study.decide.decisions import SampledTrials
from harness.study.decide.samplers import build_sampler
from harness.study.decide.suggest import suggest
from harness.study.execute.packing import Packing
from harness.study.job import Job
from harness.study.objectives import resolve_objectives
from harness.study.stop import Stop

EPOCHS = 20
WINDOW = 200
"""Trials at the beginning and at the end that the medians are taken over."""
SPACE = f"""
task: digits
objective: accuracy
budget: {{trials: 10, epochs: {EPOCHS}}}
search: {{pruner: PRUNER, sampler: SAMPLER}}
space:
  architecture:
    mlp: {{depth: {{int: [1, 8]}}, width: {{int: [8, 512], log: true}}, dropout: {{float: [0, 0.5]}}}}
  optimizer:
    sgd: {{lr: {{float: [1.0e-4, 1.0], log: true}}, momentum: {{float: [0, 0.99]}}, weight_decay: {{float: [0, 0.1]}}}}
  batch_size: [16, 32, 64, 128]
  label_smoothing: {{float: [0, 0.2]}}
"""
METRICS_OF_AN_EPOCH = dict.fromkeys(problems["classification"].summed, 0.5)


class Instant:
    """An executor whose training takes no time: every epoch is reported, and the trial is complete."""

    def __init__(self) -> None:
        self._group: Group = ()
        self.stamps: list[float] = []

    def capabilities(self) -> Capabilities:
        """Return that there is one slot."""
        return Capabilities(1, 1, "cpu", "nowhere")

    def submit(self, group: Group) -> int:
        """Take it."""
        self._group = group
        return 0

    def wait(self, watcher: Watcher, timeout_s: float) -> list[Evaluation | Lost]:
        """Report every epoch, and be done."""
        del timeout_s
        values = [value_of(dict(assignment.params)) for assignment in self._group]
        epochs = [
            [epoch_record(assignment.trial, epoch, value) for epoch in range(1, EPOCHS + 1)]
            for assignment, value in zip(self._group, values, strict=True)
        ]
        for reports in zip(*epochs, strict=True):
            watcher.judge_all([Report(epoch, {}) for epoch in reports])
        ended, self._group = self._group, ()
        self.stamps += [time.perf_counter()] * len(ended)
        return [evaluation(*each) for each in zip(ended, values, epochs, strict=True)]

    def cancel(self, trial: int, reason: str) -> None:
        """Nothing lasts long enough."""
        del trial, reason

    def rest(self) -> None:
        """Nobody helps."""

    def close(self) -> None:
        """Nothing to close."""


def evaluation(assignment: Assignment, value: float, epochs: list[EpochRecord]) -> Evaluation:
    """Return a trial that was trained to its end."""
    record = TrialRecord(
        trial=assignment.trial,
        outcome=Outcome.COMPLETE,
        reason="trained for all epochs",
        candidate=assignment.candidate.as_dict(),
        params=assignment.params,
        values=(value,),
        epochs=EPOCHS,
        best_epoch=EPOCHS,
        validation=epochs[-1].validation,
        seconds=0.0,
    )
    return Evaluation(record, epochs)


def epoch_record(trial: int, epoch: int, value: float) -> EpochRecord:
    """Return an epoch on the way to a value."""
    return EpochRecord(
        trial=trial,
        epoch=epoch,
        train=METRICS_OF_AN_EPOCH,
        validation={**METRICS_OF_AN_EPOCH, "accuracy": value * epoch / EPOCHS},
        learning_rate=0.1,
        gradient_norm=1.0,
        train_s=1.0,
        validation_s=0.1,
        train_samples_s=1e4,
    )


def value_of(params: dict[str, Any]) -> float:
    """Return something smooth that every parameter moves."""
    return 1 / (1 + sum((float(value) % 1.0 - 0.3) ** 2 for value in params.values()))


def ours(spec: Spec, folder: Path, *, group: int = 1) -> list[float]:
    """Return the times at which trials were handed to be trained."""
    run = RunFolder.create(folder, "overhead")
    objectives = resolve_objectives(spec, TaskKind.CLASSIFICATION)
    data = load(spec.task, seed=0).training_data()
    job = Job(spec, data, torch.device("cpu"), objectives)
    database = StudyDatabase.open(run.file("study.db"), study="harness", directions=["maximize"])
    executor = Instant()
    archive = Archive(run, database, objectives, spec.limits)
    source = SampledTrials(spec, objectives, archive.known)
    packing, grouping = Packing(1, 1, float("inf")), Grouping(group, lambda _: "alike")
    coordinator = Coordinator(job, archive, source, executor, packing, Stop(), Observer(), grouping)
    for _ in coordinator.run(spec.total):
        pass
    database.close()
    run.close()
    return executor.stamps


def optunas(spec: Spec, folder: Path, *, wal: bool) -> list[float]:
    """Return the same of Optuna's own loop over its own SQLite storage."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / f'optuna-{wal}.db'}")
    if wal:
        storage.engine.dispose()

        def configure(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")

        import sqlalchemy

        sqlalchemy.event.listen(storage.engine, "connect", configure)
    stamps: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        value = value_of(suggest(trial, spec.group))
        for epoch in range(1, EPOCHS + 1):
            trial.report(value * epoch / EPOCHS, epoch)
            trial.should_prune()
        stamps.append(time.perf_counter())
        return value

    study = optuna.create_study(
        storage=storage, direction="maximize", sampler=build_sampler(spec, 0), pruner=optuna.pruners.NopPruner()
    )
    study.optimize(objective, n_trials=spec.total)
    return stamps


def milliseconds(stamps: list[float]) -> tuple[float, float]:
    """Return the mean time between two trials, in the first and the last window."""
    window = min(WINDOW, len(stamps) - 1)
    first, last = stamps[window] - stamps[0], stamps[-1] - stamps[-window - 1]
    return 1e3 * first / window, 1e3 * last / window


def main() -> None:
    """Measure each and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--optuna-trials", type=int, default=1000, help="Optuna's arms take longer")
    parser.add_argument("--group", type=int, default=16, help="trials of a program, at most what the sampler can give")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--pruner", default="none")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def spec(trials: int) -> Spec:
        text = SPACE.replace("SAMPLER", options.sampler).replace("PRUNER", options.pruner)
        return parse_spec(text, origin="benchmark", overrides=[f"budget.trials={trials}"])

    arms: dict[str, tuple[int, Callable[[Spec, Path], list[float]]]] = {
        "harness, SQLite in WAL mode": (options.trials, ours),
        f"the same, programs of {options.group}": (options.trials, lambda s, f: ours(s, f, group=options.group)),
        "optuna optimize, SQLite in WAL mode": (options.optuna_trials, lambda s, f: optunas(s, f, wal=True)),
        "optuna optimize, SQLite as it is": (options.optuna_trials, lambda s, f: optunas(s, f, wal=False)),
    }
    print(f"{options.sampler} sampler, 8 parameters, {EPOCHS} reports a trial; mean ms per trial")
    print(f"{'':<38} {'first ' + str(WINDOW):>10} {'last ' + str(WINDOW):>10}   trials")
    for name, (trials, arm) in arms.items():
        with tempfile.TemporaryDirectory() as folder:
            first, last = milliseconds(arm(spec(trials), Path(folder)))
        print(f"{name:<38} {first:>10.2f} {last:>10.2f}   {trials}", flush=True)


if __name__ == "__main__":
    main()
