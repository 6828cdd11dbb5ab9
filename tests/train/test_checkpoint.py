import hashlib
import io
import json
import math
import os
import pickle
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from harness.errors import StorageError
from harness.train import pack, read_facts, unpack
from harness.train.checkpoint import MAX_HEADER_BYTES

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]
SMALL = {"weight": torch.arange(3, dtype=torch.float32), "step": torch.tensor(7)}
FACTS = {"epoch": 3, "loss": [0.25, math.nan, -math.inf]}


def crafted(header: dict, body: bytes = b"", *, sound: bool = True) -> bytes:
    """Write a file by hand, its digests right where they can be."""
    metadata = header.get("__metadata__")
    if sound and isinstance(metadata, dict):
        digests = {"header_sha256": "0" * 64, "tensors_sha256": hashlib.sha256(body).hexdigest()}
        header = {**header, "__metadata__": {**digests, **metadata}}
    text = json.dumps(header).encode()
    text = text.replace(b"0" * 64, hashlib.sha256(text).hexdigest().encode(), 1)
    return struct.pack("<Q", len(text)) + text + body


def refused(data: bytes) -> str:
    with pytest.raises(StorageError) as caught:
        unpack(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_come_back_bit_for_bit(dtype):
    tensors = {"a": torch.tensor([[1, 0, 1], [0, 0, 1]]).to(dtype), "scalar": torch.tensor(1).to(dtype)}
    tensors |= {"empty": torch.empty(0, 3, dtype=dtype), "turned": tensors["a"].T, "tied": tensors["a"]}
    found, facts = unpack(pack(tensors, {}))
    assert facts == {}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name].to(torch.float64), tensor.to(torch.float64))


def test_memory_that_is_shared_is_stored_for_each_tensor():
    whole = torch.arange(6.0)
    found, _ = unpack(pack({"whole": whole, "part": whole[2:4]}, {}))
    assert torch.equal(found["part"], whole[2:4])
    found["part"].zero_()
    assert torch.equal(found["whole"], whole)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


@settings(max_examples=40)
@given(facts=st.dictionaries(st.text(max_size=4), values, max_size=4))
def test_facts_come_back_exactly_with_nan_and_infinity(facts):
    data = pack(SMALL, facts)
    assert repr(read_facts(data)) == repr(facts)
    assert repr(unpack(data)[1]) == repr(facts)


def test_facts_that_look_like_the_digest_do_no_harm():
    facts = {"zeros": "0" * 64}
    assert unpack(pack({}, facts)) == ({}, facts)


def test_anyone_can_read_the_tensors(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(pack(SMALL, FACTS))
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("weight"), SMALL["weight"])
        assert json.loads(file.metadata()["harness"])["epoch"] == 3


def test_a_file_torn_at_any_byte_is_refused():
    data = pack(SMALL, FACTS)
    for length in range(len(data)):
        refused(data[:length])
        with pytest.raises(StorageError):
            read_facts(data[:length])
        refused(data[length + 1 :])
    refused(data + b"\0")


@pytest.mark.parametrize("flip", [0x01, 0x20, 0xFF])
def test_a_flipped_byte_anywhere_is_refused(flip):
    data = pack(SMALL, FACTS)
    header = 8 + struct.unpack_from("<Q", data)[0]
    for position in range(len(data)):
        spoiled = bytearray(data)
        spoiled[position] ^= flip
        refused(bytes(spoiled))
        if position < header:
            with pytest.raises(StorageError):
                read_facts(bytes(spoiled))


def test_a_swapped_body_is_refused():
    data, other = pack(SMALL, FACTS), pack({**SMALL, "step": torch.tensor(8)}, FACTS)
    header = 8 + struct.unpack_from("<Q", data)[0]
    assert "its tensors are not those" in refused(data[:header] + other[header:])


class Trap:
    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_pickles_are_refused_and_never_run(tmp_path):
    trace = tmp_path / "trace"
    archive = io.BytesIO()
    torch.save({"weight": torch.ones(2), "trap": Trap(str(trace))}, archive)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        payload = pickle.dumps(Trap(str(trace)), protocol=protocol)
        refused(payload)
        refused(crafted({"__metadata__": {"harness": payload.decode("latin-1")}}))
        refused(struct.pack("<Q", len(payload)) + payload)
    refused(archive.getvalue())
    assert not trace.exists()


FLOAT = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
GOOD = {"harness": "{}"}


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({}, b""),
        ({"__metadata__": {}}, b""),
        ({"__metadata__": None}, b""),
        ({"__metadata__": []}, b""),
        ({"__metadata__": "text"}, b""),
        ({"__metadata__": {"harness": "[]"}}, b""),
        ({"__metadata__": {"harness": "3"}}, b""),
        ({"__metadata__": {"harness": "{"}}, b""),
        ({"__metadata__": {"harness": 3}}, b""),
        ({"__metadata__": {"harness": None}}, b""),
        ({"__metadata__": {"harness": "9" * 5000}}, b""),
        ({"__metadata__": {"harness": "[" * 100_000}}, b""),
        ({"__metadata__": {"harness": '{"a":' * 100_000}}, b""),
        ({"__metadata__": {**GOOD, "header_sha256": 0}}, b""),
        ({"__metadata__": {**GOOD, "header_sha256": ""}}, b""),
        ({"__metadata__": {**GOOD, "tensors_sha256": None}}, b""),
        ({"__metadata__": {**GOOD, "number": 1}}, b""),
        ({"__metadata__": GOOD, "a": None}, b""),
        ({"__metadata__": GOOD, "a": []}, b""),
        ({"__metadata__": GOOD, "a": {}}, b""),
        ({"__metadata__": GOOD, "a": {**FLOAT, "data_offsets": []}}, b""),
        ({"__metadata__": GOOD, "a": {**FLOAT, "data_offsets": "04"}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "data_offsets": [0, "4"]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "data_offsets": [0, 4.0]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "data_offsets": [0, 10**30]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "data_offsets": [2, 4]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "shape": [2]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "shape": [2**62, 2**62]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "shape": [-1]}}, b"0000"),
        ({"__metadata__": GOOD, "a": {**FLOAT, "dtype": "F99"}}, b"0000"),
        ({"__metadata__": GOOD, "a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]}}, b"0000"),
        ({"__metadata__": GOOD, "a": FLOAT, "b": FLOAT}, b"0000"),
    ],
)
def test_a_crafted_header_is_refused(header, body):
    refused(crafted(header, body))


def test_a_file_by_hand_that_is_right_is_not_refused():
    tensors, facts = unpack(crafted({"__metadata__": {"harness": '{"x": NaN}'}, "a": FLOAT}, struct.pack("<f", 2.5)))
    assert tensors["a"].tolist() == [2.5]
    assert math.isnan(facts["x"])


@pytest.mark.parametrize(
    "text", [b"[" * 200_000, b'{"a":' * 200_000, b"[]", b"3", b"null", b"\xff\xfe", b"NaN", b'{"a": 1}']
)
def test_a_header_that_is_no_header_is_refused(text):
    refused(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize("length", [0, 1, MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_a_header_of_impossible_length_is_refused(length):
    refused(struct.pack("<Q", length) + b"{}")


def test_a_safetensors_file_of_someone_else_is_refused():
    assert "KeyError" in refused(save({"weight": torch.ones(2)}))
