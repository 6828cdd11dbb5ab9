from __future__ import annotations

import pytest

from harness.hardware.cgroup import Limits, memory_left_mib, read_limits


def lay(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_machine_without_control_groups_has_no_limits(tmp_path):
    assert read_limits(tmp_path) == Limits(None, None)


def test_version_2_takes_the_least_limit_on_the_way_up(tmp_path):
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/memory.max": f"{3 * 2**30}\n",
            "sys/fs/cgroup/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/memory.max": f"{8 * 2**30}\n",
        },
    )
    assert read_limits(tmp_path) == Limits(1.5, 3072.0)


def test_version_1_reads_quota_and_memory_from_their_own_hierarchies(tmp_path):
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n1:name=systemd:/\n0::/\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2**30}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert read_limits(tmp_path) == Limits(2.5, 1024.0)


def test_version_1_without_limits_has_none(tmp_path):
    lay(
        tmp_path,
        {
            "proc/self/cgroup": "2:memory:/\n1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert read_limits(tmp_path) == Limits(None, None)


@pytest.mark.parametrize("path", ["/docker/0123456789", "/../../job.slice"])
def test_in_a_container_whose_path_is_the_hosts_the_mount_has_the_limit(tmp_path, path):
    lay(tmp_path, {"proc/self/cgroup": f"0::{path}\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"})
    assert read_limits(tmp_path).cpu_cores == 2.0


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3\n", "100000 0\n"])
def test_a_file_that_makes_no_sense_sets_no_limit(tmp_path, text):
    lay(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": text, "sys/fs/cgroup/memory.max": text})
    assert read_limits(tmp_path).cpu_cores is None
    assert read_limits(tmp_path).memory_mib is None


GIB = 2**30
STAT = (
    "anon {anon}\nfile {file}\nactive_file {active}\ninactive_file {inactive}\nshmem {shmem}\nslab_reclaimable {slab}\n"
)


def group(folder, limit, used, **stat):
    known = dict.fromkeys(("anon", "file", "active", "inactive", "shmem", "slab"), 0) | stat
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": STAT.format(**known),
    }


def test_without_a_limit_the_groups_leave_whatever_there_is(tmp_path):
    assert memory_left_mib(tmp_path) is None
    lay(tmp_path, {"proc/self/cgroup": "0::/a\n", **group("sys/fs/cgroup/a", "max", GIB)})
    assert memory_left_mib(tmp_path) is None


def test_what_is_left_counts_what_can_be_reclaimed_and_not_files_in_memory(tmp_path):
    files = group(
        "sys/fs/cgroup/a",
        4 * GIB,
        3 * GIB,
        anon=GIB,
        file=2 * GIB,
        active=GIB // 4,
        inactive=GIB,
        shmem=3 * GIB // 4,
        slab=GIB // 8,
    )
    lay(tmp_path, {"proc/self/cgroup": "0::/a\n", **files})
    assert memory_left_mib(tmp_path) == 1024 + 1024 + 256 + 128


def test_the_fullest_group_on_the_way_up_counts(tmp_path):
    inner, outer = "sys/fs/cgroup/a/b", "sys/fs/cgroup/a"
    lay(tmp_path, {"proc/self/cgroup": "0::/a/b\n", **group(inner, GIB, 0), **group(outer, 8 * GIB, 8 * GIB - 2**20)})
    assert memory_left_mib(tmp_path) == 1.0
    lay(tmp_path, group(outer, 8 * GIB, 9 * GIB))  # a limit that was lowered under what is in use
    assert memory_left_mib(tmp_path) == 0.0


def test_version_1_tells_what_is_left_with_the_groups_below(tmp_path):
    folder = "sys/fs/cgroup/memory/job"
    files = {
        "proc/self/cgroup": "4:memory:/job\n",
        f"{folder}/memory.limit_in_bytes": f"{4 * GIB}\n",
        f"{folder}/memory.usage_in_bytes": f"{2 * GIB}\n",
        f"{folder}/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB}\ntotal_active_file {GIB // 2}\n",
    }
    lay(tmp_path, files)
    assert memory_left_mib(tmp_path) == 2048 + 1024 + 512


@pytest.mark.parametrize("text", ["", "nonsense\n", "inactive_file\n", "inactive_file x\n"])
def test_a_group_that_does_not_tell_its_use_is_taken_to_be_empty_and_what_it_holds_to_stay(tmp_path, text):
    lay(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"})
    assert memory_left_mib(tmp_path) == 1024.0
    lay(tmp_path, {"sys/fs/cgroup/memory.current": f"{GIB // 2}\n", "sys/fs/cgroup/memory.stat": text})
    assert memory_left_mib(tmp_path) == 512.0
