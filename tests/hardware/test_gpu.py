"""The same checks on a real GPU."""

from __future__ import annotations

import math
import time

import pytest
import torch

from harness.hardware import Sampler, choose_device, meters_for, native_precisions, open_nvml, probe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU"),
]


@pytest.fixture(scope="module")
def device():
    chosen = choose_device("auto")
    torch.ones(1, device=chosen)  # the CUDA context takes memory of its own
    return chosen


@pytest.fixture(scope="module")
def gpu(device):
    found = open_nvml().gpu_for(str(torch.cuda.get_device_properties(device).uuid))
    assert found is not None
    return found


def test_the_gpu_matched_by_uuid_is_the_one_that_torch_uses(device, gpu):
    properties = torch.cuda.get_device_properties(device)
    described = gpu.describe()
    assert described.name == properties.name
    assert described.compute_capability == (properties.major, properties.minor)
    assert described.memory_total_mib == pytest.approx(properties.total_memory / 2**20, rel=0.05)
    seen = probe(torch=True)
    assert described.uuid_hash in {each.uuid_hash for each in seen.torch.devices}
    assert native_precisions(device)["fp32"] == ""


def test_figures_are_plausible_or_have_a_reason(gpu):
    figures = gpu.read()
    limit = gpu.describe().power_limit_w
    values, unknown = figures.values, set(figures.reasons)
    assert values["memory_device_mib"] > 0
    assert "power_w" in unknown or 0 < values["power_w"] <= 1.1 * limit
    assert "temperature_c" in unknown or 0 < values["temperature_c"] < 120
    assert "gpu_utilization_percent" in unknown or 0 <= values["gpu_utilization_percent"] <= 100
    assert "sm_clock_mhz" in unknown or 0 < values["sm_clock_mhz"] <= 1.01 * gpu.describe().sm_clock_max_mhz
    assert "memory_process_mib" in unknown or 0 < values["memory_process_mib"] <= values["memory_device_mib"] * 1.05


def test_the_description_is_plausible_or_has_a_reason(gpu):
    described = gpu.describe()
    told = {name for name, answer in described.capabilities.items() if answer == "yes"}
    assert "power_limit_max_w" not in told or described.power_limit_w <= described.power_limit_max_w
    assert "pcie_width" not in told or 1 <= described.pcie_width <= described.pcie_width_max <= 32
    assert "pcie_generation" not in told or 1 <= described.pcie_generation <= described.pcie_generation_max
    assert "power_w" not in told or described.power_w <= 1.1 * described.power_limit_w
    assert "memory_reserved_mib" not in told or 0 < described.memory_reserved_mib < described.memory_total_mib
    missing = [name for name, answer in described.capabilities.items() if answer != "yes"]
    assert all(getattr(described, name, None) in (None, ()) or math.isnan(getattr(described, name)) for name in missing)


def test_copies_show_as_traffic_on_the_link(device, gpu):
    if gpu.capabilities()["pcie_rx_mb_s"]:
        pytest.skip(f"this GPU does not tell its traffic: {gpu.capabilities()['pcie_rx_mb_s']}")
    block = torch.ones(2**24)
    seen = []
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        for _ in range(4):
            block.to(device)
        seen.append(gpu.read().values["pcie_rx_mb_s"])
    known = [rate for rate in seen if rate == rate]
    assert known
    assert 100 < max(known) < 130_000


def test_used_memory_grows_by_what_torch_allocates(device, gpu):
    torch.cuda.empty_cache()
    before = gpu.read().values["memory_device_mib"]
    block = torch.empty(512 * 2**20, dtype=torch.uint8, device=device)
    torch.cuda.synchronize(device)
    grown = gpu.read().values["memory_device_mib"] - before
    del block
    torch.cuda.empty_cache()
    assert grown == pytest.approx(512, abs=64)


def test_a_load_takes_energy_that_agrees_with_its_power(device, gpu):
    if gpu.capabilities()["power_w"]:
        pytest.skip(f"this GPU does not tell its power: {gpu.capabilities()['power_w']}")
    x_NN = torch.randn(4096, 4096, device=device)
    with Sampler(meters_for(device)) as sampler:
        start = sampler.sample()
        while time.time() < start + 5:
            for _ in range(10):
                x_NN @ x_NN
            torch.cuda.synchronize(device)
        end = sampler.sample()
    figures = sampler.window(start, end)
    assert figures.values["gpu_utilization_percent"] > 30
    assert figures.values["energy_j"] > 0
    assert figures.values["energy_j"] == pytest.approx(figures.values["power_w"] * (end - start), rel=0.35)
    assert figures.values["memory_device_peak_mib"] >= 4096**2 * 4 / 2**20
