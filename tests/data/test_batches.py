from __future__ import annotations

import pickle
import threading
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data import Part, derive_seed, load, place
from harness.data.batches import _Streamed
from harness.data.part import Normalise
from harness.errors import DataError, InputError
from harness.spec.task import BuiltinTask
from harness.spec.training import Augment

CPU = torch.device("cpu")
EVERYTHING = Augment(flip=True, shift=0.2, crop=1, rotation=30.0, scale=0.2, cutout=0.3, mixup=0.4)


def part_of(samples):
    return Part((np.arange(samples * 2, dtype=np.float32).reshape(samples, 2),), np.arange(samples), np.arange(samples))


def image_part(samples, dtype=np.uint8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (samples, 3, 7, 6)).astype(dtype)
    return Part(
        (images,),
        np.arange(samples),
        np.arange(samples),
        Normalise((120.0, 7.5, 99.9), (60.0, 3.3, 1.7)),
        modality="image",
    )


def series_part(samples):
    rng = np.random.default_rng(0)
    mask_NT = np.arange(9) < rng.integers(1, 10, (samples, 1))
    x_NTC = rng.normal(size=(samples, 9, 2)).astype(np.float32) * mask_NT[..., None]
    return Part((x_NTC, mask_NT), np.arange(samples), np.arange(samples), modality="series")


def category_part(samples):
    rng = np.random.default_rng(0)
    numbers, codes = rng.normal(size=(samples, 4)).astype(np.float32), rng.integers(0, 5, (samples, 2))
    return Part((numbers, codes), rng.normal(size=samples).astype(np.float32), np.arange(samples))


def seen(batches, epoch=1):
    return [target for batch in batches.epoch(epoch) for target in batch.targets.tolist()]


@given(
    samples=st.integers(0, 70),
    batch_size=st.integers(1, 40),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    limit=st.sampled_from([0.0, None]),
)
@settings(max_examples=60)
def test_an_epoch_visits_each_sample_once(samples, batch_size, shuffle, drop_last, limit):
    if drop_last and 0 < samples < batch_size:
        return
    batches = place(
        part_of(samples),
        device=CPU,
        batch_size=batch_size,
        seed=1,
        shuffle=shuffle,
        drop_last=drop_last,
        memory_limit_mib=limit,
    )
    sizes = [len(batch.targets) for batch in batches.epoch(1)]
    visited = seen(batches)
    assert len(sizes) == len(batches)
    assert len(visited) == len(set(visited)) == batches.samples == sum(sizes)
    left_out = samples - len(visited)
    rest = samples % batch_size
    if drop_last:
        assert left_out == rest
    elif shuffle and rest == 1 and samples > 1:
        assert left_out == 1
        assert 1 not in sizes
    else:
        assert left_out == 0
    if not shuffle:
        assert visited == list(range(len(visited)))


def test_the_sample_left_out_changes_with_the_epoch():
    batches = place(part_of(33), device=CPU, batch_size=8, seed=0, shuffle=True)
    left_out = {(set(range(33)) - set(seen(batches, epoch))).pop() for epoch in range(1, 9)}
    assert len(left_out) > 3


def test_order_depends_on_seed_and_epoch_and_inputs_stay_with_their_targets():
    def order(seed, epoch, batch_size=16):
        return seen(place(part_of(64), device=CPU, batch_size=batch_size, seed=seed, shuffle=True), epoch)

    assert order(0, 1) == order(0, 1) == order(0, 1, batch_size=32)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (1, 2)}) == 4
    for batch in place(part_of(64), device=CPU, batch_size=16, seed=3, shuffle=True).epoch(2):
        assert torch.equal(batch.inputs[0][:, 0], 2.0 * batch.targets)


def same(left, right):
    assert (left is None) == (right is None)
    assert left is None or (left.dtype == right.dtype and torch.equal(left, right))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("augment", [None, Augment(), EVERYTHING])
