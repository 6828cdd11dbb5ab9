"""The real pynvml against the stub library, each scenario in a process of its own."""

from __future__ import annotations

import json
import math
import time

import pytest

from harness.hardware import GPU_TELEMETRY
from harness.records import TELEMETRY

READ = """
import json
from harness.hardware import open_nvml
nvml = open_nvml()
reads = [[gpu.read() for gpu in nvml.gpus] for _ in range({times})]
print(json.dumps([[{{"values": f.values, "reasons": f.reasons}} for f in row] for row in reads]))
"""


@pytest.fixture(scope="session")
def old_driver(nvml_stub_module, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nvml-old")
    return nvml_stub_module.NvmlStub(nvml_stub_module.build(folder, "WITHOUT_ENERGY", "WITHOUT_NEW_CALLS"))


def read(stub, times=1, **scenario):
    return json.loads(stub.run(READ.format(times=times), **scenario))


def test_a_gpu_tells_telemetry_and_nothing_else():
    assert set(GPU_TELEMETRY) < set(TELEMETRY)
    assert set(TELEMETRY) - set(GPU_TELEMETRY) == {"cpu_percent", "memory_rss_mib"}


def test_figures_come_in_the_units_of_their_names(nvml_stub):
    began = time.time() - 100
    second = read(nvml_stub, t0=began)[0][1]
    passed = time.time() - began
    values = second["values"]
    assert second["reasons"] == {}
    assert values["gpu_utilization_percent"] == 80.0
    assert values["memory_utilization_percent"] == 30.0
    assert values["memory_process_mib"] == 300.0
    assert values["sm_clock_mhz"] == 1500.0
    assert values["memory_clock_mhz"] == 2600.0
    assert values["temperature_c"] == 56.0
    assert values["throttle_reasons"] == 0.0
    # ramps of the stub; the sample was taken at some time from 100 s to `passed`
    assert 1000 + 100 * 100 <= values["memory_device_mib"] <= 1000 + 100 * passed
    assert 100 + 50 * 100 <= values["power_w"] <= 100 + 50 * passed
    assert 100 * 100 + 25 * 100**2 <= values["energy_counter_j"] <= 100 * passed + 25 * passed**2


def test_what_a_gpu_does_not_support_is_nan_and_asked_once(nvml_stub, tmp_path):
    log = tmp_path / "log"
    rows = read(nvml_stub, times=5, log=log)
    assert all(math.isnan(row[0]["values"]["energy_counter_j"]) for row in rows)
    assert {row[0]["reasons"]["energy_counter_j"] for row in rows} == {"NVML: Not Supported"}
    assert all(row[0]["values"]["power_w"] > 0 for row in rows)
    assert log.read_text().count("energy refused") == 1


def test_an_error_of_one_sample_spoils_that_sample_alone(nvml_stub):
    rows = read(nvml_stub, times=3, fails_at=2)
    first, second, third = (row[1] for row in rows)
    assert first["values"]["power_w"] > 0
    assert math.isnan(second["values"]["power_w"])
    assert second["reasons"] == {"power_w": "NVML: Unknown Error"}
    assert third["values"]["power_w"] > 0


def test_a_lost_gpu_is_not_asked_again_and_the_other_goes_on(nvml_stub, tmp_path):
    log = tmp_path / "log"
    rows = read(nvml_stub, times=5, lost_after=2, log=log)
    assert "lost GPU asked" not in log.read_text()
    assert [math.isnan(row[1]["values"]["power_w"]) for row in rows] == [False, False, True, True, True]
    last = rows[-1][1]
    assert all(math.isnan(value) for value in last["values"].values())
    assert set(last["reasons"]) == set(GPU_TELEMETRY)
    assert set(last["reasons"].values()) == {"NVML: GPU is lost"}
    assert rows[-1][0]["values"]["power_w"] > 0


def test_an_old_driver_is_asked_in_the_old_way_and_lacks_only_energy(old_driver):
    second = read(old_driver, times=2)[1][1]
    assert second["reasons"] == {"energy_counter_j": "NVML: Function Not Found"}
    assert second["values"]["temperature_c"] == 55.0
    assert second["values"]["throttle_reasons"] == 4.0
    assert second["values"]["memory_device_mib"] >= 1400.0  # the old call counts 400 MiB of reserved memory


def test_hidden_processes_give_nan_and_not_zero(nvml_stub):
    first = read(nvml_stub, processes="none")[0][0]
    assert math.isnan(first["values"]["memory_process_mib"])
    assert "container" in first["reasons"]["memory_process_mib"]


def test_memory_of_children_counts_when_asked_for(nvml_stub):
    out = nvml_stub.run(
        """
import os, subprocess, sys
from harness.hardware import GpuMeter, open_nvml
gpu = open_nvml().gpus[0]
with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
    os.environ["NVML_STUB_CHILD"] = str(child.pid)
    print([GpuMeter(gpu, children=own).read().values["memory_process_mib"] for own in (False, True)])
    child.communicate(b"\\n")
"""
    )
    assert out == "[300.0, 350.0]"


def test_a_torch_device_is_matched_by_uuid_and_not_by_index(nvml_stub):
    out = nvml_stub.run(
        """
from harness.hardware import open_nvml
nvml = open_nvml()
for uuid in ("aaaaaaaa-1111-2222-3333-444444444444", "GPU-BBBBBBBB-1111-2222-3333-444444444444",
             "cccccccc-1111-2222-3333-444444444444", "dddddddd-1111-2222-3333-444444444444"):
    gpu = nvml.gpu_for(uuid)
    print(gpu and (gpu.index, gpu.name))
""",
        mig=1,
    )
    assert out.splitlines() == ["(1, 'Stub GPU A')", "(0, 'Stub GPU B')", "(1, 'Stub GPU A MIG 1g.10gb')", "None"]


def test_an_instance_of_a_partitioned_gpu_tells_memory_but_not_the_whole_gpus_power(nvml_stub):
    instance = read(nvml_stub, mig=1)[0][2]
    assert instance["values"]["memory_device_mib"] >= 1000.0
    assert math.isnan(instance["values"]["power_w"])
    assert instance["reasons"]["power_w"] == "NVML: Not Supported"


NOTHING = (
    "from harness.hardware import open_nvml; n = open_nvml(); print(n.available, n.gpus, n.driver_version, n.reason)"
)


def test_a_driver_that_is_not_loaded_is_a_reason_and_no_error(nvml_stub):
    out = nvml_stub.run(NOTHING, init=9)
    assert out.startswith("False () None NVML: Driver Not Loaded")
    assert "nvidia-smi" in out


def test_a_missing_library_is_a_reason_and_no_error(nvml_stub_module, tmp_path):
    (tmp_path / "libnvidia-ml.so.1").touch()  # hides a real one, and cannot be loaded
    out = nvml_stub_module.NvmlStub(tmp_path).run(NOTHING)
    assert out.startswith("False () None NVML: NVML Shared Library Not Found")
    assert "install the NVIDIA driver" in out


def test_a_gpu_that_cannot_be_opened_is_named_and_the_others_are_there(nvml_stub):
    out = nvml_stub.run(
        "from harness.hardware import open_nvml; n = open_nvml(); print([g.name for g in n.gpus], n.reason)", broken=0
    )
    assert out == "['Stub GPU A'] NVML cannot open GPU 0: Unknown Error"


def test_nvml_is_opened_once_and_anew_in_a_forked_child(nvml_stub, tmp_path):
    log = tmp_path / "log"
    out = nvml_stub.run(
        """
import os, sys
from harness.hardware import open_nvml
gpu = open_nvml().gpus[1]
assert open_nvml() is open_nvml()
assert gpu.read().values["power_w"] > 0
child = os.fork()
own = open_nvml().gpus[1]
figures = [gpu.read(), own.read()]
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert own is gpu
print(os.getpid(), [f.values["power_w"] > 0 for f in figures], [dict(f.reasons) for f in figures], flush=True)
""",
        log=log,
    )
    pids = [line.split()[0] for line in out.splitlines()]
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()] == ["[True, True] [{}, {}]"] * 2
    child, parent = pids
    assert child != parent
    assert log.read_text().splitlines() == [
        f"init {parent}",
        f"init {child}",
        f"shutdown {child}",
        f"shutdown {parent}",
    ]
