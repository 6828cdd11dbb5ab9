from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from harness.data import Part, place
from harness.data.augment import augment_images, draw_table, mix_inputs, turn
from harness.data.operations import OPERATIONS, operate
from harness.data.part import Normalise
from harness.errors import DataError
from harness.spec.training import Augment

CPU = torch.device("cpu")


def images(batch=32, channels=2, height=9, width=7, seed=0):
    """Standard normal: no pixel is exactly the zero that fills."""
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def augmented(augment, x_BCHW, seed=0, epoch=1):
    return augment_images(augment, x_BCHW, draw_table(augment, len(x_BCHW), seed=seed, epoch=epoch))


def test_nothing_asked_is_the_identity():
    x_BCHW = images()
    assert torch.equal(augmented(Augment(), x_BCHW), x_BCHW)
    part = Part((x_BCHW.numpy(),), np.arange(32), np.arange(32), Normalise((0.0, 0.0), (1.0, 1.0)), modality="image")
    (batch,) = place(part, device=CPU, batch_size=32, seed=0, shuffle=False, augment=Augment()).epoch(1)
    assert torch.equal(batch.inputs[0], x_BCHW)
    assert batch.mix is batch.mixed_targets is None


def test_flip_mirrors_half_of_the_images_and_leaves_the_others():
    x_BCHW = images(batch=2000, channels=1, height=2, width=3)
    out = augmented(Augment(flip=True), x_BCHW)
    mirrored = (out == x_BCHW.flip(3)).flatten(1).all(1)
    kept = (out == x_BCHW).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert stats.binomtest(int(mirrored.sum()), 2000, 0.5).pvalue > 1e-4


def test_a_flip_that_alternates_mirrors_each_image_in_every_second_epoch():
    x_BCHW = images(batch=2000, channels=1, height=2, width=3)
    odd, even, third = (augmented(Augment(flip="alternating"), x_BCHW, epoch=epoch) for epoch in (1, 2, 3))
    mirrored = (odd == x_BCHW.flip(3)).flatten(1).all(1)
    assert torch.equal(even, odd.flip(3))
    assert torch.equal(third, odd)
    assert stats.binomtest(int(mirrored.sum()), 2000, 0.5).pvalue > 1e-4
    assert not torch.equal(augmented(Augment(flip="alternating"), x_BCHW, seed=1), odd)


def moved(x_CHW, down, right, mode="constant"):
    """Reference: move by whole pixels, zeros come in, or the image reflected ("mirror")."""
    return ndimage.shift(x_CHW, (0, down, right), order=0, mode=mode, cval=0.0)


@given(
    shift=st.sampled_from([0.0, 0.01, 0.15, 0.3, 1.0]),
    crop=st.integers(0, 3),
    seed=st.integers(0, 10**6),
    filled=st.sampled_from([("zero", "constant"), ("reflect", "mirror")]),
)
@settings(max_examples=50)
def test_shift_and_crop_move_by_whole_pixels_within_reach_and_fill_as_said(shift, crop, seed, filled):
    x_BCHW = images(batch=4)
    fill, mode = filled
    out = augmented(Augment(shift=shift, crop=crop, fill=fill), x_BCHW, seed=seed)
    down, right = (crop + (max(1, round(shift * length)) if shift else 0) for length in (9, 7))
    for before, after in zip(x_BCHW.numpy(), out.numpy(), strict=True):
        assert any(
            np.array_equal(moved(before, dy, dx, mode), after)
            for dy in range(-down, down + 1)
            for dx in range(-right, right + 1)
        )


def test_every_move_within_reach_is_equally_likely():
    marked = torch.zeros(9000, 1, 9, 9)
    marked[:, :, 4, 4] = 1.0
    out = augmented(Augment(crop=1), marked).flatten(1).argmax(1)
    counts = torch.bincount(out, minlength=81).view(9, 9)[3:6, 3:6].flatten()
    assert int(counts.sum()) == 9000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_turning_by_quarters_is_rot90(quarters):
    x_BCHW = images(height=8, width=8)
    out = turn(x_BCHW, torch.full((32,), quarters * math.pi / 2), torch.ones(32))
    assert torch.allclose(out, torch.rot90(x_BCHW, quarters, (2, 3)), atol=1e-5)


def test_turning_keeps_angles_on_images_that_are_not_square():
    """A half turn of any rectangle is a flip of both axes; a quarter turn keeps distances to the centre."""
    x_BCHW = images(height=9, width=5)
    out = turn(x_BCHW, torch.full((32,), math.pi), torch.ones(32))
    assert torch.allclose(out, x_BCHW.flip(2, 3), atol=1e-5)
    marked = torch.zeros(1, 1, 9, 5)
    marked[0, 0, 4, 4] = 1.0  # two to the right of the centre: two above it after a quarter turn
    assert turn(marked, torch.tensor([math.pi / 2]), torch.ones(1)).flatten().argmax() == 2 * 5 + 2


