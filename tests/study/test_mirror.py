import dataclasses
import json
import math
import sys

import optuna
import pytest

from harness.errors import StorageError
from harness.records import EpochRecord, Outcome, TrialRecord
from harness.spec import candidate_at, parameters, parse_spec
from harness.study.decide.mirror import Mirror
from harness.study.decide.samplers import build_sampler, needs_replay, samplers
from harness.study.decide.suggest import suggest
from harness.study.objectives import Objective

pytestmark = pytest.mark.usefixtures("without_charts")

SPACE = """
task: digits
budget: {epochs: 6}
space:
  architecture:
    mlp: {depth: {int: [1, 4]}, width: {int: [8, 64], log: true}, norm: [batch, none]}
    cnn: {width: {int: [16, 64], step: 16}, head: {linear: {}, mlp: {width: {int: [8, 32], step: 8}}}}
  optimizer: {adamw: {lr: {float: [1e-4, 1e-1], log: true}}, sgd: {lr: {float: [1e-3, 1.0], log: true}}}
  batch_size: {int: [16, 128]}
  label_smoothing: {float: [0.0, 0.5]}
"""
FINITE = """
task: digits
space: {architecture: {mlp: {depth: {int: [1, 3]}}, cnn: {norm: [batch, none]}}, batch_size: [8, 16, 32, 64, 128, 256]}
"""
ONE = "task: digits\nspace: {architecture: mlp, batch_size: {int: [16, 64]}}"
ODD = {
    "categorical": "task: digits\nspace: {architecture: [mlp, cnn], batch_size: [32, 64]}",
    "one number": ONE,
    "one step": "task: digits\nspace: {architecture: mlp, optimizer: {sgd: {lr: {float: [0.1, 0.7], step: 0.2}}}}",
    "none": "task: digits\nspace: {architecture: mlp}",
}
ACCURACY = Objective("accuracy", maximize=True)
LOSS = Objective("loss", maximize=False)
FIRST = (ACCURACY,)
ALL = 10**6
"""A horizon behind which there is nothing."""
BOTH = (ACCURACY, LOSS)


def spec_of(text, *overrides, **search):
    return parse_spec(
        text, origin="x", overrides=[*(f"search.{key}={value}" for key, value in search.items()), *overrides]
    )


def epochs_of(number, values):
    return [
        EpochRecord(
            trial=number,
            epoch=epoch,
            train={},
            validation={"accuracy": value, "loss": -value},
            learning_rate=0.1,
            gradient_norm=1.0,
            train_s=1.0,
            validation_s=0.1,
            train_samples_s=1.0,
        )
        for epoch, value in enumerate(values, 1)
    ]


def record_of(number, outcome=Outcome.COMPLETE, values=()):
    return TrialRecord(trial=number, outcome=outcome, reason="r", candidate={}, params={}, values=values)


def result_of(number, params, objectives=FIRST):
    """Return some result that every parameter moves, of every kind now and then."""
    quality = math.sin(sum(len(str(v)) if isinstance(v, str) else 3.7 * float(v) for v in params.values()))
    epochs = epochs_of(number, [quality * epoch / 6 for epoch in range(1, 7)])
    if number % 5 == 3:
        return record_of(number, Outcome.PRUNED), epochs[:2]
    other = {6: Outcome.OOM, 9: Outcome.CRASHED, 12: Outcome.DIVERGED}.get(number % 13)
    if other:
        return record_of(number, other), epochs[:4] if other is Outcome.DIVERGED else []
    return record_of(number, values=(quality, -quality)[: len(objectives)]), epochs


def search(spec, total, *, lag=1, cut=0, objectives=FIRST):
    """Search with results that arrive ``lag`` trials late, in a new mirror after trial ``cut``."""
    mirror, log, proposals = Mirror(spec, objectives), [], []
    while len(mirror) < total:
        if cut and len(mirror) == cut:
            mirror, cut = Mirror(spec, objectives), 0
            for action, *what in log:
                getattr(mirror, action)(*what)
        assert len(mirror) == len(proposals)
        proposal = mirror.ask()
        log.append(("insert", proposal.params))
        proposals.append(proposal)
        if (late := len(mirror) - lag) >= 0:
            result = result_of(late, proposals[late].params, objectives)
            mirror.tell(*result)
            log.append(("tell", *result))
    return proposals


def names(*samplers):
    """Return samplers for a test; Gaussian processes take long."""
    return [pytest.param(name, marks=pytest.mark.slow) if name == "gp" else name for name in sorted(samplers)]


