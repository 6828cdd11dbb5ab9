from __future__ import annotations

import os

import psutil
import pytest

from harness.hardware import usable_cores
from harness.hardware.cpu import core_list, parse_cpuinfo, parse_sysctl, read_caches, read_cpu, read_numa_nodes

X86 = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu avx2 avx512f amx_bf16 avx512_bf16 amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16\nCPU part\t: 0xd40\n"
MAC = """machdep.cpu.brand_string: Apple M2
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 0
"""


def test_x86_model_and_instruction_sets_are_those_of_the_first_core():
    expected = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")
    assert parse_cpuinfo(X86) == ("Intel(R) Xeon(R) Platinum 8480+", expected)


def test_arm_tells_instruction_sets_but_no_model():
    assert parse_cpuinfo(ARM) == (None, ("asimd", "sve", "bf16", "i8mm"))


def test_a_flag_is_not_taken_for_another_that_it_begins():
    assert parse_cpuinfo("flags : avx avx512_vnnix bf16x\n")[1] == ()


def test_what_cannot_be_read_is_unknown_and_not_absent():
    assert parse_cpuinfo("") == (None, None)
    assert parse_sysctl("") == (None, None)


def test_macos_counts_only_what_is_switched_on():
    assert parse_sysctl(MAC) == ("Apple M2", ("asimd", "asimddp", "bf16"))


def test_usable_cores_obey_a_quota_below_the_cores(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("50000 100000\n")
    cpu = read_cpu(tmp_path)
    assert cpu.quota_cores == 0.5
    assert cpu.usable_cores == 1


def test_usable_cores_are_the_least_of_all_bounds(monkeypatch, tmp_path):
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 64 if logical else 32)
    monkeypatch.setattr("harness.hardware.cpu._affinity", lambda: set(range(48)))
    assert read_cpu(tmp_path).usable_cores == 32
    monkeypatch.setattr("harness.hardware.cpu._affinity", lambda: set(range(12)))
    assert read_cpu(tmp_path).usable_cores == 12
    monkeypatch.setattr(psutil, "cpu_count", lambda *_, **__: None)
    monkeypatch.setattr("harness.hardware.cpu._affinity", lambda: None)
    assert read_cpu(tmp_path).usable_cores == 1


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no CPU affinity")
def test_usable_cores_are_within_this_process_affinity():
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cores", "text"), [((), ""), ((3,), "3"), ((0, 1), "0-1"), ((8, 0, 2, 1, 3, 12, 11), "0-3,8,11-12")]
)
def test_cores_are_listed_in_short(cores, text):
    assert core_list(cores) == text


def test_affinity_tells_which_cores(monkeypatch, tmp_path):
    monkeypatch.setattr("harness.hardware.cpu._affinity", lambda: {0, 1, 2, 5})
    cpu = read_cpu(tmp_path)
    assert (cpu.affinity, cpu.affinity_cores) == ("0-2,5", 4)


def test_caches_are_those_of_the_first_core(tmp_path):
    caches = [
        ("1", "Data", "48K"),
        ("1", "Instruction", "32K"),
        ("2", "Unified", "2048K"),
        ("3", "Unified", "nonsense"),
    ]
    for number, (level, kind, size) in enumerate(caches):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{number}"
        folder.mkdir(parents=True)
        for name, text in {"level": level, "type": kind, "size": size}.items():
            (folder / name).write_text(f"{text}\n")
    assert read_caches(tmp_path) == {"L1d": 48, "L1i": 32, "L2": 2048}
    assert read_caches(tmp_path / "nothing") == {}


def test_memory_nodes_come_in_the_order_of_their_numbers(tmp_path):
    for node, cores in (("node10", ""), ("node2", "4-7"), ("node0", "0-3,8")):
        folder = tmp_path / "sys/devices/system/node" / node
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(f"{cores}\n")
    assert list(read_numa_nodes(tmp_path).items()) == [("0", "0-3,8"), ("2", "4-7"), ("10", "")]
    assert read_numa_nodes(tmp_path / "nothing") == {}
