"""The names that are checked without torch are those of the registries."""

import pytest

from harness.data import tasks
from harness.errors import SpecError
from harness.models import families
from harness.spec import OPTIONS, TASKS, load_spec, parse_spec, shipped_spaces, shipped_summaries
from harness.spec.names import FITTED, PRUNERS, SAMPLERS, SCHEDULES
from harness.study.decide.pruners import pruners
from harness.study.decide.samplers import samplers
from harness.train import optimizers, schedules


def test_the_options_and_their_parameters_are_those_of_the_registries():
    registries = {"architecture": families, "optimizer": optimizers, **dict.fromkeys(SCHEDULES, schedules)}
    assert {
        key: {name: tuple(entry.config.model_fields) for name, entry in registry.items()}
        for key, registry in registries.items()
    } == OPTIONS


def test_the_fitted_architectures_are_those_of_the_registry():
    assert set(FITTED) == {name for name, known in families.items() if known.fitting is not None}


def test_the_samplers_and_pruners_are_those_of_the_registries():
    assert sorted(SAMPLERS) == sorted(samplers)
    assert sorted(PRUNERS) == sorted({*pruners, "auto"})


def test_the_tasks_are_those_of_the_catalog_and_each_has_a_space():
    assert set(TASKS) == set(tasks)
    assert set(TASKS.values()) <= set(shipped_spaces())


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_task_is_searched_with_the_space_for_its_kind_of_data(task):
    spec = load_spec(
        task, ["budget.trials=3", "task.limit=50"] if task not in shipped_spaces() else ["budget.trials=3"]
    )
    assert spec.task.builtin == task
    assert spec.budget.trials == 3
    assert spec.group == load_spec(TASKS[task]).group
    notes = [note for note in spec.notes if f"{task} is a task" in note]
    assert len(notes) == (task not in shipped_spaces())
    assert all(TASKS[task] in note for note in notes)


def test_a_file_of_that_name_comes_before_a_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wine").write_text("task: digits\nspace: {architecture: mlp}\n")
    assert load_spec("wine").task.builtin == "digits"


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{architecture: mpl}", "x:2: space.architecture.mpl: unknown architecture 'mpl'; did you mean 'mlp'?"),
        ("{architecture: {mlp: {deph: 3}}}", "x:2: space.architecture.mlp.deph: unknown key; did you mean 'depth'?"),
        ("{architecture: mlp, optimizer: [sgd, adamv]}", "space.optimizer.adamv: unknown optimizer 'adamv'; did you"),
        ("{architecture: mlp, schedule: {cosine: {warmup: 1}}}", "warmup: unknown key; did you mean 'warmup_epochs'?"),
        ("{architecture: {mine: {famly: 'a.b:c'}}}", "space.architecture.mine: unknown architecture 'mine'"),
    ],
)
def test_an_unknown_name_is_told_with_its_line_and_the_nearest_one(space, message):
    with pytest.raises(SpecError) as caught:
        parse_spec(f"task: digits\nspace: {space}\n", origin="x")
    assert message in str(caught.value)


def test_a_module_of_ones_own_may_have_any_name_and_parameters():
    parse_spec("task: digits\nspace: {architecture: {mine: {family: 'a.b:c', anything: [1, 2]}}}\n", origin="x")


def test_an_unknown_task_is_told_with_its_place():
    with pytest.raises(SpecError, match=r"^x:1: task: unknown task 'digitz'; did you mean 'digits'\?$"):
        parse_spec("task: digitz\nspace: {architecture: mlp}\n", origin="x")
    with pytest.raises(SpecError, match=r"^command line: task: unknown task 'wyne'; did you mean 'wine'\?$"):
        load_spec("digits", ["task=wyne"])


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("data.csv", "harness search tabular --set 'task={csv: data.csv, target: COLUMN}'"),
        ("data.parquet", "harness search tabular --set 'task={parquet: data.parquet, target: COLUMN}'"),
        ("data.npz", "harness search tabular (or digits, for images) --set 'task={npz: data.npz}'"),
        ("photos", "harness search digits --set 'task={images: photos}'"),
        ("run", "harness search --resume run"),
        ("spaces", "name a YAML file in it"),
    ],
)
def test_data_in_place_of_a_space_is_answered_with_the_command_that_searches_it(name, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos/cats", "run", "spaces"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "run/status.json").touch()
    (tmp_path / "run/space.yaml").touch()
    (tmp_path / "spaces/a.yaml").touch()
    for file in ("data.csv", "data.parquet", "data.npz"):
        (tmp_path / file).touch()
    with pytest.raises(SpecError) as caught:
        load_spec(name)
    assert command in str(caught.value)


def test_every_shipped_space_says_in_its_first_line_what_it_is_for():
    for name, summary in shipped_summaries().items():
        assert summary.split(":")[0] in ("Tables", "Images", "Series", "Text", "Forecasts"), name
        assert len(summary) < 110
