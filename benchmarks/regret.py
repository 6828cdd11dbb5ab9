"""What it costs to ask several trials at a time, and what first candidates save: samplers replayed on stored tables.

Run: ``OMP_NUM_THREADS=1 python benchmarks/regret.py lag|first [--seeds 20] [--out FILE.csv]``, minutes of one core.
Nothing is trained: a forest of extra trees, fitted to a table of candidates that were (benchmarks/regret_tables.py),
says what a candidate would have come to, and the samplers of the program are asked and told as in a search. The error
is 1 - metric where the metric is made large, else the metric; regret is the logarithm of the best error so far less
that of the best error known to the surrogate. Ratios are of mean regrets over seeds and spaces, with a bootstrap 95 %
interval over seeds. The surrogate has no noise of its own and is smoother than training.

``lag`` shows a sampler the results of the trials up to K before, as asking K at a time does, and those that the program
shows it (``program``), which asks for fewer at first. ``first`` sets the program (its first candidates and its sampler)
against Optuna's sampler with its defaults from scratch in the same space, and says after how many trials each has the
regret that Optuna has after 30. A warm start begins with the five best candidates of an earlier search of 64 trials, of
another task of the same kind.

Measured for ``--spaces digits,diabetes`` with 20 seeds: the regret of ``tpe`` at K = 4, 8, 16 and 32 is 1.13 (0.89 to
1.45), 1.13 (0.91 to 1.42), 1.26 (1.04 to 1.53) and 1.22 (0.99 to 1.50) of that at 1 after 30 trials, and 1.09 (0.81 to
1.54), 1.24 (0.87 to 1.84), 1.40 (1.06 to 1.98) and 1.35 (1.01 to 1.91) after 64. So 16 at a time cost something; 4 and
8 may, and a loss of 5 % would not be seen. With 100 seeds 4 at a time have 1.02 (0.91 to 1.13) and 0.92 (0.78 to 1.07),
and what the program shows 1.06 (0.93 to 1.19) and 0.96 (0.80 to 1.14).

With 60 seeds of these two the program, shown each result at once, has 1.16 (1.02 to 1.31) of the regret of Optuna's
defaults after 30 trials and 0.94 (0.74 to 1.17) after 64; without its first candidates 0.90 (0.76 to 1.06) and 0.73
(0.58 to 0.94), so that on these surrogates they save no trials. Where the model waits for five trials of chance after
them, it has 0.95 (0.81 to 1.11) and 0.77 (0.61 to 0.97); but shown results as late as the program shows them, it then
waits for more of them: after 30 trials it has 1.37 times (1.22 to 1.56) the regret that it has at K = 1, so that
nothing is gained.

Of all four spaces with 20 seeds the program has 1.05 (0.90 to 1.20) and 0.86 (0.64 to 1.09) of the regret of Optuna's
defaults, without first candidates 0.87 (0.74 to 1.01) and 0.77 (0.64 to 0.93), with a warm start 1.16 (0.91 to 1.41)
and 0.93 (0.71 to 1.18). What Optuna reaches in 30 trials a warm start reaches for digits in 19, for clothes in 21 and
for breast-cancer in 6, where the first candidate alone is as good; for diabetes it takes 59, since what is best for
breast-cancer, or was first anyway, is not good there. So half the trials is not what either saves in general.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pyarrow.parquet as pq
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from regret_tables import FOLDER, SPACES, record
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import cross_val_predict

from harness.records import Outcome
from harness.spec import Categorical, Spec, candidate_at, load_spec, parameters
from harness.spec.first import fitted
from harness.spec.parameters import Scalar
from harness.study.decide.lag import Lag, lag_of
from harness.study.decide.mirror import Mirror
from harness.study.decide.samplers import samplers, trial_seed
from harness.study.decide.suggest import suggest
from harness.study.objectives import Objective
from harness.study.warm_start import MOST

PROGRAM = "program"
"""The lag that a search of the program has."""
LAGS = ("1", "4", "8", "16", "32", PROGRAM)
ONE = Lag(free=0, most=1, share=0.0)
"""Each result is known when the next trial is decided."""
LOOKS = (30, 64)
"""After how many trials the regret is compared."""
EARLIER = {"digits": "clothes", "clothes": "digits", "diabetes": "breast-cancer", "breast-cancer": "diabetes"}
"""Of each space, the task of an earlier search that its own begins with the best candidates of."""
LIMIT = 2e-3
"""Errors are no smaller."""
BAD = 0.8
"""What is worse than this share of a table counts as no worse."""
Trace = list[float]
"""The regret after each trial."""


@samplers.register("tpe-without-liar")
def _without_liar(spec: Spec, number: int) -> BaseSampler:
    seed = trial_seed(spec.search.seed, number)
    return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=5, constant_liar=False)


@samplers.register("tpe-later")
def _later(spec: Spec, number: int) -> BaseSampler:
    """Go by results only once five trials of chance have followed the first candidates."""
    seed, startup = trial_seed(spec.search.seed, number), len(spec.search.first) + 5
    return TPESampler(seed=seed, multivariate=True, group=True, n_startup_trials=startup)


class Surrogate:
    """The logarithm of the error that candidates of a space come to, by a forest fitted to those that were trained."""

    def __init__(self, name: str) -> None:
        self.name, (self._space, self._overrides) = name, SPACES[name]
        self.group = self.spec().group
        self._parameters = list(parameters(self.group))
        table = pq.read_table(FOLDER / f"{name}.parquet").to_pydict()
        rows = np.array([self._encode(json.loads(text)) for text in table["params"]])
        values = np.array(table["value"])
        errors = np.log(np.maximum(1.0 - values if self._space == "digits" else values, LIMIT))
        # What diverges nearly has an error of any size, which would be all that the forest learns.
        errors = np.minimum(errors, np.quantile(errors, BAD))
        forest = ExtraTreesRegressor(60, min_samples_leaf=2, max_features=0.6, random_state=0)
        self.correlation = float(np.corrcoef(cross_val_predict(forest, rows, errors, cv=10), errors)[0, 1])
        self._trees = [tree.tree_ for tree in forest.fit(rows, errors).estimators_]
        study = optuna.create_study(sampler=RandomSampler(seed=0))
        drawn = np.array([self._encode(suggest(study.ask(), self.group)) for _ in range(2000)])
        self.least = float(forest.predict(np.concatenate([rows, drawn])).min())

    def spec(self, **search: object) -> Spec:
        """Return the space as it is shipped, with some keys of ``search`` in place of its own."""
        return load_spec(self._space, [*self._overrides, *(f"search.{key}={value}" for key, value in search.items())])

    def __call__(self, params: Mapping[str, object]) -> float:
        """Return what a candidate comes to."""
        row = np.array([self._encode(params)], dtype=np.float32)
        return float(np.mean([tree.predict(row)[0, 0] for tree in self._trees]))

    def _encode(self, params: Mapping[str, object]) -> list[float]:
        """Return ranges from 0 to 1 on their scale, values of a list as indicators, and what does not exist as -1."""
        row: list[float] = []
        for path, node in ((each.path, each.node) for each in self._parameters):
            value = params.get(path)
            if isinstance(node, Categorical):
                row += [float(value == choice) if path in params else -1.0 for choice in node.choices]
            elif not isinstance(value, int | float):
                row.append(-1.0)
            else:
                scale: Callable[[float], float] = math.log if node.log else float
                row.append((scale(value) - scale(node.low)) / (scale(node.high) - scale(node.low)))
        return row


def replay(surrogate: Surrogate, spec: Spec, total: int, lag: Lag = ONE) -> Trace:
    """Search with the program's sampler, which learns of results as late as ``lag`` says."""
    return best_so_far([error for _, error in searched(surrogate, spec, total, lag)], surrogate)


