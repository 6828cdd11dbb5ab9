from __future__ import annotations

import hashlib
import json
import math
import platform
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import torch

import harness.hardware
from harness.hardware import GPU_TELEMETRY, probe
from harness.hardware.gpu_info import throttle_names
from harness.hardware.machine import hash_uuid, hide_uuids


@pytest.fixture(scope="module")
def machine():
    return probe(torch=True)


def test_probing_imports_neither_torch_nor_numpy_nor_pandas():
    code = (
        "import sys, harness.hardware as h; h.probe(); print(sorted({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_can_be_had():
    assert all(getattr(harness.hardware, name) is not None for name in harness.hardware.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = harness.hardware.nothing


def test_the_probe_agrees_with_the_libraries_it_stands_on(machine):
    assert machine.cpu.logical_cores == psutil.cpu_count()
    assert machine.memory.total_mib == psutil.virtual_memory().total / 2**20
    assert 0 < machine.memory.available_mib < machine.memory.total_mib
    assert machine.torch.version == torch.__version__
    assert machine.torch.cuda_build == torch.version.cuda
    assert machine.python.endswith(platform.python_version())


def test_torch_is_asked_only_on_request():
    assert probe().torch is None


def test_a_system_without_its_files_is_probed_all_the_same(tmp_path):
    cpu = probe(root=tmp_path).cpu
    assert cpu.quota_cores is None
    if sys.platform == "linux":
        assert cpu.isa is None


def test_the_dictionary_is_strict_json_and_reads_back_the_same(machine):
    spoilt = replace(machine, memory=replace(machine.memory, available_mib=math.nan, limit_mib=math.inf))
    plain = spoilt.as_dict()
    assert plain["memory"]["available_mib"] is None
    assert plain["memory"]["limit_mib"] is None
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_ids_are_hidden_unless_asked_for(machine):
    assert "host_name" not in machine.as_dict()
    assert machine.as_dict(hide_ids=False)["host_name"] == platform.node()


def test_uuids_are_hidden_but_their_hashes_stay_and_match_torchs(nvml_stub):
    out = nvml_stub.run(
        """
import json
from harness.hardware import probe
machine = probe()
print(json.dumps([machine.as_dict(), machine.as_dict(hide_ids=False), machine.gpu_reason]))
"""
    )
    hidden, shown, reason = json.loads(out)
    assert reason == ""
    assert "aaaaaaaa" not in json.dumps(hidden)
    assert "aaaaaaaa" in json.dumps(shown)
    as_torch_writes_it = b"aaaaaaaa-1111-2222-3333-444444444444"
    assert hidden["gpus"][1]["uuid_hash"] == hashlib.sha256(as_torch_writes_it).hexdigest()[:12]
    assert hidden["driver_version"] == "580.65.06"
    assert hidden["cuda_driver_version"] == "12.8"


def test_a_gpu_is_described_in_the_units_of_its_names(nvml_stub):
    out = nvml_stub.run(
        "import json; from harness.hardware import probe; print(json.dumps(probe().as_dict()['gpus']))",
        mig=1,
    )
    first, second, instance = json.loads(out)
    assert (first["index"], second["index"], instance["index"]) == (0, 1, 1)
    assert second["memory_total_mib"] == 81920.0
    assert second["compute_capability"] == [9, 0]
    assert second["power_limit_w"] == 700.0
    assert (second["sm_clock_max_mhz"], second["memory_clock_max_mhz"]) == (1980.0, 2619.0)
    assert second["temperature_c"] == 56.0
    assert (second["power_limit_default_w"], second["power_limit_max_w"]) == (650.0, 750.0)
    assert (second["sm_clock_mhz"], second["memory_clock_mhz"]) == (1500.0, 2600.0)
    assert second["memory_used_mib"] >= 1000.0
    assert second["memory_reserved_mib"] == 400.0
    assert second["power_w"] >= 100.0
    assert [second[f"pcie_{name}"] for name in ("generation", "generation_max", "width", "width_max")] == [4, 5, 8, 16]
    assert [gpu["mig"] for gpu in (first, second, instance)] == [False, True, None]
    assert [gpu["instance"] for gpu in (first, second, instance)] == [False, False, True]
    assert (second["ecc"], second["persistence"]) == (True, True)
    assert second["throttle_reasons"] == []
    # this process is none of the others, and one that computes and draws is one
    assert (second["other_processes"], second["other_processes_mib"]) == (1, 100.0)
    assert set(second["capabilities"].values()) == {"yes"}
    assert set(GPU_TELEMETRY) | {"ecc", "mig", "memory_used_mib", "power_limit_max_w", "other_processes"} < set(
        second["capabilities"]
    )


def test_what_a_gpu_does_not_tell_is_missing_with_the_reason_and_not_zero(nvml_stub):
    out = nvml_stub.run(
        "import json; from harness.hardware import probe; print(json.dumps(probe().as_dict()['gpus']))",
        mig=1,
        errors="EccMode=3,PowerManagementLimitConstraints=4,ComputeRunningProcesses_v3=3,CudaComputeCapability=999,"
        "CurrentClocksEventReasons=3,CurrentClocksThrottleReasons=3",
    )
    first, second, instance = json.loads(out)
    told = second["capabilities"]
    assert first["capabilities"]["energy_counter_j"] == "NVML: Not Supported"
    assert (second["ecc"], told["ecc"]) == (None, "NVML: Not Supported")
    assert (second["power_limit_max_w"], told["power_limit_max_w"]) == (None, "NVML: Insufficient Permissions")
    assert (second["compute_capability"], told["compute_capability"]) == (None, "NVML: Unknown Error")
    assert (second["throttle_reasons"], told["throttle_reasons"]) == (None, "NVML: Not Supported")
    assert (second["other_processes"], second["other_processes_mib"]) == (None, None)
    assert told["other_processes_mib"] == told["other_processes"] == "NVML: Not Supported"
    assert second["power_limit_w"] == 700.0
    numbers = {name: value for name, value in instance.items() if isinstance(value, float)}
    assert set(numbers) == {"memory_total_mib", "memory_used_mib", "memory_reserved_mib"}


OTHERS = """
from harness.hardware import gpu_info, open_nvml
gpu_info.sees_all_processes = lambda: {sees_all}
gpu = open_nvml().gpus[1].describe()
print(gpu.other_processes, gpu.other_processes_mib, gpu.capabilities["other_processes_mib"])
"""


@pytest.mark.parametrize(
    ("sees_all", "processes", "told"),
    [
        (True, "none", "0 0 yes"),
        (False, "none", "None nan NVML lists none; a container hides processes outside of it"),
        (False, "all", "1 100.0 yes"),
        (True, "sizeless", "1 nan NVML does not report the memory of every process"),
    ],
)
def test_processes_that_a_container_hides_are_not_counted_as_none(nvml_stub, sees_all, processes, told):
    assert nvml_stub.run(OTHERS.format(sees_all=sees_all), processes=processes) == told


def test_a_gpu_that_is_lost_while_it_is_described_is_described_with_what_there_is(nvml_stub):
    out = nvml_stub.run(
        """
from harness.hardware import open_nvml
gpu = open_nvml().gpus[1].describe()
print(gpu.name, gpu.memory_used_mib > 0, gpu.temperature_c, gpu.ecc, gpu.capabilities["ecc"])
""",
        errors="Field186=15,EccMode=15",
    )
    assert out == "Stub GPU A True nan None NVML: GPU is lost"


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (math.nan, None),
        (0.0, ()),
        (5.0, ("gpu idle", "software power cap")),
        (float(0x40 | 0x1000), ("hardware thermal slowdown", "0x1000")),
    ],
)
def test_what_holds_clocks_down_is_told_by_name(mask, names):
    assert throttle_names(mask) == names


def test_uuids_in_a_text_give_way_to_their_hashes():
    whole = "GPU-aaaaaaaa-1111-2222-3333-444444444444"
    text = hide_uuids(f"CUDA_VISIBLE_DEVICES is '{whole},MIG-GPU-bbbb/1/0,GPU-cc', a GPU-bound job")
    assert "aaaa" not in text
    assert "bbbb" not in text
    assert "GPU-cc" not in text
    assert hash_uuid(whole) in text
