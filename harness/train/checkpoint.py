"""Tensors and facts as the bytes of one safetensors file. Nothing is ever pickled or unpickled.

The facts are JSON, in Python's dialect with NaN, in the file's metadata under ``harness``. Beside them stand two
digests: of the header (with that digest's own digits as zeros), and of the tensors. So a byte that is missing or other
than it was is found, wherever it is.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from harness.errors import StorageError

MAX_HEADER_BYTES = 100_000_000
"""The limit of the safetensors format."""
_BLANK = b"0" * 64
_MALFORMED = (AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def pack(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytes:
    """Return a safetensors file. Tensors may lie anywhere and share memory; each is stored on its own.

    ``facts`` must be JSON; NaN and infinities are allowed, keys are strings, and tuples come back as lists.
    """
    header, body = _cut(save({name: _own(tensor) for name, tensor in tensors.items()}))
    metadata = {
        "header_sha256": _BLANK.decode(),
        "tensors_sha256": hashlib.sha256(body).hexdigest(),
        "harness": json.dumps(dict(facts)),
    }
    text = json.dumps({"__metadata__": metadata, **json.loads(bytes(header))}).encode()
    text += b" " * (-len(text) % 8)  # as safetensors does, so that the tensors are aligned
    return b"".join((struct.pack("<Q", len(text)), text.replace(_BLANK, _digest(text), 1), body))


def unpack(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors, in host memory, and facts. Raises :class:`StorageError` for anything but what was packed."""
    metadata, facts = _read(data)
    if hashlib.sha256(_cut(data)[1]).hexdigest() != metadata.get("tensors_sha256"):
        raise _damaged("its tensors are not those that were written")
    try:
        return load(data), facts
    except (SafetensorError, *_MALFORMED) as error:
        raise _damaged(_line(error)) from error


def read_facts(data: bytes) -> dict[str, Any]:
    """Return the facts alone, without reading tensors. Raises :class:`StorageError` if they are not as written.

    A cut-off file is noticed, other damage to the tensors is not.
    """
    return _read(data)[1]


def _read(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return metadata and facts of a file with a sound header and as many bytes as that says."""
    text, body = _cut(data)
    try:
        header = json.loads(bytes(text))
        metadata = header.pop("__metadata__")
        written = metadata["header_sha256"].encode()
        sound = len(written) == len(_BLANK) and written == _digest(bytes(text).replace(written, _BLANK, 1))
        if not sound:
            raise _damaged("its header is not the one that was written")
        if len(body) != max((entry["data_offsets"][1] for entry in header.values()), default=0):
            raise _damaged(f"its {len(body)} bytes of tensors are not as many as its header says")
        facts = json.loads(metadata["harness"])
    except _MALFORMED as error:
        raise _damaged(_line(error)) from error
    if not isinstance(facts, dict):
        raise _damaged("its facts are no mapping")
    return metadata, facts


def _cut(data: bytes) -> tuple[memoryview, memoryview]:
    """Return the header's JSON and the bytes of the tensors."""
    if len(data) < 8:
        raise _damaged(f"{len(data)} bytes are no safetensors file")
    (length,) = struct.unpack_from("<Q", data)
    if not 0 < length <= min(len(data) - 8, MAX_HEADER_BYTES):
        raise _damaged(f"a header of {length} bytes cannot be in a file of {len(data)}")
    rest = memoryview(data)[8:]
    return rest[:length], rest[length:]


def _own(tensor: Tensor) -> Tensor:
    """Return a copy in host memory, as safetensors refuses memory that is shared."""
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _digest(header: bytes) -> bytes:
    return hashlib.sha256(header).hexdigest().encode()


def _damaged(what: str) -> StorageError:
    return StorageError(f"checkpoint is damaged: {what}; delete it, and its trial starts anew")


def _line(error: BaseException) -> str:
    """Return the error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