@pytest.mark.parametrize("lag", [1, 8])
@pytest.mark.parametrize("name", names(*samplers))
def test_eleven_and_nineteen_trials_are_the_thirty_of_one_go(name, lag):
    # Gaussian processes are slow; they begin at the fifth complete trial.
    cut, total = (9 + lag, 11 + lag) if name == "gp" else (11, 30)
    text = FINITE if name == "grid" else SPACE
    whole = search(spec_of(text, sampler=name, seed=3), total, lag=lag)
    assert search(spec_of(text, sampler=name, seed=3), total, lag=lag, cut=cut) == whole
    assert search(spec_of(text, sampler=name, seed=4), 5, lag=lag) != whole[:5]


@pytest.mark.parametrize("name", ["tpe", "random", "nsga2", "qmc"])
def test_one_after_the_other_samplers_offer_what_they_offer_a_study_of_optuna(name):
    spec = spec_of(SPACE, sampler=name)
    study = optuna.create_study(direction="maximize")
    for number, proposal in enumerate(search(spec, 40)):
        study.sampler = build_sampler(spec, number)
        trial = study.ask()
        assert suggest(trial, spec.group) == proposal.params
        record, epochs = result_of(number, proposal.params)
        for epoch in epochs:
            trial.report(epoch.validation["accuracy"], epoch.epoch)
        if record.outcome is Outcome.COMPLETE:
            study.tell(trial, list(record.values))
        elif record.outcome is Outcome.CRASHED:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            if record.outcome is not Outcome.PRUNED:
                trial.set_constraint("broken", 1.0)
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)


@pytest.mark.slow
@pytest.mark.parametrize("name", names("tpe", "random", "gp", "nsga2", "qmc"))
def test_several_objectives_are_searched_in_two_parts_as_in_one(name):
    spec = spec_of(SPACE, "objective=[accuracy, loss]", sampler=name)
    total, cut = (14, 13) if name == "gp" else (40, 20)
    assert search(spec, total, lag=3, cut=cut, objectives=BOTH) == search(spec, total, lag=3, objectives=BOTH)


@pytest.mark.parametrize("name", sorted(samplers))
@pytest.mark.parametrize("kind", ODD)
def test_no_sampler_trips_over_an_odd_space(kind, name):
    spec = spec_of(ODD[kind], sampler=name)
    paths = {parameter.path for parameter in parameters(spec.group)}
    mirror = Mirror(spec, FIRST)
    for proposal in search(spec, 14, lag=2):
        assert set(proposal.params) == set(proposal.distributions) == paths
        assert mirror.insert(proposal.params) == proposal
        candidate_at(spec, proposal.params)


GIVEN = [
    {"architecture": {"mlp": {"depth": 2, "width": 16, "norm": "none"}}, "batch_size": 32},
    {"architecture": {"cnn": {"head": "mlp"}}, "optimizer": {"sgd": {"lr": 0.5}}, "label_smoothing": 0},
    {},
]


@pytest.mark.parametrize("lag", [1, 8])
@pytest.mark.parametrize("name", names(*set(samplers) - {"grid"}))
def test_the_first_trials_are_those_of_the_space_whatever_the_sampler(name, lag):
    given = spec_of(SPACE, f"search.first={json.dumps(GIVEN)}", sampler=name, seed=3)
    total = 14 if name == "gp" else 20
    whole = search(given, total, lag=lag)
    for proposal, fixed in zip(whole, given.first, strict=False):
        assert fixed.items() <= proposal.params.items()
        assert candidate_at(given, proposal.params)
    drawn = {path for path in whole[0].params if path not in given.first[0]}
    assert drawn >= {"optimizer", "label_smoothing"}
    for cut in (2, 9):
        assert search(given, total, lag=lag, cut=cut) == whole
    # What is left out is drawn from the seed of the trial alone.
    other = search(spec_of(SPACE, f"search.first={json.dumps(GIVEN)}", sampler="random", seed=3), 3, lag=lag)
    assert other == whole[:3]


@pytest.mark.parametrize("total", [8, 12])
def test_tpe_learns_within_a_small_budget(total):
    chance = search(spec_of(SPACE, sampler="random"), total)
    found = search(spec_of(SPACE, f"budget.trials={total}", sampler="tpe"), total)
    assert found[:5] == chance[:5]
    assert found[5:] != chance[5:]
    assert found == search(spec_of(SPACE, "budget.trials=200", sampler="tpe"), total)


@pytest.mark.parametrize(("count", "startup"), [(0, 5), (3, 5), (4, 5), (6, 7), (30, 10)])
def test_the_startup_covers_the_first_trials(count, startup):
    spec = spec_of(SPACE, f"search.first={json.dumps([{}] * count)}")
    assert build_sampler(spec, count)._n_startup_trials == startup


