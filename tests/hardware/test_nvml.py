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


NOT_SUPPORTED, NO_PERMISSION, LOST, UNKNOWN = 3, 4, 15, 999


def errors(**codes):
    """Return a scenario in which these functions and fields of the stub are refused."""
    return ",".join(f"{name}={code}" for name, code in codes.items())


def test_a_gpu_tells_telemetry_and_nothing_else():
    assert set(GPU_TELEMETRY) < set(TELEMETRY)
    of_the_host = {"cpu_percent", "memory_rss_mib", "cpu_pressure_percent", "memory_pressure_percent", "cpu_energy_j"}
    assert set(TELEMETRY) - set(GPU_TELEMETRY) == of_the_host


def test_figures_come_in_the_units_of_their_names(nvml_stub):
    began = time.time() - 100
    second = read(nvml_stub, times=2, t0=began)[1][1]
    passed = time.time() - began
    values = second["values"]
    assert second["reasons"] == {}
    assert values["gpu_utilization_percent"] == 80.0
    assert values["memory_utilization_percent"] == 30.0
    assert values["memory_process_mib"] == 300.0
    assert values["sm_clock_mhz"] == 1500.0
    assert values["memory_clock_mhz"] == 2600.0
    assert values["temperature_c"] == 56.0
    assert values["memory_reserved_mib"] == 400.0
    assert values["throttle_reasons"] == 0.0
    # ramps of the stub; the sample was taken at some time from 100 s to `passed`
    assert 1000 + 100 * 100 <= values["memory_device_mib"] <= 1000 + 100 * passed
    assert 100 + 50 * 100 <= values["power_w"] <= 100 + 50 * passed
    assert 110 + 50 * 100 <= values["power_instant_w"] <= 110 + 50 * passed
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
    assert first["reasons"].keys() == {"pcie_rx_mb_s", "pcie_tx_mb_s"}
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


def test_an_old_driver_is_asked_in_the_old_way_and_lacks_only_what_it_cannot_know(old_driver):
    first, second = (row[1] for row in read(old_driver, times=2))
    reasons = dict(second["reasons"])
    assert "too old to report reserved memory" in reasons.pop("memory_reserved_mib")
    assert "once a second" in reasons.pop("pcie_rx_mb_s")
    assert "once a second" in reasons.pop("pcie_tx_mb_s")
    assert reasons == {"energy_counter_j": "NVML: Function Not Found", "power_instant_w": "NVML: Invalid Argument"}
    assert (first["values"]["pcie_rx_mb_s"], first["values"]["pcie_tx_mb_s"]) == (7.0, 3.0)
    assert second["values"]["memory_process_mib"] == 300.0
    assert second["values"]["temperature_c"] == 55.0
    assert second["values"]["throttle_reasons"] == 4.0
    assert second["values"]["memory_device_mib"] >= 1400.0  # the old call counts 400 MiB of reserved memory


def test_pcie_traffic_is_the_rate_of_the_counters_and_no_measurement_that_waits(nvml_stub, tmp_path):
    log = tmp_path / "log"
    first, second = (row[1] for row in read(nvml_stub, times=2, log=log))
    assert math.isnan(first["values"]["pcie_rx_mb_s"])
    assert "from the second reading on" in first["reasons"]["pcie_rx_mb_s"]
    assert second["values"]["pcie_tx_mb_s"] > 0
    assert second["values"]["pcie_rx_mb_s"] == pytest.approx(2 * second["values"]["pcie_tx_mb_s"], rel=0.1)
    assert "throughput asked" not in log.read_text()


def test_a_counter_of_32_bits_that_begins_anew_is_followed(nvml_stub):
    second = read(nvml_stub, times=2, counters="short", generation=1)[1][1]
    assert 0 < second["values"]["pcie_tx_mb_s"] < second["values"]["pcie_rx_mb_s"] < 4000


