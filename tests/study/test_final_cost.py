"""What the final model is expected to take."""

import pytest

from harness.records import Outcome, TrialRecord
from harness.study.final.cost import STACK_GAIN, epoch_seconds


@pytest.mark.parametrize(("shared_with", "times"), [(0, 1.0), (1, 2.0), (3, 4.0), (63, STACK_GAIN)])
def test_alone_a_training_takes_more_than_its_share_of_a_program(shared_with, times):
    winner = TrialRecord(
        trial=0,
        outcome=Outcome.COMPLETE,
        reason="x",
        candidate={},
        params={},
        figures={"epoch_s": 0.5},
        shared_with=shared_with,
    )
    assert epoch_seconds(winner) == 0.5 * times