def test_cmaes_keeps_to_its_parameters_when_another_architecture_comes_late():
    spec = spec_of(SPACE, sampler="cmaes")
    mirror = Mirror(spec, FIRST)
    steady = {"architecture": "cnn", "architecture.cnn.width": 16, "architecture.cnn.head": "linear"}
    rest = {"optimizer": "sgd", "optimizer.sgd.lr": 0.1}
    for number in range(30):
        params = mirror.ask().params
        mirror.tell(
            record_of(number, values=(-abs(params["batch_size"] - 100.0) - abs(params["label_smoothing"] - 0.4),)), []
        )
    late = [mirror.ask().params for _ in range(10)]
    assert sum(abs(params["batch_size"] - 100) for params in late) / 10 < 20
    assert mirror.insert({**steady, **rest, "batch_size": 16, "label_smoothing": 0.0}).params["architecture"] == "cnn"


@pytest.mark.parametrize("name", sorted(samplers))
def test_stored_parameters_win_over_what_the_sampler_would_choose_now(name):
    spec = spec_of(ONE, sampler=name)
    mirror = Mirror(spec, FIRST)
    for number in range(12):
        assert mirror.insert({"batch_size": 17 + number}).params == {"batch_size": 17 + number}
        mirror.tell(record_of(number, values=(0.5,)), [])
    assert 16 <= mirror.ask().params["batch_size"] <= 64
    assert len(mirror) == 13


WHOLE = {
    "architecture": "mlp",
    "architecture.mlp.depth": 2,
    "architecture.mlp.width": 8,
    "architecture.mlp.norm": "none",
    "optimizer": "sgd",
    "optimizer.sgd.lr": 0.1,
    "batch_size": 32,
    "label_smoothing": 0.1,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": None}, "batch_size cannot be None"),
        ({"batch_size": 32.0}, r"batch_size cannot be 32\.0"),
        ({"batch_size": True}, "batch_size cannot be True"),
        ({"batch_size": 129}, "batch_size cannot be 129"),
        ({"label_smoothing": math.nan}, "label_smoothing cannot be nan"),
        ({"label_smoothing": 1}, "label_smoothing cannot be 1"),
        ({"label_smoothing": "0.1"}, r"label_smoothing cannot be '0\.1'"),
        ({"optimizer.sgd.lr": 1e-4}, "lr cannot be 0.0001"),
        ({"architecture": "lstm"}, "architecture cannot be 'lstm'"),
        ({"architecture": "cnn"}, r"architecture\.cnn\.width is missing"),
        ({"architecture.mlp.norm": "layer"}, "norm cannot be 'layer'"),
        ({"batch_sizes": 32}, "batch_sizes does not exist there; did you mean 'batch_size'"),
    ],
)
@pytest.mark.parametrize("sampler", ["random", "nsga2"])
def test_parameters_that_are_no_point_of_the_space_are_refused(changed, message, sampler):
    mirror = Mirror(spec_of(SPACE, sampler=sampler), FIRST)
    assert mirror.insert(WHOLE).params == WHOLE
    with pytest.raises(StorageError, match=f"trial 1 .*{message}"):
        mirror.insert({**WHOLE, **changed})
    assert len(mirror) == 1


def test_steps_are_counted_from_the_low_end():
    mirror = Mirror(spec_of(ODD["one step"]), FIRST)
    for value in (0.1, 0.30000000000000004, 0.7, 0.7000000000000001):
        mirror.insert({"optimizer.sgd.lr": value})
    for value in (0.2, 0.0, 0.9):
        with pytest.raises(StorageError, match="cannot be"):
            mirror.insert({"optimizer.sgd.lr": value})


def test_a_trial_told_again_is_another_result():
    spec = spec_of(ONE, sampler="tpe", seed=1)

    def asked_after(retold):
        mirror = Mirror(spec, FIRST)
        for number in range(14):
            mirror.insert({"batch_size": 16 + 3 * number})
            if retold:
                mirror.tell(record_of(number, Outcome.PRUNED), epochs_of(number, [0.9]))
                mirror.tell(record_of(number, Outcome.DIVERGED), epochs_of(number, [0.9, 0.9]))
            mirror.tell(record_of(number, values=(number / 10,)), epochs_of(number, [number / 10]))
        return [mirror.ask() for _ in range(5)]

    assert asked_after(retold=True) == asked_after(retold=False)


