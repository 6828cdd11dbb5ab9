import os
import subprocess
import sys

import pytest

from harness.hardware.openmp import waiting_asleep

UNSAID = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
BESIDE = """
import json, os, resource, sys, time, torch
torch.set_num_threads(2)
x = torch.randn(2**16)
for _ in range(20):
    (x + x).sum()
before = resource.getrusage(resource.RUSAGE_SELF)
until = time.perf_counter() + 0.4
while time.perf_counter() < until:
    (x + x).sum()
    time.sleep(0.002)
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
"""


def test_a_user_who_has_said_how_threads_wait_is_left_alone():
    assert waiting_asleep({"PATH": "/bin"}) == {"OMP_WAIT_POLICY": "PASSIVE"}
    for said in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        assert waiting_asleep({said: "1"}) == {}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP, with which torch comes on Linux")
def test_a_thread_with_nothing_to_do_leaves_its_core_to_others():
    def cpu_seconds(environment):
        done = subprocess.run([sys.executable, "-c", BESIDE], env=environment, capture_output=True, check=True)
        return float(done.stdout)

    spinning = cpu_seconds({**UNSAID, "OMP_WAIT_POLICY": "ACTIVE"})
    assert cpu_seconds({**UNSAID, **waiting_asleep(UNSAID)}) < 0.5 * spinning
