from __future__ import annotations

import types

import pytest
import torch

from harness.hardware import describe_precisions, native_precisions, precisions

CPU = torch.device("cpu")


@pytest.fixture
def isa(monkeypatch):
    """Make the CPU have these instruction sets."""

    def pretend(*names, known=True):
        monkeypatch.setattr(precisions, "read_cpu", lambda: types.SimpleNamespace(isa=names if known else None))

    return pretend


def supports(device):
    return {name: each.support for name, each in describe_precisions(device).items()}


@pytest.mark.parametrize(
    ("capability", "native", "emulated"),
    [
        ((9, 0), {"fp32", "tf32", "bf16", "fp16", "int8", "fp8"}, set()),
        ((8, 9), {"fp32", "tf32", "bf16", "fp16", "int8", "fp8"}, set()),
        ((8, 0), {"fp32", "tf32", "bf16", "fp16", "int8"}, set()),
        ((7, 5), {"fp32", "fp16", "int8"}, {"bf16"}),
        ((6, 0), {"fp32", "fp16"}, {"bf16", "int8"}),
        ((5, 2), {"fp32"}, {"bf16", "fp16", "int8"}),
    ],
)
def test_a_gpu_supports_what_came_with_its_compute_capability(monkeypatch, capability, native, emulated):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    found = supports(torch.device("cuda:0"))
    assert {name for name, support in found.items() if support == "native"} == native
    assert {name for name, support in found.items() if support == "emulated"} == emulated


@pytest.mark.parametrize(
    ("names", "native"),
    [
        ((), {"fp32"}),
        (("avx2", "avx512f", "avx512_vnni"), {"fp32", "int8"}),
        (("avx512_bf16", "avx512_fp16"), {"fp32", "bf16", "fp16"}),
        (("amx_tile", "amx_bf16", "amx_int8"), {"fp32", "bf16", "int8"}),
        (("asimd", "asimdhp", "asimddp", "bf16"), {"fp32", "bf16", "fp16", "int8"}),
    ],
)
def test_a_cpu_supports_what_its_instruction_sets_compute_in(isa, names, native):
    isa(*names)
    found = supports(CPU)
    assert {name for name, support in found.items() if support == "native"} == native
    assert found["tf32"] == "no"
    assert found["fp8"] == "emulated"


def test_what_is_not_known_of_a_cpu_is_neither_native_nor_emulated(isa):
    isa(known=False)
    assert supports(CPU) == dict.fromkeys(precisions.SHOWN, "unknown") | {"fp32": "native", "tf32": "no"}


def test_the_reason_names_the_instruction_sets(isa):
    isa("avx512_bf16", "amx_bf16")
    assert describe_precisions(CPU)["bf16"].reason == "amx_bf16, avx512_bf16"


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_training_tries_what_native_precisions_let_it_and_nothing_else(device):
    allowed = {name for name, reason in native_precisions(torch.device(device)).items() if not reason}
    described = describe_precisions(torch.device(device))
    assert {name for name, each in described.items() if each.training == "yes"} == allowed
    assert all(each.reason and each.training for each in described.values())
