"""What is said of the final model while it is made."""

import io

import pytest
from rich.console import Console

from harness.cli.lines import Lines
from harness.cli.live import LiveTable
from harness.records import NAN, EpochRecord
from harness.spec import parse_spec

SPEC = parse_spec("task: digits\nobjective: loss\nspace: {architecture: mlp}", origin="x")


def epoch(number):
    seconds = {"train_s": 0.1, "validation_s": NAN, "train_samples_s": 10.0}
    return EpochRecord(
        trial=3, epoch=number, train={"loss": 1.0}, validation={}, learning_rate=0.1, gradient_norm=1.0, **seconds
    )


@pytest.mark.parametrize(
    ("how", "epochs", "why", "said"),
    [
        (
            "rehearse",
            14,
            "",
            "retraining the selected trial on the training data alone, to estimate how a refit does (14 epochs)",
        ),
        ("refit", 4, "loss [0.3]", "refitting the selected trial on training and validation data, then one evaluation"),
        ("refit", 4, "loss [0.3]", "on the test data (4 epochs): loss [0.3]"),
        ("ensemble", 8, "", "refitting it with several seeds on training and validation data"),
        ("keep", 0, "no time", "keeping the selected trial's weights, then one evaluation on the test data: no time"),
        (
            "trials",
            0,
            "",
            "averaging the best trials, with the weights that the search left, then one evaluation on the",
        ),
        ("full", 9, "", "training the winner on all samples, those of the test part too (9 epochs)"),
    ],
)
def test_each_step_to_the_final_model_is_a_line_with_what_decided_for_it(how, epochs, why, said):
    console = Console(file=io.StringIO(), width=200)
    Lines(console, SPEC).final_started(how, epochs, why)
    assert said in console.file.getvalue()


def test_the_bar_counts_the_epochs_of_a_step_over_all_its_trainings():
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with LiveTable(console, SPEC) as bars:
        bars.final_started("rehearse", 14, "")
        for number in (1, 2, 1):
            bars.epoch_ended(epoch(number))
    assert "final model: epoch 3/14" in console.file.getvalue()
