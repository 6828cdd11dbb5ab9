"""Dropout's masks: how much they drop, what is left of the mean, and that no number depends on its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from harness.models import masks
from harness.models.masks import BY_MKL, QuickDropout, draw_mask

NUMBERS = 200_000


@pytest.fixture(autouse=True, params=[False, True], ids=["in bits", "by torch"])
def _drawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have masks drawn in both ways, whichever this machine takes."""
    monkeypatch.setattr(masks, "BY_MKL", request.param)


def mask(share: float, shape: tuple[int, ...] = (NUMBERS,), seed: int = 0) -> torch.Tensor:
    return draw_mask(torch.empty(shape), share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.01, 0.1, 1 / 3, 0.5, 0.9, 0.999])
def test_as_many_are_dropped_as_are_asked_for(share: float) -> None:
    dropped = int((mask(share) == 0).sum())

    assert stats.binomtest(dropped, NUMBERS, share).pvalue > 1e-3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0.0, 0.999), shape=st.lists(st.integers(0, 7), min_size=1, max_size=3))
def test_every_number_is_dropped_or_scaled_up_for_the_share_that_is_kept(share: float, shape: list[int]) -> None:
    found = mask(share, tuple(shape))

    assert found.shape == tuple(shape)
    scale = 1 / (1 - share)
    kept = found[found != 0].double()
    assert torch.allclose(kept, torch.full_like(kept, scale), rtol=2**-16 * scale + 1e-6)


def test_a_share_that_rounds_to_all_leaves_a_little() -> None:
    assert torch.isfinite(mask(1 - 1e-7)).all()


def test_whether_mkl_draws_is_told_by_the_vendor_of_the_processor() -> None:
    """As torch itself decides it; a version that decides otherwise is to be looked at."""
    cpu = Path("/proc/cpuinfo")
    if not cpu.exists():
        pytest.skip("only Linux tells the vendor in /proc/cpuinfo")
    assert (torch.backends.mkl.is_available() and "GenuineIntel" in cpu.read_text()) == BY_MKL


def test_neighbours_are_dropped_independently_at_every_distance_up_to_that_of_two_draws() -> None:
    dropped = (mask(0.3) == 0).numpy()

    values = []
    for distance in range(1, 9):
        table = np.histogram2d(dropped[:-distance], dropped[distance:], bins=2)[0]
        values.append(stats.chi2_contingency(table).pvalue)

    assert min(values) > 1e-3


def test_one_seed_gives_one_mask_and_another_seed_another() -> None:
    assert torch.equal(mask(0.5), mask(0.5))
    assert not torch.equal(mask(0.5), mask(0.5, seed=1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_layer_scales_what_it_keeps_and_its_gradient_is_its_mask(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 33, dtype=dtype, requires_grad=True)

    y = QuickDropout(0.25)(x)
    y.sum().backward()

    assert y.dtype == dtype
    assert set(y.unique().tolist()) == {0.0, torch.tensor(1 / 0.75, dtype=dtype).item()}
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


def test_the_layer_keeps_the_layout_of_an_image() -> None:
    x = torch.randn(2, 8, 4, 4).to(memory_format=torch.channels_last)

    assert QuickDropout(0.5)(x).is_contiguous(memory_format=torch.channels_last)


def test_a_share_that_follows_a_schedule_is_followed() -> None:
    layer = QuickDropout(0.5)
    layer.p = 0.0
    x = torch.randn(5, 5)

    assert torch.equal(layer(x), x)


def test_in_use_it_drops_nothing_and_draws_nothing() -> None:
    x, before = torch.randn(5, 5), torch.get_rng_state()

    assert QuickDropout(0.5).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_where_no_number_is_there_to_be_masked_it_is_torchs_own_layer() -> None:
    x = torch.empty(3, 4, device="meta")

    assert QuickDropout(0.5)(x).shape == nn.Dropout(0.5)(x).shape
