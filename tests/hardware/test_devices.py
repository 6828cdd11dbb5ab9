from __future__ import annotations

import hashlib
import warnings
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from harness.errors import HardwareError, InputError
from harness.hardware import choose_device, devices, meters_for, native_precisions, probe
from harness.spec.training import PRECISIONS

CPU = torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch):
    """Make torch believe in so many CUDA devices, and in MPS or not."""

    def pretend(cuda, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(2, True, "cuda:0"), (1, False, "cuda:0"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps_then_the_cpu(gpus, cuda, mps, chosen):
    gpus(cuda, mps)
    assert choose_device("auto") == torch.device(chosen)


def test_a_device_is_chosen_by_name(gpus):
    gpus(2, mps=True)
    assert choose_device("cpu") == CPU
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("mps") == torch.device("mps")


def test_a_gpu_beyond_the_last_is_refused_with_those_there_are(gpus):
    gpus(2)
    with pytest.raises(HardwareError, match=r"no device 'cuda:2': found cuda:0, cuda:1, cpu; use one of these"):
        choose_device("cuda:2")


def test_cuda_without_a_cuda_build_says_so(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(HardwareError, match=r"found cpu; torch .* is built without CUDA: install a CUDA build"):
        choose_device("cuda")


def test_cuda_that_torch_cannot_start_repeats_what_torch_says_without_a_warning(monkeypatch):
    def unavailable():
        warnings.warn("CUDA initialization: the driver is too old\ndetails", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with pytest.raises(HardwareError, match=r"the driver is too old; CUDA_VISIBLE_DEVICES is '7'\)"):
        choose_device("cuda:0")


def test_mps_elsewhere_is_refused_with_advice(gpus):
    gpus(0)
    with pytest.raises(HardwareError, match=r"no device 'mps': found cpu; MPS needs macOS"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["gpu", "cud", "cuda:x", "cuda:", "CPU", ""])
def test_an_unknown_name_is_refused_with_the_names_there_are(name):
    with pytest.raises(InputError, match=rf"unknown device '{name}'; use auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


@pytest.mark.parametrize(
    ("capability", "ruled_out"), [((6, 1), {"tf32", "bf16", "fp16"}), ((7, 5), {"tf32", "bf16"}), ((8, 0), set())]
)
def test_gpu_precisions_follow_compute_capability(monkeypatch, capability, ruled_out):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    native = native_precisions(torch.device("cuda:0"))
    assert tuple(native) == PRECISIONS
    assert {name for name, reason in native.items() if reason} == ruled_out


@pytest.mark.parametrize(
    ("isa", "bf16"),
    [
        (("avx2", "amx_tile", "amx_bf16"), True),
        (("avx512f", "avx512_bf16"), True),
        (("avx512f",), False),
        (("amx_tile",), False),
        (None, False),
    ],
)
def test_cpu_offers_bf16_with_instructions_for_its_products(monkeypatch, isa, bf16):
    cpu = replace(devices.read_cpu(), isa=isa)
    monkeypatch.setattr(devices, "read_cpu", lambda: cpu)
    monkeypatch.setattr(devices, "_isa", devices._isa.__wrapped__)  # which remembers this machine's
    native = native_precisions(CPU)
    assert native["fp32"] == ""
    assert (native["bf16"] == "") == bf16
    assert native["tf32"]
    assert native["fp16"]


def test_mps_offers_fp16_but_neither_tf32_nor_bf16():
    native = native_precisions(torch.device("mps"))
    assert {name for name, reason in native.items() if not reason} == {"fp32", "fp16"}


def test_bf16_agrees_with_what_torch_sees():
    sees = getattr(torch.cpu, "get_capabilities", dict)()
    if not {"amx_bf16", "avx512_bf16"} <= set(sees):
        pytest.skip("this torch does not tell about AMX and AVX512-BF16")
    products = (sees["amx_tile"] and sees["amx_bf16"]) or sees["avx512_bf16"]
    assert (native_precisions(CPU)["bf16"] == "") == products


def test_a_cpu_run_watches_no_gpu_and_says_why_there_is_no_gpu():
    watched = meters_for(CPU)
    assert watched.gpu_uuid == ""
    assert "the device is cpu" in watched.no_gpu


def test_a_cuda_run_watches_the_gpu_with_its_uuid(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=f"uuid-{device}"))
    assert meters_for(torch.device("cuda:0")).gpu_uuid == "uuid-cuda:0"


def test_torchs_devices_are_told_with_the_hash_that_nvml_gives(gpus, monkeypatch):
    class Properties:
        name, uuid, total_memory, major, minor = "GPU", "AAAAAAAA-1111-2222-3333-444444444444", 2**30, 9, 0

    gpus(1, mps=True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    cuda, mps = probe(torch=True).torch.devices
    assert cuda.device == "cuda:0"
    assert cuda.memory_total_mib == 1024.0
    assert cuda.uuid_hash == hashlib.sha256(Properties.uuid.lower().encode()).hexdigest()[:12]
    assert mps.uuid_hash is None


def test_why_torch_uses_no_gpu_is_told_without_the_uuids_of_gpus(gpus, monkeypatch):
    gpus(0)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aaaaaaaa-1111-2222-3333-444444444444")
    reason = probe(torch=True).torch.cuda_reason
    assert "torch sees no NVIDIA GPU" in reason
    assert "CUDA_VISIBLE_DEVICES is 'GPU-<" in reason
    assert "aaaaaaaa" not in reason
    gpus(1)
    monkeypatch.setattr(devices, "_describe", lambda device: device)
    assert devices.describe_torch().cuda_reason == ""