@pytest.mark.parametrize("part", [image_part(50), image_part(50, np.float32), series_part(50), category_part(50)])
def test_resident_and_streamed_batches_are_bit_identical(part, augment, shuffle):
    if augment is EVERYTHING and part.normalise is None:
        of_series = {"shift": 0.2, "jitter": 0.1, "time_mask": 0.3} if part.modality == "series" else {}
        augment = Augment(mixup=0.4, **of_series)
    options = {"device": CPU, "batch_size": 16, "seed": 4, "shuffle": shuffle, "augment": augment}
    resident, streamed = place(part, **options), place(part, **options, memory_limit_mib=0.0)
    assert (resident.path, streamed.path) == ("resident", "streamed")
    for epoch in (1, 2):
        for left, right in zip(resident.epoch(epoch), streamed.epoch(epoch), strict=True):
            for both in zip(left.inputs, right.inputs, strict=True):
                same(*both)
            same(left.targets, right.targets)
            same(left.mixed_targets, right.mixed_targets)
            same(left.mix, right.mix)


@pytest.mark.parametrize("limit", [None, 0.0])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (0,)], ids=["number", "values", "map", "nothing"])
def test_targets_of_any_shape_stay_with_their_inputs(shape, limit):
    samples = np.arange(40, dtype=np.float32)
    targets = np.broadcast_to(samples.reshape(-1, *(1,) * len(shape)), (40, *shape)).copy()
    part = Part((samples[:, None],), targets, np.arange(40))
    batches = place(
        part, device=CPU, batch_size=16, seed=0, shuffle=True, augment=Augment(mixup=0.4), memory_limit_mib=limit
    )
    for batch in batches.epoch(1):
        assert batch.targets.shape == batch.mixed_targets.shape == (len(batch.mix), *shape)
        mixed = batch.mix * batch.targets.reshape(len(batch.mix), -1).T
        mixed += (1 - batch.mix) * batch.mixed_targets.reshape(len(batch.mix), -1).T
        assert torch.allclose(mixed, batch.inputs[0].T)


def test_batches_hold_what_the_part_gives_as_tensors():
    part = image_part(20)
    (x_NCHW,) = part.tensors(CPU)
    assert x_NCHW.dtype == torch.float32
    (batch,) = place(part, device=CPU, batch_size=20, seed=0, shuffle=False).epoch(1)
    assert torch.equal(batch.inputs[0], x_NCHW)


def test_images_lie_the_same_however_their_array_came_here():
    """Strides of a single channel say nothing of the values, but torch picks kernels by them, which round otherwise."""
    normalise = Normalise((0.0,), (1.0,))
    pixels = np.arange(5 * 8 * 8, dtype=np.uint8).reshape(5, 8, 8, 1).transpose(0, 3, 1, 2)
    sent = pickle.loads(pickle.dumps(pixels))
    assert pixels.strides != sent.strides
    placed = [Part((each,), np.arange(5), np.arange(5), normalise).tensors(CPU)[0] for each in (pixels, sent)]
    assert placed[0].stride() == placed[1].stride()


def test_memory_decides_and_the_reason_names_the_figures(monkeypatch):
    part = image_part(2000)
    needed_mib = (2000 * 3 * 7 * 6 * 4 + 2000 * 8) / 2**20
    for available_mib, path in ((2 * needed_mib + 0.01, "resident"), (2 * needed_mib - 0.01, "streamed")):
        memory = SimpleNamespace(available=available_mib * 2**20)
        monkeypatch.setattr(psutil, "virtual_memory", lambda memory=memory: memory)
        batches = place(part, device=CPU, batch_size=100, seed=0, shuffle=True)
        assert batches.path == path
        assert f"{needed_mib:.1f} MiB" in batches.reason
    assert (
        "memory_limit_mib" in place(part, device=CPU, batch_size=100, seed=0, shuffle=True, memory_limit_mib=0.5).reason
    )


