import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from harness.errors import StorageError
from harness.store.filesystem import NETWORK_FILE_SYSTEMS, check_local


@dataclass(frozen=True)
class Mount:
    mountpoint: str
    fstype: str
    opts: str = "rw"


ROOT = Mount("/", "ext4")


def checked(path, mounts):
    """Check a path on a machine with these mounts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psutil, "disk_partitions", lambda **_: mounts)
        check_local(path)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "lustre", "fuse.sshfs", "fuse.s3fs", "NFS4"])
def test_a_network_file_system_is_refused_with_its_name_and_both_ways_out(kind):
    with pytest.raises(StorageError, match=r"--out .*--storage postgresql://") as caught:
        checked(Path("/data/runs/new"), [ROOT, Mount("/data", kind)])
    assert f"/data is a network file system ({kind})" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "apfs", "NTFS", "fuseblk", "fuse.new", ""]
)
def test_local_and_unknown_file_systems_pass(kind):
    checked(Path("/data/runs"), [ROOT, Mount("/data", kind)])


def test_every_network_file_system_is_written_as_it_is_compared():
    assert {kind.lower() for kind in NETWORK_FILE_SYSTEMS} == NETWORK_FILE_SYSTEMS


def test_the_nearest_mount_decides_and_not_one_whose_name_only_begins_alike():
    mounts = [Mount("/home/me/scratch", "xfs"), ROOT, Mount("/home", "nfs4")]
    checked(Path("/home/me/scratch/runs"), mounts)
    checked(Path("/homes/me"), mounts)
    with pytest.raises(StorageError, match=r"/home is a .* \(nfs4\)"):
        checked(Path("/home/me/scratch2/runs"), mounts)


def test_of_two_mounts_on_one_point_the_later_one_covers_the_other():
    checked(Path("/data"), [Mount("/data", "nfs"), Mount("/data", "ext4")])
    with pytest.raises(StorageError, match="nfs"):
        checked(Path("/data"), [Mount("/data", "autofs"), Mount("/data", "nfs")])


def test_a_link_is_followed_to_where_the_files_will_lie(tmp_path):
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share")
    share = Mount(str((tmp_path / "share").resolve()), "nfs")
    with pytest.raises(StorageError, match="nfs"):
        checked(tmp_path / "link" / "runs", [ROOT, share])


def test_a_network_drive_of_windows_is_told_by_its_options():
    with pytest.raises(StorageError, match="NTFS"):
        checked(Path("/z/runs"), [Mount("/z", "NTFS", "rw,remote")])


def test_where_nothing_can_be_told_everything_passes(monkeypatch, tmp_path):
    checked(tmp_path, [])

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(psutil, "disk_partitions", refuse)
    check_local(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's mount table")
def test_this_machine_is_read_as_findmnt_reads_it(tmp_path):
    try:
        done = subprocess.run(
            ["findmnt", "-n", "-o", "FSTYPE", "-T", tmp_path], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"findmnt does not tell: {error}")
    refused = False
    try:
        check_local(tmp_path)
    except StorageError:
        refused = True
    assert refused == (done.stdout.split()[-1] in NETWORK_FILE_SYSTEMS)
