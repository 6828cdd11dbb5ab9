import json
import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.plan import Choice, Memory
from harness.plan.memory import cache_folder

OPTIONS = tuple(f"choice {number}" for number in range(1, 9))


@pytest.fixture
def measured():
    """Count the measurements, each of which comes out differently."""
    count = []

    def measure():
        count.append(1)
        return Choice(f"choice {len(count)}", 1.5, "measured")

    measure.count = count
    return measure


@pytest.fixture
def record(tmp_path):
    """The folder of a run's own answers."""
    folder = tmp_path / "run" / "choices"
    folder.mkdir(parents=True)
    return folder


def choose(memory, measure, what="layout", shape=("shape", 1), **options):
    return memory.choice(what, shape, OPTIONS, measure, **options)


def again():
    pytest.fail("measured again")


def test_a_choice_is_measured_once_per_machine_and_has_a_file_of_its_own(measured):
    first = choose(Memory(), measured)
    assert choose(Memory(), again) == first == Choice("choice 1", 1.5, "measured")
    (file,) = cache_folder().iterdir()
    assert json.loads(file.read_text()) == {
        "what": "layout",
        "value": "choice 1",
        "ratio": 1.5,
        "reason": "measured",
    }


def test_another_question_shape_or_number_of_threads_is_measured_anew(measured, monkeypatch):
    choices = {choose(Memory(), measured, what, shape).value for what in "ab" for shape in (1, 2)}
    monkeypatch.setattr("torch.get_num_threads", lambda: 77)
    choices.add(choose(Memory(), measured, "a", 1).value)
    assert len(choices) == len(list(cache_folder().iterdir())) == 5


def test_answers_under_keys_of_another_version_are_not_found(measured, monkeypatch):
    first = choose(Memory(), measured)
    monkeypatch.setattr("harness.plan.memory.KEYS", 1)
    assert choose(Memory(), measured) != first


def test_a_ratio_that_was_not_measured_stays_nan():
    choose(Memory(), lambda: Choice("choice 1", reason="only choice"))
    assert math.isnan(choose(Memory(), again).ratio)


def test_figures_are_kept_by_name_and_those_not_measured_stay_nan():
    figures = {"train_samples_s": 1234.5, "energy_j_per_sample": float("nan")}
    Memory().figures("probe", ("shape", 1), lambda: figures)
    found = Memory().figures("probe", ("shape", 1), again)
    assert found["train_samples_s"] == 1234.5
    assert math.isnan(found["energy_j_per_sample"])
    assert Memory().figures("probe", ("shape", 2), lambda: {"other": 1.0}) == {"other": 1.0}


def test_figures_and_choices_of_one_name_do_not_meet(measured):
    choose(Memory(), measured, "a", 1)
    assert Memory().figures("a", 1, lambda: {"x": 1.0}) == {"x": 1.0}


def test_what_an_error_keeps_from_being_measured_is_not_remembered():
    with pytest.raises(ZeroDivisionError):
        Memory().figures("a", 1, lambda: {"x": 1 / 0})
    assert Memory().figures("a", 1, lambda: {"x": 1.0}) == {"x": 1.0}


DAMAGED = ["", "{", "[1]", "{}", '{"value": "choice 7"}', '{"value": "choice 7", "ratio": "2", "reason": ""}']
DAMAGED += ['{"value": "no option", "ratio": 2.0, "reason": ""}', '{"value": 10e99, "ratio": 2.0, "reason": ""}']


@pytest.mark.parametrize("content", DAMAGED)
@pytest.mark.parametrize("where", ["machine", "run"])
def test_a_damaged_answer_is_measured_anew_and_mended(measured, record, content, where):
    choose(Memory(record), measured)
    for folder in {"machine": (cache_folder(), record), "run": (record,)}[where]:
        (file,) = folder.iterdir()
        file.write_text(content)
    assert choose(Memory(record), measured).value == ("choice 2" if where == "machine" else "choice 1")
    kept = choose(Memory(record), again)
    assert choose(Memory(), again) == kept


@pytest.mark.parametrize("content", ['{"figures": [1]}', '{"figures": {"x": "1"}}', '{"figures": 3}'])
def test_damaged_figures_are_measured_anew(content):
    Memory().figures("a", 1, lambda: {"x": 1.0})
    (file,) = cache_folder().iterdir()
    file.write_text(content)
    assert Memory().figures("a", 1, lambda: {"x": 2.0}) == {"x": 2.0}
    assert Memory().figures("a", 1, again) == {"x": 2.0}


def test_a_folder_that_cannot_be_written_costs_measurements_only(measured, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    memory = Memory(tmp_path / "a run that is on another machine" / "choices")
    assert [choose(memory, measured).value for _ in range(2)] == ["choice 1", "choice 2"]
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "the folder of a run is not made"


def test_many_answers_are_read_one_by_one(monkeypatch):
    memory = Memory()
    for number in range(300):
        memory.figures("a", number, lambda number=number: {"x": float(number)})
    assert len(list(cache_folder().iterdir())) == 300
    read = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or whole(path))
    assert memory.figures("a", 150, again) == {"x": 150.0}
    assert len(read) == 1


def _race(start, number):
    start.wait()
    return [
        Memory().choice("race", shape, OPTIONS, lambda: Choice(f"choice {number}", 1.0, str(os.getpid()))).reason
        for shape in range(30)
    ]


def _racer(start, number, answers):
    answers.put(_race(start, number))


def test_of_processes_that_measure_at_once_the_first_has_the_word():
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(4), context.Queue()
    racers = [context.Process(target=_racer, args=(start, number, answers)) for number in range(1, 5)]
    for racer in racers:
        racer.start()
    found = [answers.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    assert all(each == found[0] for each in found)
    assert sorted(len(json.loads(file.read_text())) for file in cache_folder().iterdir()) == [4] * 30


def test_another_process_finds_it(measured):
    choose(Memory(), measured, "b", 2)
    code = f"""
import torch
from harness.plan import Memory
torch.set_num_threads({torch.get_num_threads()})
print(Memory().choice("b", 2, ("choice 1",), lambda: 1 / 0).reason)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "measured\n"


def test_a_run_records_what_it_goes_by_and_goes_by_its_record_first(measured, record, tmp_path, monkeypatch):
    choose(Memory(), measured)
    assert choose(Memory(record), again).value == "choice 1", "as the machine remembers it"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert choose(Memory(), measured).value == "choice 2"
    assert choose(Memory(record), again).value == "choice 1"


def test_a_run_that_follows_another_says_what_was_not_in_its_record(measured, record):
    choose(Memory(record), measured)
    memory = Memory(record, "the other")
    assert choose(memory, again).reason == "measured"
    assert choose(memory, measured, "new").reason == "measured; not in the record of the other"
    assert choose(Memory(), again, "new").reason == "measured"
    assert memory.figures("x", 1, lambda: {"y": 1.0}) == {"y": 1.0}


def test_what_may_not_hold_any_more_is_confirmed_once_by_each_run(measured, record):
    asked = []

    def confirm(earlier):
        asked.append(earlier.value)
        return Choice("choice 8", 1.0, "now")

    assert choose(Memory(record), measured, confirm=confirm).value == "choice 1"
    assert choose(Memory(record), again, confirm=confirm).value == "choice 1"
    later = record.parent / "later"
    later.mkdir()
    assert [choose(Memory(later), again, confirm=confirm).value for _ in range(2)] == ["choice 8"] * 2
    assert asked == ["choice 1"]
    assert choose(Memory(), again).value == "choice 1"