@pytest.mark.parametrize("outcome", [Outcome.INFEASIBLE, Outcome.OOM, Outcome.DIVERGED])
def test_the_sampler_keeps_away_from_what_breaks_a_constraint(outcome):
    """Where almost nothing is complete, what was pruned is a better example than what broke."""
    mirror = Mirror(spec_of(ONE, sampler="tpe"), FIRST)
    for number in range(30):
        size = 16 + 48 * number // 29
        mirror.insert({"batch_size": size})
        if size < 40:
            mirror.tell(record_of(number, outcome), epochs_of(number, [0.9] * 6))
        else:
            mirror.tell(record_of(number, Outcome.PRUNED), epochs_of(number, [0.5]))
    assert sum(mirror.ask().params["batch_size"] >= 40 for _ in range(20)) >= 5


def test_the_sampler_learns_from_how_far_a_limit_is_broken():
    """All break it, the larger ones by more: where to look next is what the margins alone tell."""
    mirror = Mirror(spec_of(ONE, "limits.latency_ms=1", sampler="tpe"), FIRST)
    for number in range(30):
        size = 16 + 48 * number // 29
        mirror.insert({"batch_size": size})
        broken = dataclasses.replace(record_of(number, Outcome.INFEASIBLE), predicted={"latency_ms": size / 10})
        mirror.tell(broken, [])
    assert sum(mirror.ask().params["batch_size"] <= 28 for _ in range(20)) >= 14


def run_curves(mirror, curves, horizon=ALL):
    """Judge each curve after the earlier ones have ended; return the epoch at which each was given up."""
    stopped = []
    for number, curve in enumerate(curves):
        mirror.ask()
        for epoch, value in enumerate(curve, 1):
            if mirror.should_prune(number, epoch, value, horizon=horizon):
                mirror.tell(record_of(number, Outcome.PRUNED), epochs_of(number, curve[:epoch]))
                stopped.append(epoch)
                break
        else:
            mirror.tell(record_of(number, values=(curve[-1],)), epochs_of(number, curve))
            stopped.append(0)
    return stopped


CURVES = [[math.sin(7 * number) + 0.1 * epoch for epoch in range(1, 10)] for number in range(30)]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_the_judgement_is_that_of_optuna(pruner):
    spec = spec_of(ONE, "budget.epochs=9", pruner=pruner)
    mirror = Mirror(spec, FIRST)
    theirs = (
        optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
        if pruner == "median"
        else optuna.pruners.HyperbandPruner(min_resource=1, max_resource=9, reduction_factor=3)
    )
    study = optuna.create_study(study_name="harness", direction="maximize", pruner=theirs)
    expected = []
    for curve in CURVES:
        trial = study.ask()
        for epoch, value in enumerate(curve, 1):
            trial.report(value, epoch)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                expected.append(epoch)
                break
        else:
            study.tell(trial, curve[-1])
            expected.append(0)
    assert run_curves(mirror, CURVES) == expected
    assert 0 < sum(map(bool, expected)) < 30


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_rebuilt_mirror_judges_as_the_first_one(pruner):
    spec = spec_of(ONE, "budget.epochs=9", pruner=pruner)
    whole, again = Mirror(spec, FIRST), Mirror(spec, FIRST)
    stopped = run_curves(whole, CURVES)
    for number, end in enumerate(stopped[:20]):
        again.insert({"batch_size": 32})
        curve = CURVES[number][: end or None]
        outcome, values = (Outcome.PRUNED, ()) if end else (Outcome.COMPLETE, (curve[-1],))
        again.tell(record_of(number, outcome, values), epochs_of(number, curve))
    for number in range(20, 30):
        again.insert({"batch_size": 32})
        verdicts = [
            again.should_prune(number, epoch, value, horizon=ALL)
            for epoch, value in enumerate(CURVES[number][: stopped[number] or None], 1)
        ]
        assert verdicts == [False] * (len(verdicts) - 1) + [stopped[number] > 0]
        outcome, values = (Outcome.PRUNED, ()) if stopped[number] else (Outcome.COMPLETE, (CURVES[number][-1],))
        again.tell(record_of(number, outcome, values), epochs_of(number, CURVES[number][: len(verdicts)]))


