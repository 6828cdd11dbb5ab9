"""Augmentation of series and of sounds: each part against what NumPy makes of the same draws, padding left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.data import Part, place
from harness.data.augment import augment_images, augment_series, draw_table
from harness.data.part import Normalise
from harness.data.series_operations import masks, noise
from harness.errors import DataError
from harness.spec.training import Augment

CPU = torch.device("cpu")
STEPS = 23
EVERYTHING = Augment(shift=0.3, fill="reflect", amplitude=0.2, jitter=0.1, time_mask=0.4, masks=2)


def series(count=60, channels=2, seed=0, varying=True):
    """Return standard normal series, 0 behind their end, and where lengths vary their mask."""
    generator = torch.Generator().manual_seed(seed)
    x_BTC = torch.randn(count, STEPS, channels, generator=generator)
    if not varying:
        return (x_BTC,)
    mask_BT = torch.arange(STEPS) < torch.randint(1, STEPS + 1, (count, 1), generator=generator)
    return x_BTC * mask_BT[..., None], mask_BT


def augmented(augment, inputs, seed=0, epoch=1):
    return augment_series(augment, inputs, draw_table(augment, len(inputs[0]), seed=seed, epoch=epoch))


def test_nothing_asked_is_the_identity():
    for inputs in (series(), series(varying=False)):
        for before, after in zip(inputs, augmented(Augment(mixup=0.4), inputs), strict=True):
            assert torch.equal(before, after)


@given(
    augment=st.builds(
        Augment,
        shift=st.sampled_from([0.0, 0.1, 1.0]),
        fill=st.sampled_from(["zero", "reflect"]),
        amplitude=st.sampled_from([0.0, 0.5]),
        jitter=st.sampled_from([0.0, 0.3]),
        time_mask=st.sampled_from([0.0, 0.2, 1.0]),
        masks=st.integers(1, 3),
    ),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=15)
def test_padding_stays_padding_and_never_comes_in(augment, seed):
    """Whatever stands behind the end, here NaN, changes nothing of what is before it, and zeros stand there after."""
    x_BTC, mask_BT = series(seed=seed)
    out, mask_after = augmented(augment, (x_BTC, mask_BT), seed)
    assert torch.equal(mask_after, mask_BT)
    assert bool((out[~mask_BT] == 0).all())
    spoilt, _ = augmented(augment, (x_BTC.masked_fill(~mask_BT[..., None], torch.nan), mask_BT), seed)
    assert torch.equal(spoilt, out)


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("reflect", "reflect")])
@pytest.mark.parametrize("shift", [0.01, 0.2, 1.0])
def test_a_shift_moves_each_series_by_whole_steps_within_its_share(fill, mode, shift):
    x_BTC, mask_BT = series()
    out, _ = augmented(Augment(shift=shift, fill=fill), (x_BTC, mask_BT))
    moves = set()
    for before, after, length in zip(x_BTC.numpy(), out.numpy(), mask_BT.sum(1).tolist(), strict=True):
        reach = max(1, round(shift * length))
        wide = np.pad(before[:length], ((reach, reach), (0, 0)), mode=mode)
        fitting = [
            move for move in range(-reach, reach + 1) if np.array_equal(wide[reach - move :][:length], after[:length])
        ]
        assert fitting
        moves.update(fitting if len(fitting) == 1 else ())
    assert len(moves) > 2


def test_every_move_within_reach_is_equally_likely():
    marked = torch.zeros(7000, STEPS, 1)
    marked[:, 11] = 1.0
    (out,) = augmented(Augment(shift=3 / STEPS), (marked,))
    counts = torch.bincount(out[:, :, 0].argmax(1), minlength=STEPS)[8:15]
    assert int(counts.sum()) == 7000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_an_amplitude_multiplies_all_of_a_series_by_one_factor_within_reach():
    x_BTC, mask_BT = series(count=2000)
    out, _ = augmented(Augment(amplitude=0.3), (x_BTC, mask_BT))
    factor_B = out[:, 0, 0] / x_BTC[:, 0, 0]
    torch.testing.assert_close(out, x_BTC * factor_B[:, None, None])
    assert stats.kstest(factor_B.double().numpy(), stats.uniform(0.7, 0.6).cdf).pvalue > 1e-3


def test_jitter_adds_independent_normal_noise_of_the_deviation_that_was_asked_for():
    x_BTC, mask_BT = series(count=500, channels=3)
    out, _ = augmented(Augment(jitter=0.25), (x_BTC, mask_BT))
    added = ((out - x_BTC)[mask_BT] / 0.25).double().numpy()
    assert stats.kstest(added.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(added.T) - np.eye(3)).max() < 0.05, "channels are independent"


def test_noise_is_independent_along_the_steps_from_sample_to_sample_and_from_epoch_to_epoch():
    keys = [draw_table(Augment(jitter=1.0), 200, seed=0, epoch=epoch)[:, -2:] for epoch in (1, 2)]
    first, second = (noise(each, 300, 1)[:, :, 0].double().numpy() for each in keys)
    bound = 5 / np.sqrt(first.size)
    for one, other in [(first[:, 1:], first[:, :-1]), (first[1:], first[:-1]), (first, second), (first**2, second**2)]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < bound
    assert np.isfinite(noise(torch.tensor([[0.0, 0.0], [1 - 2**-24, 1 - 2**-24]]), 300, 2).numpy()).all()


def test_the_hash_of_the_noise_is_that_of_murmur():
    """Its last step, of 32 bits without a sign, by NumPy's arithmetic."""
    from harness.data.series_operations import _mixed

    bits = np.arange(0, 2**32, 2**32 // 1000 + 7, dtype=np.uint32)
    known = bits ^ (bits >> 16)
    known = known * np.uint32(0x85EBCA6B)
    known = known ^ (known >> 13)
    known = known * np.uint32(0xC2B2AE35)
    known = known ^ (known >> 16)
    assert np.array_equal(_mixed(torch.from_numpy(bits.astype(np.int64))).numpy(), known)


def runs(blank):
    """Return the lengths of the stretches of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], blank.astype(int), [0]])))
    return edges[1::2] - edges[::2]


def test_a_mask_blanks_one_stretch_of_every_length_up_to_its_share_of_the_series():
    x_BTC, mask_BT = series(count=3000)
    out, _ = augmented(Augment(time_mask=0.3), (x_BTC, mask_BT))
    blank_BT = (out != x_BTC).any(2).numpy()
    assert bool((out.numpy()[blank_BT] == 0).all())
    lengths = mask_BT.sum(1).numpy()
    stretches = [runs(each) for each in blank_BT]
    assert all(len(each) <= 1 for each in stretches)
    wide = np.array([each.sum() for each in stretches])
    most = np.maximum(1, np.round(0.3 * lengths))
    assert (wide <= most).all()
    counts = np.bincount(wide[lengths == STEPS], minlength=8)  # 0 to 7 of 23 steps
    assert stats.chisquare(counts).pvalue > 1e-4


def test_masks_begin_anywhere_from_where_they_fit_and_may_be_several():
    u_BK = torch.rand(8000, 2, generator=torch.Generator().manual_seed(0))
    blank = masks(u_BK, 0.2, torch.full((8000,), 10), 12).numpy()
    assert not blank[:, 10:].any()
    for wide in (1, 2):
        starts = blank[blank.sum(1) == wide].argmax(1)
        assert stats.chisquare(np.bincount(starts, minlength=10 - wide + 1)).pvalue > 1e-4
    two = masks(torch.tensor([[0.99, 0.0, 0.99, 0.99]]), 0.2, torch.tensor([10]), 10)
    assert two.int().tolist() == [[1, 1, 0, 0, 0, 0, 0, 0, 1, 1]]


def test_sounds_have_frames_and_bands_blanked():
    x_BCHW = torch.randn(400, 1, 20, 30, generator=torch.Generator().manual_seed(0))
    augment = Augment(time_mask=0.3, frequency_mask=0.25, masks=2)
    draws = draw_table(augment, 400, seed=0, epoch=1)
    blank = (augment_images(augment, x_BCHW, draws) == 0).numpy()[:, 0]
    frames, bands = blank.all(1), blank.all(2)
    assert np.array_equal(blank, frames[:, None, :] | bands[:, :, None])
    assert max(length for each in frames for length in runs(each)) <= 18
    assert max(length for each in bands for length in runs(each)) <= 10
    assert max(len(runs(each)) for each in frames) == max(len(runs(each)) for each in bands) == 2
    only = Augment(frequency_mask=0.25, masks=2)
    bands_alone = augment_images(only, x_BCHW, draw_table(only, 400, seed=0, epoch=1)) == 0
    assert np.array_equal(bands_alone.numpy()[:, 0].all(2), bands), "another part leaves the draws as they were"


@pytest.mark.parametrize("varying", [False, True])
def test_what_happens_to_a_series_does_not_depend_on_the_batch(varying):
    inputs = tuple(x.numpy() for x in series(varying=varying))
    part = Part(inputs, np.arange(60), np.arange(60), modality="series")

    def by_sample(batch_size, shuffle, epoch=1):
        batches = place(part, device=CPU, batch_size=batch_size, seed=0, shuffle=shuffle, augment=EVERYTHING)
        return {
            int(sample): each
            for batch in batches.epoch(epoch)
            for sample, each in zip(batch.targets, batch.inputs[0], strict=True)
        }

    first = by_sample(60, shuffle=False)
    for other in (by_sample(7, shuffle=True), by_sample(4, shuffle=False)):
        assert all(torch.allclose(each, first[sample], atol=1e-5) for sample, each in other.items())
    assert not torch.allclose(by_sample(60, shuffle=False, epoch=2)[0], first[0], atol=1e-3)


OF_SERIES = {"time_mask": 0.1, "jitter": 0.1, "amplitude": 0.1, "shift": 0.1, "fill": "reflect", "masks": 2}


@pytest.mark.parametrize(
    ("modality", "refused", "told"),
    [
        ("image", ("time_mask", "masks"), "sounds or series"),
        ("image", ("jitter", "amplitude"), "series"),
        ("image", ("frequency_mask",), "sounds"),
        ("audio", ("jitter", "amplitude"), "series"),
        ("series", ("frequency_mask",), "sounds"),
        ("series", ("flip", "crop", "cutout", "cutmix", "operations"), "images or sounds"),
        *((modality, OF_SERIES, "(images or sounds or )?(sounds or )?series") for modality in ("table", "forecast")),
    ],
)
def test_what_does_not_fit_is_refused_by_its_name(modality, refused, told):
    sizes = (2, 3, 4, 5) if modality in ("image", "audio") else (2, 3, 4)
    normalise = Normalise((0.0,) * 3, (1.0,) * 3) if len(sizes) == 4 else None
    part = Part((np.ones(sizes, np.float32),), np.arange(2), np.arange(2), normalise, modality=modality)
    wanted = {"frequency_mask": 0.1, "flip": True, "crop": 1, "cutout": 0.1, "cutmix": 1.0, "operations": 1}
    for name in refused:
        augment = Augment.model_validate({name: {**OF_SERIES, **wanted}[name]})
        with pytest.raises(DataError, match=f"augment.{name} needs {told}.*, and this task has none: remove it"):
            place(part, device=CPU, batch_size=2, seed=0, shuffle=True, augment=augment)