def test_resizing_matches_scipy():
    x_BCHW = images(batch=1, channels=1, height=9, width=9)
    out = turn(x_BCHW, torch.zeros(1), torch.tensor([1.5]))
    centre = 4.0
    expected = ndimage.affine_transform(
        x_BCHW[0, 0].numpy(), np.full(2, 1 / 1.5), offset=centre - centre / 1.5, order=1
    )
    assert np.allclose(out[0, 0].numpy(), expected, atol=1e-5)


def test_angles_and_factors_stay_within_what_was_asked():
    """A dot right of the centre tells the angle and the factor of its image, to within a pixel."""
    dot = torch.zeros(200, 1, 65, 65)
    dot[:, :, 31:34, 51:54] = 1.0  # 20 pixels from the centre
    out = augmented(Augment(rotation=30.0, scale=0.25), dot)[:, 0]
    grid = torch.arange(65.0) - 32
    weight = out.sum((1, 2))
    right, down = (out.sum(1) * grid).sum(1) / weight, (out.sum(2) * grid).sum(1) / weight
    angle, factor = torch.rad2deg(torch.atan2(-down, right)), torch.hypot(right, down) / 20
    assert angle.abs().max() <= 30.5
    assert (angle.min() < -25, angle.max() > 25) == (True, True)
    assert 0.74 <= float(factor.min()) < 0.8
    assert 1.2 < float(factor.max()) <= 1.26


@pytest.mark.parametrize(("share", "side"), [(0.01, 1), (0.3, 2), (0.5, 4), (1.0, 7)])
def test_cutout_blanks_one_square_inside_and_nothing_else(share, side):
    x_BCHW = images()
    out = augmented(Augment(cutout=share), x_BCHW)
    blank = out == 0
    assert torch.equal(blank.flatten(1).sum(1), torch.full((32,), 2 * side * side))
    rows, columns = blank.any(3).any(1).sum(1), blank.any(2).any(1).sum(1)
    assert (rows == side).all()
    assert (columns == side).all()
    assert torch.equal(out[~blank], x_BCHW[~blank])


@given(alpha=st.floats(1e-3, 8.0), seed=st.integers(0, 10**6))
@settings(max_examples=25)
def test_mixup_weights_lie_between_zero_and_one(alpha, seed):
    weights = draw_table(Augment(mixup=alpha), 200, seed=seed, epoch=1)[:, -1]
    assert bool(((weights >= 0) & (weights <= 1)).all())