def searched(
    surrogate: Surrogate, spec: Spec, total: int, lag: Lag = ONE
) -> Iterator[tuple[Mapping[str, Scalar], float]]:
    """Yield the parameters and the error of each trial of such a search."""
    mirror = Mirror(spec, [Objective("error", maximize=False)])
    errors: list[float] = []
    told = 0
    for number in range(total):
        for known in range(told, lag.known(number)):
            mirror.tell(record(known, Outcome.COMPLETE, {}, values=(errors[known],)), [])
        told = max(told, lag.known(number))
        params = mirror.ask().params
        errors.append(surrogate(params))
        yield params, errors[-1]


def from_scratch(surrogate: Surrogate, seed: int, total: int) -> Trace:
    """Search the same space with Optuna's own sampler and its defaults."""
    study = optuna.create_study(sampler=TPESampler(seed=seed))
    errors: list[float] = []
    for _ in range(total):
        trial = study.ask()
        errors.append(surrogate(suggest(trial, surrogate.group)))
        study.tell(trial, errors[-1])
    return best_so_far(errors, surrogate)


def best_so_far(errors: Sequence[float], surrogate: Surrogate) -> Trace:
    """Return the regret after each trial."""
    return [float(error) - surrogate.least for error in np.minimum.accumulate(errors)]


