"""Forms of tasks: how a task finds its reader and its paths, one of them registered from outside the package."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import yaml

import harness
from harness.data import load
from harness.data.sources.source import Source, read_source
from harness.errors import InputError, SpecError
from harness.spec import canonical, parse_spec, spec_hash
from harness.spec.task import CsvTask, DataPath, TaskSpec, source, sources

SPACE = "space: {architecture: mlp}"


class LinesTask(TaskSpec):
    """Numbers in a text file, the last of a line to be predicted."""

    source: ClassVar[str] = "lines"

    lines: DataPath
    also: tuple[DataPath, ...] = ()


@read_source.register
def read_lines(task: LinesTask) -> Source:
    rows = np.concatenate([np.loadtxt(path) for path in (task.lines, *task.also)])
    names = [f"n{place}" for place in range(rows.shape[1] - 1)]
    frame = pd.DataFrame(rows[:, :-1], columns=names)
    return Source(name=task.label, inputs=frame, targets=rows[:, -1], columns=tuple(names), fingerprint=f"{rows.sum()}")


class NobodysTask(TaskSpec):
    source: ClassVar[str] = "nobodys"

    nobodys: str


@pytest.fixture
def lines():
    source(LinesTask)
    yield
    del sources._entries["lines"]


@pytest.mark.usefixtures("lines")
def test_a_form_of_ones_own_is_read_and_its_paths_start_at_the_space_file(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.savetxt(tmp_path / "a.txt", rows[:40])
    np.savetxt(tmp_path / "b.txt", rows[40:])
    spec = parse_spec(f"task: {{lines: a.txt, also: [b.txt], limit: 50}}\n{SPACE}", origin="x", folder=tmp_path)
    assert (spec.task.lines, spec.task.also) == (tmp_path / "a.txt", (tmp_path / "b.txt",))
    data = load(spec.task, seed=0)
    assert data.name == "a"
    assert len(data.train) + len(data.validation) == 50
    assert spec_hash(parse_spec(yaml.safe_dump(canonical(spec)), origin="y")) == spec_hash(spec)
    with pytest.raises(SpecError, match=r"x:1: task\.limt: unknown key; did you mean 'limit'"):
        parse_spec(f"task: {{lines: a.txt, limt: 50}}\n{SPACE}", origin="x")
    with pytest.raises(SpecError, match=r"expected exactly one of arrays, .*lines"):
        parse_spec(f"task: {{lines: a.txt, csv: b.csv}}\n{SPACE}", origin="x")


@pytest.mark.usefixtures("lines")
@pytest.mark.slow
def test_a_form_of_ones_own_is_searched_resumed_and_predicted(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.savetxt(tmp_path / "a.txt", rows)
    (tmp_path / "space.yaml").write_text(
        f"task: {{lines: a.txt}}\nbudget: {{epochs: 1}}\ntraining: {{final: keep}}\n{SPACE}\nsearch: {{baselines: no}}"
    )
    result = harness.search(str(tmp_path / "space.yaml"), trials=1, out=tmp_path, device="cpu", workers=1)
    resumed = harness.search(resume=result.run, trials=1, device="cpu", workers=0)
    known = pd.read_parquet(resumed.run / "predictions.parquet")
    predicted = harness.load(result.run).predict(rows[known["index"], :-1])
    assert np.array_equal(predicted, known["predicted"])


def test_a_form_without_a_reader_says_so():
    with pytest.raises(InputError, match=r"task\.nobodys: nothing reads this form; register a reader"):
        load(NobodysTask(nobodys="x"), seed=0)


def test_every_path_of_a_task_is_found_by_its_mark_and_can_be_replaced():
    task = CsvTask(csv="a.csv", target="y", test={"csv": "b.csv"}, drop=["c.csv"])
    found = []
    moved = CsvTask.model_validate(task.model_dump(), context=lambda path: found.append(path) or Path("/moved") / path)
    assert found == [Path("a.csv"), Path("b.csv")]
    assert (moved.csv, moved.test.csv, moved.drop) == (Path("/moved/a.csv"), Path("/moved/b.csv"), ("c.csv",))
