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
from harness.hardware import probe


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
    assert instance["power_limit_w"] is None
    assert set(second["capabilities"].values()) == {""}
    assert first["capabilities"]["energy_counter_j"] == "NVML: Not Supported"
