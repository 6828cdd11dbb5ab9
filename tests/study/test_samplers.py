import optuna
import pytest

from harness.spec import candidate_at, parameters, parse_spec, size
from harness.study.decide.pruners import build_pruner, pruner_name, pruners
from harness.study.decide.samplers import build_sampler, samplers, trial_seed
from harness.study.decide.suggest import suggest

SPACE = """
task: digits
space:
  architecture:
    mlp: {depth: {int: [1, 4]}, width: {int: [8, 64], log: true}, norm: [batch, none]}
    cnn: {width: {int: [16, 64], step: 16}, head: {linear: {}, mlp: {width: {int: [8, 32], step: 8}}}}
  optimizer: {adamw: {lr: {float: [1e-4, 1e-1], log: true}}, sgd: {lr: {float: [1e-3, 1.0], log: true}}}
  batch_size: [32, 64]
"""
FINITE = """
task: digits
space: {architecture: {mlp: {depth: {int: [1, 3]}}, cnn: {norm: [batch, none]}}, batch_size: [32, 64]}
"""


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def spec_of(text, **search):
    return parse_spec(text, origin="x", overrides=[f"search.{key}={value}" for key, value in search.items()])


def value_of(params):
    """Return something that every parameter moves."""
    return sum(len(str(v)) if isinstance(v, str) else float(v) for v in params.values())


def ask_and_tell(spec, study, count):
    """Go on with a study up to ``count`` trials, with one sampler per trial as the coordinator does."""
    while (number := len(study.get_trials(deepcopy=False))) < count:
        study.sampler = build_sampler(spec, number)
        trial = study.ask()
        params = suggest(trial, spec.group)
        assert params == trial.params
        study.tell(trial, [value_of(params)] * len(study.directions))
    return [trial.params for trial in study.get_trials()]


@pytest.mark.parametrize("name", sorted(set(samplers) - {"grid", "qmc"}))
def test_another_seed_gives_other_trials(name):
    params = [ask_and_tell(spec_of(SPACE, sampler=name, seed=s), optuna.create_study(), 3) for s in (0, 1)]
    assert params[0] != params[1]


@pytest.mark.parametrize("name", sorted(samplers))
def test_every_sampler_stays_in_the_space(name):
    spec = spec_of(FINITE if name == "grid" else SPACE, sampler=name)
    paths = {parameter.path for parameter in parameters(spec.group)}
    for params in ask_and_tell(spec, optuna.create_study(), 8):
        assert set(params) <= paths
        assert params["batch_size"] in (32, 64)
        other = {"mlp": "cnn", "cnn": "mlp"}[params["architecture"]]
        assert not any(path.startswith(f"architecture.{other}.") for path in params)
        candidate_at(spec, params)


def test_the_grid_tries_every_candidate_once():
    spec = spec_of(FINITE, sampler="grid")
    tried = ask_and_tell(spec, optuna.create_study(), int(size(spec.group)))
    assert len({tuple(sorted(params.items())) for params in tried}) == size(spec.group) == 10


@pytest.mark.parametrize("name", ["tpe", "gp", "nsga2", "random", "qmc"])
def test_several_objectives(name):
    spec = spec_of(SPACE, sampler=name)
    study = optuna.create_study(directions=["maximize", "maximize"])
    assert len(ask_and_tell(spec, study, 13)) == 13


def test_tpe_finds_better_candidates_than_chance():
    spec = spec_of(SPACE, seed=1)
    study = optuna.create_study(direction="maximize")
    ask_and_tell(spec, study, 60)
    values = [trial.value for trial in study.trials]
    assert sum(values[40:]) / 20 > sum(values[:10]) / 10


def test_seeds_of_trials_differ():
    assert len({trial_seed(seed, number) for seed in range(20) for number in range(50)}) == 1000


@pytest.mark.parametrize("name", sorted(pruners))
def test_every_pruner_of_optuna_gives_up_what_is_hopeless(name):
    spec = parse_spec(SPACE, origin="x", overrides=[f"search.pruner={name}", "budget.epochs=27"])
    study = optuna.create_study(direction="maximize", pruner=build_pruner(spec), study_name="harness")
    stopped = []
    for number in range(20):
        trial = study.ask()
        hopeless = number >= 8
        for epoch in range(1, 28):
            trial.report((0.1 if hopeless else 0.9) + epoch * 1e-3, epoch)
            if trial.should_prune():
                stopped.append(number)
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, 0.1)
    ours = name in ("none", "asha", "dominated")
    assert ours == (not [number for number in stopped if number >= 8])


def test_what_auto_prunes_with_depends_on_the_objectives():
    for objectives, name, kind in (
        ("accuracy", "median", optuna.pruners.MedianPruner),
        ("[accuracy, flops]", "dominated", optuna.pruners.NopPruner),
        ("[accuracy, latency_ms]", "none", optuna.pruners.NopPruner),
    ):
        spec = parse_spec(SPACE, origin="x", overrides=[f"objective={objectives}"])
        assert pruner_name(spec) == name
        assert isinstance(build_pruner(spec), kind)


def test_the_grid_ends_where_the_range_ends():
    text = "task: digits\nspace: {architecture: mlp, optimizer: {sgd: {lr: {float: [0.1, 0.7], step: 0.2}}}}"
    tried = ask_and_tell(spec_of(text, sampler="grid"), optuna.create_study(), 4)
    assert sorted(params["optimizer.sgd.lr"] for params in tried) == pytest.approx([0.1, 0.3, 0.5, 0.7])
    assert max(params["optimizer.sgd.lr"] for params in tried) == 0.7


def test_cmaes_is_not_thrown_off_by_an_architecture_that_comes_late():
    text = """
task: digits
space: {architecture: {mlp: {depth: {int: [1, 4]}}, cnn: {}}, batch_size: {int: [16, 64]}, l1: {float: [0.0, 1.0]}}
"""
    study = optuna.create_study()
    for number in range(24):
        study.sampler = build_sampler(spec_of(text, sampler="cmaes"), number)
        name = "mlp" if number < 9 else "cnn"
        study.enqueue_trial({"architecture": name})
        trial = study.ask()
        params = suggest(trial, spec_of(text).group)
        study.tell(trial, params["l1"])
    generations = [trial.system_attrs.get("cma:generation") for trial in study.trials]
    assert None not in generations[1:]
    assert generations[-1] > generations[8]
