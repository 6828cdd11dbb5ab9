import math

import pytest
import torch
from torch import nn

from harness.errors import Diverged
from harness.records import Named
from harness.spec import Training
from harness.train.gradients import ExplosionWatch


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "NaN|infinite")])
def test_a_planted_value_is_found_with_its_step_and_epoch(make_fit, labelled, value, word):
    batches = labelled(batches=20)
    fit = make_fit(nn.Sequential(nn.Linear(5, 3)), batches)
    records = iter(fit)
    next(records)
    batches.batches[6].inputs[0][0, 0] = value
    with pytest.raises(Diverged, match=rf"loss became ({word}) at step 27 \(epoch 2\); lower the learning rate"):
        next(records)


def test_too_high_a_learning_rate_diverges(make_fit, valued, values_shape):
    fit = make_fit(nn.Linear(5, 1), valued(), shape=values_shape, optimizer=Named("sgd", {"lr": 50.0}), epochs=50)
    with pytest.raises(Diverged, match=r"at step \d+ \(epoch \d+\)"):
        list(fit)


def test_clipping_does_not_hide_a_gradient_that_is_not_finite(make_fit, labelled, mlp):
    model = mlp()
    model[0].weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(Diverged, match=r"gradient norm became (NaN|infinite) at step 1 \(epoch 1\)"):
        next(iter(make_fit(model, labelled(), training=Training(clip_norm=1.0))))


def test_what_the_last_step_did_to_the_weights_is_found(make_fit, labelled, mlp):
    model = mlp()
    steps = []

    def break_weights(weight):
        steps.append(None)
        if len(steps) == 12:
            with torch.no_grad():
                weight.fill_(math.inf)  # behind a tanh no loss would show it

    model[0].weight.register_post_accumulate_grad_hook(break_weights)
    with pytest.raises(Diverged, match="weights are no longer finite after epoch 3"):
        list(make_fit(model, labelled(), epochs=3))
    assert len(steps) == 12


class NanInUse(nn.Module):
    """Learns without a fault, and fails in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        return self.layer(x_BF) * (1.0 if self.training else math.nan)


def test_a_validation_loss_that_is_not_finite_is_a_divergence(make_fit, labelled):
    with pytest.raises(Diverged, match="loss on validation is nan after epoch 1"):
        next(iter(make_fit(NanInUse(), labelled(), labelled())))


def watch(norms, *, clipped=False) -> None:
    seen = ExplosionWatch(clipped=clipped)
    for norm in norms:
        seen.see(norm, "at step 9 (epoch 1)")


def test_a_gradient_a_million_times_the_median_has_exploded():
    watch([1.0] * 5 + [9e5])
    with pytest.raises(Diverged, match=r"exploded to 2e\+06 at step 9 \(epoch 1\), after a median of 1"):
        watch([1.0] * 5 + [2e6])


def test_an_explosion_needs_a_history_a_large_norm_and_no_clipping():
    watch([1.0] * 4 + [1e9])
    watch([1e-9] * 10 + [10.0])
    watch([1.0] * 10 + [1e9], clipped=True)


@pytest.mark.parametrize("norm", [math.nan, math.inf])
@pytest.mark.parametrize("clipped", [True, False])
def test_a_norm_that_is_not_finite_is_a_divergence_whatever_came_before(norm, clipped):
    with pytest.raises(Diverged, match="gradient norm became"):
        watch([norm], clipped=clipped)
