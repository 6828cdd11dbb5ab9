import json

import pytest

from harness.plan import Choice
from harness.store import RunFolder
from harness.study.choices import begin_record, memory_of, replayed

NAME = "0" * 32 + ".json"
ANSWER = {"what": "layout", "value": "contiguous", "ratio": 1.0, "reason": "measured"}


@pytest.fixture
def begin(tmp_path):
    """Return a function that makes a run folder with these files in its record."""
    folders = []

    def begin(task, **answers):
        folders.append(RunFolder.create(tmp_path, task))
        for name, answer in answers.items():
            folders[-1].write(f"choices/{name}.json", answer if isinstance(answer, str) else json.dumps(answer))
        return folders[-1]

    yield begin
    for folder in folders:
        folder.close()


def names(folder):
    return sorted(path.name for path in (folder.path / "choices").iterdir())


def test_a_record_begins_with_the_machine_and_without_choices(begin):
    folder = begin("new")
    memory = memory_of(folder, None)
    assert not (folder.path / "choices").exists(), "nothing is recorded before the run begins"
    notes = begin_record(folder, None)
    assert (memory.record, memory.follows, notes) == ((folder.path / "choices").resolve(), "", ())
    machine = json.loads((folder.path / "choices" / "machine.json").read_text())
    assert set(machine) == {"cpu", "isa", "torch", "gpus", "follows"}
    assert memory.choice("layout", 1, ("contiguous",), lambda: Choice("contiguous")).value == "contiguous"
    assert len(names(folder)) == 2


def test_a_followed_record_is_copied_without_what_is_damaged_or_no_answer(begin):
    source = begin("source", **{NAME[:-5]: ANSWER, "1" * 32: "{", "notes": {"x": 1}})
    begin_record(source, None)
    folder = begin("new")
    memory, notes = memory_of(folder, source.path), begin_record(folder, source.path)
    assert memory.follows == source.path.name
    assert notes == (
        f"1 measured choices and figures of {source.path.name} are replayed; what is not among them is measured",
    )
    assert names(folder) == [NAME, "machine.json"]
    assert json.loads((folder.path / "choices" / NAME).read_text()) == ANSWER
    assert begin_record(folder, None) == ()
    assert memory_of(folder, None) == memory, "a run that is resumed knows whom it follows"


def test_choices_of_another_machine_do_not_hold_here_and_that_is_said(begin):
    source = begin("source")
    begin_record(source, None)
    path = source.path / "choices" / "machine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"cpu": "an abacus"}))
    (note,) = begin_record(begin("new"), source.path)
    assert "hold on its machine only, and here the cpu differs: all are measured" in note


@pytest.mark.parametrize("content", ["", "[]", '{"follows": 3}', '{"follows": "a\\nb"}'])
def test_a_damaged_word_on_the_machine_stops_no_run_that_is_resumed(begin, content):
    folder = begin("new", machine=content)
    assert begin_record(folder, None) == ()
    assert memory_of(folder, None).follows == ""


def test_an_estimate_goes_by_the_choices_of_a_run_and_leaves_them_as_they_are(begin):
    source = begin("source")
    memory = memory_of(source, None)
    begin_record(source, None)
    assert memory.choice("layout", 1, ("slow", "fast"), lambda: Choice("slow")).value == "slow"
    before = names(source)
    with replayed(source.path) as estimate:
        assert estimate.choice("layout", 1, ("slow", "fast"), lambda: Choice("fast")).value == "slow"
        new = estimate.choice("layout", 2, ("slow", "fast"), lambda: Choice("fast"))
        assert source.path.name in new.reason
    assert names(source) == before
    assert not estimate.record.exists()
    with replayed(None) as alone:
        assert alone.record is None
