"""Downloads of the built-in tasks that are read from files, each checked against a pinned digest."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

from harness.data.catalog import tasks
from harness.data.sources.fashion_mnist import FILES, PublishedFile
from harness.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Called with file name, bytes so far, and bytes in all where the server says so."""

_FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
"""The address its authors give. S3 website endpoints speak no HTTPS; the pinned digests vouch for the content."""

_CHUNK = 2**16
_TIMEOUT_S = 30.0


def fetch(name: str, directory: Path, *, base_url: str | None = None, progress: Progress | None = None) -> Path:
    """Download the files of a built-in task into ``directory`` and return it; files that are there and whole are kept.

    A file appears under its name only when its content has the pinned sha256 and is synced to disk. :class:`DataError`
    otherwise, with nothing of that file left behind.
    """
    if not tasks[name].fetchable:
        raise DataError(f"{name}: there is nothing to fetch, it needs {tasks[name].needs}")
    base = base_url or _FASHION_MNIST_URL
    if not base.startswith(("http://", "https://")):
        raise DataError(f"{base}: expected an address that starts with http:// or https://")
    directory = directory.expanduser()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            if not _is_whole(directory / file.archive, file):
                _fetch_file(f"{base.rstrip('/')}/{file.archive}", directory / file.archive, file, progress)
    except OSError as error:
        raise DataError(f"{directory}: cannot be written ({error.strerror or error}); name another folder") from None
    return directory


def _fetch_file(url: str, path: Path, file: PublishedFile, progress: Progress | None) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _download(url, partial, limit=file.plain_bytes + _CHUNK, progress=progress)
        if not _is_whole(partial, file):
            raise DataError(f"{url}: its content is not the published {file.stem}; try again, or another base URL")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _download(url: str, path: Path, *, limit: int, progress: Progress | None) -> None:
    """Stream ``url`` to ``path``; gzip makes nothing much larger than it was, so more than ``limit`` bytes is wrong."""
    received = 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response, path.open("wb") as out:
            length = response.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            while chunk := response.read(_CHUNK):
                received += len(chunk)
                if received > limit:
                    raise DataError(f"{url}: sends more than {limit:,} bytes; try another base URL")
                out.write(chunk)
                if progress is not None:
                    progress(url.rpartition("/")[2], received, total)
            out.flush()
            os.fsync(out.fileno())
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(f"{url}: the server answered {error.code} {error.reason}; try another base URL") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"{url}: cannot be fetched ({reason}); check the network or try another base URL") from None
    if total is not None and received != total:
        raise DataError(f"{url}: ended after {received:,} of {total:,} bytes; try again")


def _is_whole(path: Path, file: PublishedFile) -> bool:
    """Return whether a gzip file holds exactly the published content; stops reading where it is too long."""
    digest = hashlib.sha256()
    size = 0
    try:
        with gzip.open(path) as content:
            while chunk := content.read(_CHUNK):
                size += len(chunk)
                if size > file.plain_bytes:
                    return False
                digest.update(chunk)
    except (FileNotFoundError, gzip.BadGzipFile, EOFError, zlib.error):
        return False
    return digest.hexdigest() == file.plain_sha256
