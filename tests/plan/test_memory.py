import json
import subprocess
import sys

import pytest
import torch

from harness.plan import memory
from harness.plan.calibration import Choice


@pytest.fixture
def measured():
    """Count the measurements, each of which comes out differently."""
    count = []

    def measure():
        count.append(1)
        return Choice(f"choice {len(count)}", 1.5, "measured")

    measure.count = count
    return measure


def test_a_choice_is_measured_once_and_kept_for_the_next_process(measured):
    first = memory.remembered("layout", ("shape", 1), measured)
    assert memory.remembered("layout", ("shape", 1), measured) == first
    memory.forget()  # as a new process begins
    assert memory.remembered("layout", ("shape", 1), measured) == first
    assert len(measured.count) == 1


def test_another_question_shape_or_number_of_threads_is_measured_anew(measured, monkeypatch):
    choices = {memory.remembered(what, shape, measured).value for what in "ab" for shape in (1, 2)}
    monkeypatch.setattr("torch.get_num_threads", lambda: 77)
    choices.add(memory.remembered("a", 1, measured).value)
    assert len(choices) == 5


def test_a_ratio_that_was_not_measured_stays_nan():
    memory.remembered("a", 1, lambda: Choice("fp32", reason="only choice"))
    memory.forget()
    again = memory.remembered("a", 1, lambda: pytest.fail("measured again"))
    assert again.ratio != again.ratio


def test_figures_are_kept_by_name_and_those_not_measured_stay_nan():
    figures = {"train_samples_s": 1234.5, "energy_j_per_sample": float("nan")}
    memory.remembered_figures("probe", ("shape", 1), lambda: figures)
    memory.forget()
    again = memory.remembered_figures("probe", ("shape", 1), lambda: pytest.fail("measured again"))
    assert again["train_samples_s"] == 1234.5
    assert again["energy_j_per_sample"] != again["energy_j_per_sample"]
    assert memory.remembered_figures("probe", ("shape", 2), lambda: {"other": 1.0}) == {"other": 1.0}


def test_figures_and_choices_of_one_name_do_not_meet(measured):
    memory.remembered("a", 1, measured)
    assert memory.remembered_figures("a", 1, lambda: {"x": 1.0}) == {"x": 1.0}


def test_what_an_error_keeps_from_being_measured_is_not_remembered():
    with pytest.raises(ZeroDivisionError):
        memory.remembered_figures("a", 1, lambda: {"x": 1 / 0})
    assert memory.remembered_figures("a", 1, lambda: {"x": 1.0}) == {"x": 1.0}


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"x": 3}', '{"x": {"value": 1}}', '{"x": {"figures": [1]}}'])
def test_a_damaged_memory_costs_a_measurement_only(measured, content):
    memory.memory_file().parent.mkdir(parents=True)
    memory.memory_file().write_text(content)
    assert memory.remembered("a", 1, measured).value == "choice 1"
    assert memory.remembered("a", 1, measured).value == "choice 1"


def test_a_cache_that_cannot_be_written_costs_a_measurement_only(measured, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert memory.remembered("a", 1, measured).value == "choice 1"
    assert memory.remembered("a", 1, measured).value == "choice 1"


def test_what_another_process_learned_meanwhile_is_kept(measured):
    memory.remembered("a", 1, measured)
    code = f"""
import torch
from harness.plan.memory import Choice, remembered
torch.set_num_threads({torch.get_num_threads()})
remembered("b", 2, lambda: Choice("other", 2.0, "there"))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    memory.remembered("c", 3, measured)
    assert len(json.loads(memory.memory_file().read_text())) == 3
    memory.forget()
    assert memory.remembered("b", 2, measured).value == "other"
