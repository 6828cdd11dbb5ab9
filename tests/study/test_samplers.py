import optuna
import pytest

from harness.spec import candidate_at, parameters, parse_spec, size
from harness.study.pruners import build_pruner, pruners
from harness.study.samplers import build_sampler, samplers, trial_seed
from harness.study.suggest import suggest

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


def new_study(path, directions=1):
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    return optuna.create_study(
        storage=storage, study_name="s", directions=["maximize"] * directions, load_if_exists=True
    )


@pytest.mark.parametrize("name", sorted(samplers))
def test_eleven_and_nineteen_trials_are_the_thirty_of_one_go(name, tmp_path):
    text, counts = (FINITE, (4, 10)) if name == "grid" else (SPACE, (11, 30))
    spec = spec_of(text, sampler=name, seed=3)
    whole = ask_and_tell(spec, new_study(tmp_path / "a.db"), counts[1])
    ask_and_tell(spec, new_study(tmp_path / "b.db"), counts[0])
    assert ask_and_tell(spec, new_study(tmp_path / "b.db"), counts[1]) == whole


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
def test_every_pruner_gives_up_what_is_hopeless_or_nothing(name):
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
    assert (name == "none") == (not [number for number in stopped if number >= 8])


def test_auto_prunes_with_one_objective_only():
    one = parse_spec(SPACE, origin="x")
    two = parse_spec(SPACE, origin="x", overrides=["objective=[accuracy, latency_ms]"])
    assert isinstance(build_pruner(one), optuna.pruners.MedianPruner)
    assert isinstance(build_pruner(two), optuna.pruners.NopPruner)
