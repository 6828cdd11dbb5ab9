"""A part of what ``python tests/chaos.py --kills 200`` does: one kill of each kind, of searches that pause no trial.

tests/study/test_coordinator.py has the power go off at every persistence step, with and without pauses.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_killed_searches_come_to_the_same_end_as_one_left_alone():
    script = Path(__file__).parents[1] / "chaos.py"
    done = subprocess.run(
        [sys.executable, script, "--kills", "3", "--pruners", "none", "--trials", "4"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "0 acknowledged trials lost, 0 open, everything equal to the undisturbed search" in done.stdout