PAUSED = """
import time
from harness.hardware import open_nvml
gpu = open_nvml().gpus[1]
gpu.read()
time.sleep(0.1)  # 16 lanes of generation 5 carry more than 2**32 bytes in it
paused = gpu.read().values["pcie_rx_mb_s"]
rates = [gpu.read().values["pcie_rx_mb_s"] for _ in range(20)]
print(paused, any(rate == rate for rate in rates))
"""


@pytest.mark.parametrize(("refused", "told"), [("", "7.0 True"), (errors(PcieThroughput=NOT_SUPPORTED), "nan True")])
def test_a_counter_that_may_have_begun_anew_unseen_is_no_rate_and_goes_on_afterwards(nvml_stub, refused, told):
    assert nvml_stub.run(PAUSED, counters="short", errors=refused) == told


def test_a_link_that_does_not_tell_its_speed_is_taken_for_the_fastest(nvml_stub):
    scenario = {"counters": "short", "errors": errors(MaxPcieLinkGeneration=NOT_SUPPORTED)}
    assert nvml_stub.run(PAUSED, **scenario) == "7.0 True"


@pytest.mark.parametrize(
    "scenario",
    [{"errors": errors(Field197=NOT_SUPPORTED)}, {"errors": errors(FieldValues=NOT_SUPPORTED)}, {"counters": "odd"}],
    ids=["one field", "all fields", "unknown type"],
)
def test_without_counters_nvml_measures_traffic_once_a_second_at_most(nvml_stub, tmp_path, scenario):
    log = tmp_path / "log"
    rows = read(nvml_stub, times=20, log=log, **scenario)
    told = [row[1]["values"]["pcie_rx_mb_s"] for row in rows]
    assert told[0] == 7.0
    # received and transmitted, of two GPUs, in each second that these twenty readings took
    assert log.read_text().count("throughput asked") == 4 * sum(value == value for value in told)
    assert math.isnan(told[1])
    assert "once a second" in rows[1][1]["reasons"]["pcie_rx_mb_s"]


def test_where_no_traffic_can_be_told_nvml_is_asked_once(nvml_stub, tmp_path):
    log = tmp_path / "log"
    refused = errors(Field198=NOT_SUPPORTED, PcieThroughput=NOT_SUPPORTED)
    rows = read(nvml_stub, times=5, log=log, errors=refused)
    assert {row[1]["reasons"]["pcie_tx_mb_s"] for row in rows} == {"NVML: Not Supported"}
    assert log.read_text().count("error asked") == 4


def test_power_that_is_not_supported_is_told_by_the_field_of_the_average(nvml_stub, tmp_path):
    log = tmp_path / "log"
    rows = read(nvml_stub, times=3, t0=time.time() - 10, log=log, errors=errors(PowerUsage=NOT_SUPPORTED))
    assert all(row[0]["values"]["power_w"] > 605 for row in rows)
    assert all("power_w" not in row[0]["reasons"] for row in rows)
    assert log.read_text().count("error asked") == 2


def test_power_that_no_way_tells_is_nan_with_the_reason_and_not_zero(nvml_stub):
    refused = errors(PowerUsage=NOT_SUPPORTED, Field185=NO_PERMISSION, Field186=NOT_SUPPORTED)
    first = read(nvml_stub, errors=refused)[0][0]
    assert math.isnan(first["values"]["power_w"])
    assert first["reasons"]["power_w"] == "NVML: Insufficient Permissions"
    assert first["reasons"]["power_instant_w"] == "NVML: Not Supported"


def test_an_error_of_one_field_that_passes_is_asked_for_again(nvml_stub, tmp_path):
    log = tmp_path / "log"
    rows = read(nvml_stub, times=3, log=log, errors=errors(Field186=UNKNOWN))
    assert {row[1]["reasons"]["power_instant_w"] for row in rows} == {"NVML: Unknown Error"}
    assert log.read_text().count("error asked") == 6