@pytest.mark.parametrize("horizon", [11, ALL])
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_trials_beyond_the_horizon_and_running_ones_are_not_seen(pruner, horizon):
    spec = spec_of(ONE, "budget.epochs=9", pruner=pruner)

    def verdicts(*, others):
        """Judge trials 40 to 43 by 0 to 11, with others that have run on, and ended beyond the horizon."""
        mirror = Mirror(spec, FIRST)
        for _ in range(44):
            mirror.insert({"batch_size": 32})
        for number in range(40 if others else 12):
            curve = [0.1 * (number % 7) if number < 12 else 99.0] * 9
            for epoch, value in enumerate(curve, 1):
                mirror.should_prune(number, epoch, value, horizon=ALL)
            if number < 12 or (horizon < ALL and number < 26):
                mirror.tell(record_of(number, values=(curve[-1],)), epochs_of(number, curve))
        return [
            mirror.should_prune(number, epoch, value, horizon=horizon)
            for number, value in zip(range(40, 44), (0.2, 0.7, 0.2, 0.8), strict=True)
            for epoch in range(1, 10)
        ]

    assert verdicts(others=True) == verdicts(others=False)
    assert {*verdicts(others=False)} == {True, False}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_that_begins_anew_is_judged_anew(pruner):
    spec = spec_of(ONE, "budget.epochs=9", pruner=pruner)
    mirror = Mirror(spec, FIRST)
    run_curves(mirror, CURVES[:20])
    mirror.ask()
    first = [mirror.should_prune(20, epoch, 0.3, horizon=ALL) for epoch in range(1, 10)]
    mirror.tell(record_of(20, Outcome.INTERRUPTED), epochs_of(20, [9.0] * 9))
    assert [mirror.should_prune(20, epoch, 0.3, horizon=ALL) for epoch in range(1, 10)] == first
    assert any(first)


def test_without_a_pruner_nothing_is_hopeless():
    for spec, objectives in (
        (spec_of(ONE, pruner="none"), FIRST),
        (spec_of(ONE, pruner="asha"), FIRST),
        (spec_of(ONE, "objective=[accuracy, loss]"), BOTH),
    ):
        mirror = Mirror(spec, objectives)
        for number in range(8):
            mirror.ask()
            values = (0.9, 0.1)[: len(objectives)]
            mirror.tell(record_of(number, values=values), epochs_of(number, [0.9] * 20))
        mirror.ask()
        assert not any(mirror.should_prune(8, epoch, 0.1, horizon=ALL) for epoch in range(1, 21))


def test_a_value_that_is_no_number_is_no_report():
    mirror = Mirror(spec_of(ONE, "budget.epochs=9"), FIRST)
    for number in range(6):
        mirror.ask()
        mirror.tell(record_of(number, values=(0.5,)), epochs_of(number, [math.nan] * 3 + [0.5] * 6))
    mirror.ask()
    assert not any(mirror.should_prune(6, epoch, math.nan, horizon=ALL) for epoch in range(1, 10))
    assert mirror.should_prune(6, 9, 0.1, horizon=ALL)


def calls(function):
    """Return how many functions are called on the way through one."""
    count = 0

    def note(_frame, event, _what):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def test_the_cost_of_a_trial_does_not_grow_with_their_number():
    mirror = Mirror(spec_of(ONE, sampler="random", pruner="none"), FIRST)

    def ask_and_tell():
        number = len(mirror)
        mirror.ask()
        for epoch in range(1, 21):
            mirror.should_prune(number, epoch, 0.5, horizon=ALL)
        mirror.tell(record_of(number, values=(0.5,)), epochs_of(number, [0.5] * 20))

    ask_and_tell()
    early = calls(ask_and_tell)
    for _ in range(500):
        ask_and_tell()
    assert calls(ask_and_tell) <= early


def test_only_samplers_with_notes_are_asked_again():
    assert {name for name in samplers if needs_replay(spec_of(SPACE, sampler=name))} == {"cmaes", "nsga2", "qmc"}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_is_not_compared_with_shorter_ones(pruner):
    """At the same epoch those have annealed further; with as long ones it is."""
    space = f"{ONE[:-1]}, epochs: {{int: [4, 9]}}}}"

    def verdicts(*, others, own):
        mirror = Mirror(spec_of(space, "budget.epochs=9", pruner=pruner), FIRST)
        for number in range(24):
            mirror.insert({"batch_size": 32, "epochs": others if number < 20 else own})
            if number < 20:
                curve = [0.5 + 0.01 * number] * others
                for epoch, value in enumerate(curve, 1):
                    mirror.should_prune(number, epoch, value, horizon=ALL)
                mirror.tell(record_of(number, values=(curve[-1],)), epochs_of(number, curve))
        return [mirror.should_prune(n, epoch, 0.1, horizon=ALL) for n in range(20, 24) for epoch in range(1, own + 1)]

    assert not any(verdicts(others=8, own=9))
    assert any(verdicts(others=9, own=9))
    assert any(verdicts(others=9, own=8))