def test_a_consumer_that_stops_early_leaves_no_thread_behind():
    batches = place(part_of(500), device=CPU, batch_size=5, seed=0, shuffle=True, memory_limit_mib=0.0)
    before = threading.active_count()
    epoch = batches.epoch(1)
    next(epoch)
    assert threading.active_count() == before + 1
    epoch.close()
    assert threading.active_count() == before
    for _ in batches.epoch(2):
        break
    assert threading.active_count() == before


def test_few_batches_are_gathered_ahead(monkeypatch):
    gathered = []
    gather = _Streamed._gather
    monkeypatch.setattr(_Streamed, "_gather", lambda self, rows: gathered.append(rows) or gather(self, rows))
    epoch = place(part_of(500), device=CPU, batch_size=5, seed=0, shuffle=True, memory_limit_mib=0.0).epoch(1)
    for _ in range(10):
        next(epoch)
    epoch.close()
    assert 10 <= len(gathered) <= 12


def test_an_error_while_gathering_reaches_the_consumer(monkeypatch):
    monkeypatch.setattr(np, "take", lambda *_, **__: 1 / 0)
    batches = place(part_of(50), device=CPU, batch_size=5, seed=0, shuffle=True, memory_limit_mib=0.0)
    with pytest.raises(ZeroDivisionError):
        next(batches.epoch(1))


def test_no_whole_batch_is_refused():
    with pytest.raises(DataError, match="7 samples make no whole batch of 8; lower `batch_size`"):
        place(part_of(7), device=CPU, batch_size=8, seed=0, shuffle=True, drop_last=True)


def test_the_empty_validation_of_a_refit_gives_no_batches():
    part = load(BuiltinTask(builtin="digits", limit=200), seed=0).for_refit().validation
    batches = place(part, device=CPU, batch_size=8, seed=0, shuffle=False)
    assert (len(batches), batches.samples, list(batches.epoch(1))) == (0, 0, [])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("augment", [None, EVERYTHING])
def test_batches_on_a_gpu_are_bit_identical_on_both_paths(augment):
    device = torch.device("cuda")
    options = {"device": device, "batch_size": 16, "seed": 4, "shuffle": True, "augment": augment}
    resident = place(image_part(50), **options)
    streamed = place(image_part(50), **options, memory_limit_mib=0.0)
    for left, right in zip(resident.epoch(1), streamed.epoch(1), strict=True):
        assert left.inputs[0].device.type == "cuda"
        same(left.inputs[0], right.inputs[0])
        same(left.targets, right.targets)


def test_seeds_depend_on_every_part_and_stay_below_63_bits():
    seeds = [derive_seed(0), derive_seed("0"), derive_seed(0, 1), derive_seed(1, 0), derive_seed(0, "1")]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    # first 8 bytes of `printf '[0, "epoch", 1]' | sha256sum`, without the last bit
    assert derive_seed(0, "epoch", 1) == 0xE5787EB02B2D6E6B >> 1


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    batch_size=st.integers(2, 20),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_a_balanced_epoch_has_as_many_samples_of_each_class(counts, batch_size, seed):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    part = Part((np.arange(len(classes), dtype=np.float32)[:, None],), classes, np.arange(len(classes)))
    batches = place(part, device=CPU, batch_size=batch_size, seed=seed, shuffle=True, balanced=True)
    first, second = ([int(x) for batch in batches.epoch(number) for x in batch.inputs[0][:, 0]] for number in (1, 2))
    assert len(first) == batches.samples
    assert first == [int(x) for batch in batches.epoch(1) for x in batch.inputs[0][:, 0]]
    assert len(classes) < 12 or first != second
    there = np.bincount(classes[first], minlength=len(counts))
    assert there.max() - there.min() <= 2
    for code in range(len(counts)):
        times = np.bincount(first, minlength=len(classes))[classes == code]
        assert times.max() - times.min() <= 2  # one more by the last round, one less by a sample that is left alone


def test_values_cannot_be_balanced():
    with pytest.raises(InputError, match="sampling: 'balanced' is for classes"):
        place(category_part(10), device=CPU, batch_size=4, seed=0, shuffle=True, balanced=True)