def test_a_gpu_lost_in_a_field_is_lost(nvml_stub):
    first = read(nvml_stub, errors=errors(Field186=LOST))[0][0]
    assert first["values"]["power_w"] > 0
    assert first["reasons"]["energy_counter_j"] == "NVML: GPU is lost"


JETSON = errors(
    **dict.fromkeys(("UtilizationRates", "MemoryInfo", "MemoryInfo_v2", "PowerUsage", "FieldValues"), NOT_SUPPORTED),
    **dict.fromkeys(("ComputeRunningProcesses_v3", "ComputeRunningProcesses_v2", "PcieThroughput"), NOT_SUPPORTED),
    **dict.fromkeys(("TotalEnergyConsumption", "TemperatureV", "Temperature"), NOT_SUPPORTED),
)


def test_a_gpu_that_shares_the_memory_of_the_machine_tells_little_and_fails_nowhere(nvml_stub, tmp_path):
    log = tmp_path / "log"
    rows = read(nvml_stub, times=4, log=log, errors=JETSON)
    known = {name for name, value in rows[-1][1]["values"].items() if value == value}
    assert known == {"sm_clock_mhz", "memory_clock_mhz", "throttle_reasons"}
    assert set(rows[-1][1]["reasons"]) == set(GPU_TELEMETRY) - known
    # every way once for each of two GPUs: FieldValues in three questions, the other ways in one
    assert log.read_text().count("error asked") == 2 * (3 + 10)


def test_processes_without_a_size_as_of_virtual_gpus_give_nan_and_not_zero(nvml_stub):
    first = read(nvml_stub, processes="sizeless")[0][0]
    assert math.isnan(first["values"]["memory_process_mib"])
    assert first["reasons"]["memory_process_mib"]


def test_hidden_processes_give_nan_and_not_zero(nvml_stub):
    first = read(nvml_stub, processes="none")[0][0]
    assert math.isnan(first["values"]["memory_process_mib"])
    assert "container" in first["reasons"]["memory_process_mib"]


def test_memory_is_that_of_the_processes_asked_for(nvml_stub):
    out = nvml_stub.run(
        """
import os
from harness.hardware import open_nvml
gpu = open_nvml().gpus[0]
os.environ["NVML_STUB_CHILD"] = "77"
print([gpu.read(pids).values["memory_process_mib"] for pids in ((), {77}, {77, os.getpid()}, {88})])
"""
    )
    assert out == "[300.0, 50.0, 350.0, nan]"


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
    assert math.isnan(instance["values"]["pcie_rx_mb_s"])


NOTHING = (
    "from harness.hardware import open_nvml; n = open_nvml(); print(n.available, n.gpus, n.driver_version, n.reason)"
)


@pytest.mark.parametrize(
    ("error", "said", "advice"),
    [(9, "Driver Not Loaded", "nvidia-smi"), (18, "version mismatch", "restart"), (4, "Insufficient Permissions", "")],
)
def test_a_driver_that_does_not_answer_is_a_reason_and_no_error(nvml_stub, error, said, advice):
    out = nvml_stub.run(NOTHING, init=error)
    assert out.startswith("False () None NVML: ")
    assert said in out
    assert advice in out


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
missing = [sorted(f.reasons) for f in figures]
print(os.getpid(), [f.values["power_w"] > 0 for f in figures], missing[0], missing[1] if child else [], flush=True)
""",
        log=log,
        t0=time.time() - 10,  # what counts goes on for the child
    )
    pids = [line.split()[0] for line in out.splitlines()]
    assert [line.split(maxsplit=1)[1] for line in out.splitlines()] == ["[True, True] [] []"] * 2
    child, parent = pids
    assert child != parent
    assert log.read_text().splitlines() == [
        f"init {parent}",
        f"init {child}",
        f"shutdown {child}",
        f"shutdown {parent}",
    ]