def test_mixup_weights_follow_the_beta_distribution():
    weights = draw_table(Augment(mixup=0.4), 4000, seed=0, epoch=1)[:, -1].double().numpy()
    assert stats.kstest(weights, stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_mixup_blends_inputs_and_carries_both_targets():
    rng = np.random.default_rng(0)
    numbers, codes = rng.normal(size=(10, 3)).astype(np.float32), rng.integers(0, 9, (10, 2))
    part = Part((numbers, codes), np.arange(10), np.arange(10))
    (batch,) = place(part, device=CPU, batch_size=10, seed=0, shuffle=True, augment=Augment(mixup=1.0)).epoch(1)
    assert sorted(batch.mixed_targets.tolist()) == list(range(10))
    assert not bool((batch.targets == batch.mixed_targets).any())
    for row, (own, other, weight) in enumerate(
        zip(batch.targets.tolist(), batch.mixed_targets.tolist(), batch.mix.tolist(), strict=True)
    ):
        assert np.allclose(batch.inputs[0][row], weight * numbers[own] + (1 - weight) * numbers[other], atol=1e-6)
        assert np.array_equal(batch.inputs[1][row], codes[own if weight >= 0.5 else other])


def test_mixup_of_images_weighs_whole_images():
    x_BCHW = images(batch=3)
    u_BK = torch.tensor([0.0, 0.25, 1.0])[:, None].expand(3, 10)
    (mixed,), weights = mix_inputs(Augment(mixup=0.2), (x_BCHW,), u_BK)
    assert torch.equal(weights, u_BK[:, 0])
    assert torch.equal(mixed[0], x_BCHW[2])
    assert torch.allclose(mixed[1], 0.25 * x_BCHW[1] + 0.75 * x_BCHW[0])
    assert torch.equal(mixed[2], x_BCHW[2])


@pytest.mark.parametrize(
    "augment",
    [
        Augment(flip=True, shift=0.3, crop=2, cutout=0.4),
        Augment(flip="alternating", crop=2, fill="reflect"),
        Augment(rotation=40.0, scale=0.3),
    ],
)
def test_what_happens_to_a_sample_does_not_depend_on_the_batch(augment):
    x_NCHW = images(batch=40)
    part = Part((x_NCHW.numpy(),), np.arange(40), np.arange(40), Normalise((0.0, 0.0), (1.0, 1.0)), modality="image")

    def by_sample(batch_size, shuffle, epoch=1):
        batches = place(part, device=CPU, batch_size=batch_size, seed=0, shuffle=shuffle, augment=augment).epoch(epoch)
        return {
            int(sample): image
            for batch in batches
            for sample, image in zip(batch.targets, batch.inputs[0], strict=True)
        }

    first, others = by_sample(40, shuffle=False), (by_sample(7, shuffle=True), by_sample(3, shuffle=False))
    for other in others:
        assert all(torch.allclose(image, first[sample], atol=1e-5) for sample, image in other.items())
    later = by_sample(40, shuffle=False, epoch=2)
    assert any(not torch.allclose(later[sample], image, atol=1e-3) for sample, image in first.items())


def test_cutmix_puts_a_box_of_the_neighbour_into_an_image_and_weighs_it_by_its_pixels():
    augment = Augment(cutmix=1.0)
    x_BCHW = torch.arange(1.0, 41.0)[:, None, None, None].expand(40, 2, 7, 9)
    (mixed,), weights = mix_inputs(augment, (x_BCHW,), draw_table(augment, 40, seed=0, epoch=1))
    own, others = mixed == x_BCHW, mixed == x_BCHW.roll(1, 0)
    assert bool((own ^ others).all())
    torch.testing.assert_close(weights, own.float().mean(dim=(1, 2, 3)))
    assert float(weights.std()) > 0.1
    inside = others[:, 0]
    box = inside.any(2).sum(1) * inside.any(1).sum(1)
    assert torch.equal(box, inside.flatten(1).sum(1))


@pytest.mark.parametrize("own", [0.0, 0.36, 0.75, 1.0])
def test_a_box_of_cutmix_in_the_middle_has_the_area_that_was_drawn(own):
    u_BK = torch.cat([torch.zeros(1, 10), torch.tensor([[own, 0.5, 0.5, 0.0]])], dim=1)
    (mixed,), weights = mix_inputs(Augment(cutmix=1.0), (torch.zeros(1, 1, 200, 100),), u_BK)
    assert torch.equal(mixed, torch.zeros(1, 1, 200, 100))
    assert float(weights) == pytest.approx(own, abs=0.01)


def test_with_mixup_and_cutmix_each_sample_has_one_of_both():
    augment = Augment(cutmix=1.0, mixup=1.0)
    draws = draw_table(augment, 400, seed=0, epoch=1)
    assert torch.equal(draws[:, :10], draw_table(Augment(mixup=1.0), 400, seed=0, epoch=1))
    x_BCHW = torch.arange(1.0, 401.0)[:, None, None, None].expand(400, 1, 6, 6)
    (mixed,), weights = mix_inputs(augment, (x_BCHW,), draws)
    even = (mixed == mixed[:, :, :1, :1]).flatten(1).all(1)
    blended = even & (weights > 0) & (weights < 1)
    torch.testing.assert_close(weights[blended], draws[blended, 9])
    assert 160 < int(blended.sum()) < 240


def test_turning_one_part_on_leaves_the_draws_of_the_others():
    few = draw_table(Augment(flip=True), 20, seed=0, epoch=3)
    many = draw_table(Augment(flip=True, cutout=0.5, mixup=0.4), 20, seed=0, epoch=3)
    assert torch.equal(few[:, :-1], many[:, :-1])
    assert not torch.equal(few, draw_table(Augment(flip=True), 20, seed=0, epoch=4))


@pytest.mark.parametrize(
    "setting",
    [
        {"flip": True},
        {"flip": "alternating"},
        {"fill": "reflect"},
        {"shift": 0.1},
        {"crop": 2},
        {"rotation": 5.0},
        {"scale": 0.1},
        {"cutout": 0.2},
        {"cutmix": 1.0},
        {"erase": 0.2},
        {"operations": 2},
        {"magnitude": 0.1},
    ],
)
def test_tables_take_mixup_alone(setting):
    part = Part((np.ones((8, 3), np.float32),), np.arange(8), np.arange(8))
    (name,) = setting
    with pytest.raises(DataError, match=f"augment.{name} needs images"):
        place(part, device=CPU, batch_size=4, seed=0, shuffle=True, augment=Augment(**setting, mixup=0.2))


def test_erasing_blanks_one_rectangle_of_the_areas_and_shapes_of_the_paper():
    augment, count = Augment(erase=0.5), 2000
    draws = draw_table(augment, count, seed=0, epoch=1)
    assert torch.equal(draws[:, :9], draw_table(Augment(), count, seed=0, epoch=1)[:, :9])
    blank = augment_images(augment, torch.ones(count, 2, 40, 60), draws) == 0.0
    assert torch.equal(blank[:, 0], blank[:, 1])
    tall, wide = blank[:, 0].any(2).sum(1), blank[:, 0].any(1).sum(1)
    area = blank[:, 0].flatten(1).sum(1)
    assert torch.equal(area, tall * wide), "it is one rectangle"
    erased = area > 0
    assert 0.46 < float(erased.float().mean()) < 0.54
    share = area[erased] / (40 * 60)
    assert 0.015 < float(share.min()) < 0.03 < 0.3 < float(share.max()) < 0.35
    ratio = tall[erased] / wide[erased]
    assert 0.25 < float(ratio.min()) < 0.4
    assert 2.5 < float(ratio.max()) < 4.0


def one_operation(x_BCHW, name, strength, magnitude=1.0):
    """Have one operation done, its strength from -1 to 1, by the draws that choose it."""
    chosen = (OPERATIONS.index(name) + 0.5) / len(OPERATIONS)
    draws = torch.tensor([[chosen, (strength + 1) / 2]], dtype=x_BCHW.dtype).expand(len(x_BCHW), 2)
    return operate(x_BCHW, draws, magnitude)


def test_operations_are_what_they_are_called():
    x = torch.randn(3, 2, 20, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = torch.ones(3, dtype=torch.float64)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    turned = turn(x, one * math.radians(15.0), one)
    torch.testing.assert_close(one_operation(x, "rotate", 0.5), turned)
    torch.testing.assert_close(one_operation(x, "rotate", 1.0, magnitude=0.5), turned)
    right = one_operation(x, "move_x", 1 / 3)  # by a tenth of 30 pixels
    torch.testing.assert_close(right[..., 3:], x[..., :-3])
    assert float(right[..., :3].abs().max()) < 1e-9
    down = one_operation(x, "move_y", 1 / 3)
    torch.testing.assert_close(down[..., 2:, :], x[..., :-2, :])
    torch.testing.assert_close(one_operation(x, "brighten", 0.4), x + 0.4)
    torch.testing.assert_close(one_operation(x, "contrast", -1.0), mean + 0.1 * (x - mean))
    inner = F.conv2d(x.flatten(0, 1)[:, None], torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64)).view(3, 2, 18, 28)
    sharper = one_operation(x, "sharpen", 1.0)[..., 1:-1, 1:-1]
    torch.testing.assert_close(sharper, x[..., 1:-1, 1:-1] + 0.9 * (x[..., 1:-1, 1:-1] - inner))
    torch.testing.assert_close(one_operation(x, "none", 1.0), x)


@pytest.mark.parametrize(("name", "along", "across"), [("shear_x", 3, 2), ("shear_y", 2, 3)])
def test_a_shear_moves_rows_in_proportion_to_their_distance_from_the_centre(name, along, across):
    """A line through the centre becomes one that leans by the tangent that was drawn, whatever the shape."""
    x = torch.zeros(1, 1, 41, 61)
    x.select(along, x.shape[along] // 2).fill_(1.0)
    sheared = one_operation(x, name, 1.0)
    place = torch.arange(x.shape[along], dtype=torch.float32)
    mass = sheared[0, 0] if along == 3 else sheared[0, 0].T
    mean = (mass * place).sum(1) / mass.sum(1)
    distance = torch.arange(x.shape[across]) - x.shape[across] // 2
    inside = distance.abs() < 15
    torch.testing.assert_close(mean[inside], x.shape[along] // 2 - 0.3 * distance[inside], atol=0.02, rtol=0)


def test_each_operation_is_drawn_as_often_as_any_other_and_two_follow_each_other():
    augment = Augment(operations=2, magnitude=1.0)
    draws = draw_table(augment, 4500, seed=0, epoch=1)
    assert draws.shape == (4500, 14)
    x = torch.randn(4500, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    changed = augment_images(augment, x, draws)
    same = torch.isclose(changed, x, atol=1e-5).flatten(1).all(1)
    assert 30 < int(same.sum()) < 90, "twice none of nine: one in 81"
    both = one_operation(one_operation(x[:5], "brighten", 0.5), "contrast", 0.5)
    chosen = [(OPERATIONS.index(name) + 0.5) / len(OPERATIONS) for name in ("brighten", "contrast")]
    torch.testing.assert_close(
        operate(x[:5], torch.tensor([[chosen[0], 0.75, chosen[1], 0.75]]).expand(5, 4), 1.0), both
    )
