"""Where a study database may lie: SQLite's write-ahead log needs memory that all its readers share.

"WAL does not work over a network filesystem" (https://www.sqlite.org/wal.html).
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from harness.errors import StorageError

NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fhgfs", "glusterfs", "gpfs", "lustre"),
        *("nfs", "nfs3", "nfs4", "orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs", "vboxsf", "webdav", "wekafs"),
        *("fuse.beegfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.curlftpfs", "fuse.davfs", "fuse.gcsfuse"),
        *("fuse.glusterfs", "fuse.goofys", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.sshfs"),
        "fuse.vmhgfs-fuse",
    }
)
"""As mount tables name them: file systems that several machines may write to at once."""


def check_local(path: Path) -> None:
    """Raise :class:`StorageError` when ``path``, which need not exist yet, lies on a network file system.

    What cannot be known passes.
    """
    where = Path(os.path.realpath(path))
    try:
        mounts = psutil.disk_partitions(all=True)
    except (OSError, psutil.Error):
        return
    holding = [mount for mount in mounts if where.is_relative_to(mount.mountpoint)]
    if not holding:
        return
    depth = max(len(Path(mount.mountpoint).parts) for mount in holding)
    # Of several on one mount point the last one covers the others.
    nearest = [mount for mount in holding if len(Path(mount.mountpoint).parts) == depth][-1]
    if nearest.fstype.lower() in NETWORK_FILE_SYSTEMS or "remote" in nearest.opts.split(","):
        raise StorageError(
            f"{path}: {nearest.mountpoint} is a network file system ({nearest.fstype}), where SQLite can lose trials; "
            "give --out a folder on a local disk, or keep the study in --storage postgresql://..."
        )
