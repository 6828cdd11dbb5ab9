from __future__ import annotations

import pytest

from harness.hardware.cgroup import Limits, read_limits


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