def lagged(surrogate: Surrogate, seed: int, names: Sequence[str], lags: Sequence[str]) -> Iterator[tuple[str, Trace]]:
    """Yield what each sampler comes to at each lag, in the space as it is shipped."""
    for name in names:
        spec = surrogate.spec(sampler=name, seed=seed)
        for lag in lags:
            late = lag_of(spec) if lag == PROGRAM else Lag(free=0, most=int(lag), share=0.0)
            yield f"{name} {lag}", replay(surrogate, spec, max(LOOKS), late)


def warm(surrogate: Surrogate, earlier: Surrogate, seed: int) -> Spec:
    """Return the space with the best candidates of an earlier search, of another task, before its own first ones."""
    spec, before = surrogate.spec(seed=seed), earlier.spec(seed=seed)
    found: list[dict[str, object]] = []
    for params, _ in sorted(searched(earlier, before, max(LOOKS)), key=lambda trial: trial[1]):
        candidate, _ = fitted(spec.group, candidate_at(before, params).as_dict())
        if candidate not in found:
            found.append(candidate)
    search = spec.search.model_copy(update={"first": (*found[:MOST], *spec.search.first)})
    return spec.model_copy(update={"search": search})


def primed(surrogate: Surrogate, earlier: Surrogate, seed: int) -> Iterator[tuple[str, Trace]]:
    """Yield what Optuna comes to and the program, without first candidates, with its own, and with a warm start."""
    total = max(LOOKS)
    yield "optuna", from_scratch(surrogate, seed, total)
    yield "harness without first", replay(surrogate, surrogate.spec(seed=seed, first=[]), total)
    yield "harness", replay(surrogate, surrogate.spec(seed=seed), total)
    yield "harness, warm start", replay(surrogate, warm(surrogate, earlier, seed), total)
    yield "harness, model later", replay(surrogate, surrogate.spec(seed=seed, sampler="tpe-later"), total)


def ratio(frame: pd.DataFrame, arm: str, base: str, trials: int) -> str:
    """Return the ratio of two arms' mean regrets after so many trials, with its interval over seeds."""
    at = frame[frame["trials"] == trials].pivot_table(index=["space", "seed"], columns="arm", values="regret")
    # Each space counts alike, whatever the size of its regrets.
    scale = at.groupby("space")[base].transform("mean")
    over, under = (at[name].div(scale).groupby("seed").mean().to_numpy() for name in (arm, base))
    drawn = np.random.default_rng(0).integers(len(over), size=(2000, len(over)))
    low, high = np.quantile(over[drawn].mean(1) / under[drawn].mean(1), [0.025, 0.975])
    return f"{over.mean() / under.mean():.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Replay, keep the regrets as CSV, and print the ratios."""
    stored = [name for name in SPACES if (FOLDER / f"{name}.parquet").is_file()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("lag", "first"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--samplers", default="tpe,tpe-without-liar,nsga2,cmaes")
    parser.add_argument("--lags", default=",".join(LAGS))
    parser.add_argument("--spaces", default=",".join(stored))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = []
    known = {name: Surrogate(name) for name in stored}
    for surrogate in (known[name] for name in options.spaces.split(",")):
        print(f"{surrogate.name}: held-out correlation of the surrogate {surrogate.correlation:.2f}", flush=True)
        for seed in range(options.seeds):
            names, lags = options.samplers.split(","), options.lags.split(",")
            arms = (
                primed(surrogate, known[EARLIER[surrogate.name]], seed)
                if options.what == "first"
                else lagged(surrogate, seed, names, lags)
            )
            for arm, trace in arms:
                rows += [(surrogate.name, seed, arm, trials, regret) for trials, regret in enumerate(trace, 1)]
    frame = pd.DataFrame(rows, columns=["space", "seed", "arm", "trials", "regret"])
    if options.out:
        frame.to_csv(options.out, index=False, float_format="%.5f")
    show(frame, options.what)
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def show(frame: pd.DataFrame, what: str) -> None:
    """Print the ratios of regrets, and how many trials reach the same."""
    for arm in dict.fromkeys(frame["arm"]):
        base = "optuna" if what == "first" else f"{arm.split()[0]} 1"
        print(f"{arm:24}", *(f"after {trials}: {ratio(frame, arm, base, trials)}" for trials in LOOKS))
    for space in dict.fromkeys(frame["space"]) if what == "first" else ():
        means = frame[frame["space"] == space].groupby(["arm", "trials"])["regret"].mean().unstack("trials")
        goal = means.loc["optuna", LOOKS[0]]
        reached = {arm: int(np.argmax(mean <= goal)) + 1 for arm, mean in means.iterrows() if (mean <= goal).any()}
        print(f"{space}: Optuna's mean regret after {LOOKS[0]} trials, {goal:.3f}, is reached after {reached}")


if __name__ == "__main__":
    main()
