import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.amp.grad_scaler import GradScaler

from harness.data import Batch
from harness.problems.labels import Labels, of_classes, of_second
from harness.problems.values import Values
from harness.records import Named, TaskKind, TaskShape
from harness.spec import Candidate, Training
from harness.train import Supervised, Targets
from harness.train.supervised import parts

THREE = torch.tensor([0.5, 3.0, 1.25], dtype=torch.float64)
LOSSES = {
    "cross_entropy": Labels(logits=of_classes, smoothing=0.0, weights_C=None),
    "smoothed": Labels(logits=of_classes, smoothing=0.1, weights_C=None),
    "weighted": Labels(logits=of_classes, smoothing=0.0, weights_C=THREE),
    "weighted and smoothed": Labels(logits=of_classes, smoothing=0.2, weights_C=THREE),
    "binary": Labels(logits=of_second, smoothing=0.0, weights_C=None),
    "binary, weighted and smoothed": Labels(logits=of_second, smoothing=0.1, weights_C=THREE[:2]),
    "mse": Values(nn.functional.mse_loss, 2.0),
    "huber": Values(nn.functional.huber_loss, 0.1),
}


def columns(name: str) -> int:
    return 1 if "binary" in name or name in ("mse", "huber") else 3


def draw_batch(name: str, samples: int, *, mixup: bool) -> Batch:
    generator = torch.Generator().manual_seed(samples)

    def targets() -> torch.Tensor:
        if name in ("mse", "huber"):
            return torch.randn(samples, generator=generator, dtype=torch.float64)
        return torch.randint(2 if "binary" in name else 3, (samples,), generator=generator)

    x_BF = torch.randn(samples, 4, generator=generator, dtype=torch.float64)
    mix_B = torch.rand(samples, generator=generator, dtype=torch.float64)
    return Batch((x_BF,), targets(), targets() if mixup else None, mix_B if mixup else None)


def one_step(name, batch, training, plan, micro_batch):
    """Take one step of length 1 down the gradient; return what is left, and what the step says."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, columns(name))).double()
    candidate = Candidate(Named("a test"), Named("sgd", {"lr": 1.0, "momentum": 0.0}), Named("constant"), training)
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3)
    recipe = Supervised(model, candidate, Targets(shape), dataclasses.replace(plan, micro_batch=micro_batch))
    recipe._criterion = LOSSES[name]
    taken = recipe.step(batch, measure=True)
    return [parameter.detach() for parameter in model.parameters()], taken


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(LOSSES)),
    samples=st.integers(2, 17),
    micro_batch=st.integers(1, 16),
    mixup=st.booleans(),
    l1=st.sampled_from([0.0, 0.01]),
    clip_norm=st.sampled_from([0.0, 0.05]),
)
def test_the_parts_add_up_to_the_step_of_the_whole_batch(plan, name, samples, micro_batch, mixup, l1, clip_norm):
    batch, training = draw_batch(name, samples, mixup=mixup), Training(l1=l1, clip_norm=clip_norm)
    weights, whole = one_step(name, batch, training, plan(), 0)
    in_parts, taken = one_step(name, batch, training, plan(), micro_batch)
    torch.testing.assert_close(in_parts, weights, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(taken.means["loss"].value, whole.means["loss"].value, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(taken.kept, whole.kept, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(taken.norms["model"], whole.norms["model"], rtol=1e-9, atol=1e-12)


@settings(max_examples=50)
@given(samples=st.integers(1, 300), most=st.integers(1, 70))
def test_parts_are_few_consecutive_and_of_about_the_same_size(samples, most):
    batch = Batch((torch.arange(samples), torch.arange(samples)), torch.arange(samples), torch.arange(samples), None)
    cut = list(parts(batch, most))
    sizes = [len(part.targets) for part in cut]
    if most == 2 and samples > 1:
        assert set(sizes) <= {2, 3}, "an odd batch leaves no sample alone"
        assert sizes.count(3) == samples % 2
    else:
        assert len(sizes) == math.ceil(samples / most)
        assert max(sizes) <= most
    assert most == 1 or samples == 1 or min(sizes) > 1
    assert max(sizes) - min(sizes) <= 1
    for tensors in zip(*((*part.inputs, part.targets, part.mixed_targets) for part in cut), strict=True):
        assert torch.equal(torch.cat(tensors), torch.arange(samples))
    assert all(part.mix is None for part in cut)


def test_a_fit_in_parts_reports_what_the_fit_of_whole_batches_does(make_fit, labelled, mlp, weights_of):
    def train(micro_batch: int):
        model, seen = mlp(), []
        model[0].register_forward_pre_hook(
            lambda _layer, inputs: seen.append(len(inputs[0])) if model.training else None
        )
        fit = make_fit(
            model,
            labelled(),
            labelled(seed=1),
            micro_batch=micro_batch,
            training=Training(class_weights="balanced", clip_norm=0.5),
            class_counts=(5, 30, 29),
        )
        return list(fit), weights_of(model), seen

    (whole, weights, seen), (in_parts, close, seen_in_parts) = train(0), train(5)
    assert set(seen) == {16}
    assert set(seen_in_parts) == {4}
    torch.testing.assert_close(close, weights, rtol=1e-4, atol=1e-6)
    for one, other in zip(whole, in_parts, strict=True):
        assert other.train == pytest.approx(one.train, rel=1e-4, nan_ok=True)
        assert other.validation == pytest.approx(one.validation, rel=1e-4, nan_ok=True)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)


@pytest.mark.parametrize("micro_batch", [16, 17])
def test_a_micro_batch_that_holds_the_batch_changes_nothing(make_fit, labelled, mlp, weights_of, micro_batch):
    models = [mlp(dropout=0.5), mlp(dropout=0.5)]
    list(make_fit(models[0], labelled()))
    list(make_fit(models[1], labelled(), micro_batch=micro_batch))
    assert all(map(torch.equal, *map(weights_of, models)))


def test_batch_norm_sees_the_parts(make_fit, labelled):
    batches = labelled(batches=1)
    model = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3))
    next(iter(make_fit(model, batches, micro_batch=8)))
    assert model[0].num_batches_tracked == 2


def test_scaled_parts_are_unscaled_once_and_stepped_once(make_fit, labelled, mlp, plan, weights_of, monkeypatch):
    calls = []
    for name in ("unscale_", "step", "update"):
        method = getattr(GradScaler, name)
        monkeypatch.setattr(
            GradScaler,
            name,
            lambda self, *args, _name=name, _method=method: calls.append(_name) or _method(self, *args),
        )
    models = [mlp(), mlp()]
    fp16 = {"plan": plan(precision="fp16"), "training": Training(clip_norm=0.5, l1=0.01)}
    next(iter(make_fit(models[0], labelled(batches=1), micro_batch=4, **fp16)))
    assert calls == ["unscale_", "step", "update"]
    next(iter(make_fit(models[1], labelled(batches=1), **fp16)))
    torch.testing.assert_close(*map(weights_of, models), rtol=1e-2, atol=1e-4)


def test_a_part_that_overflows_skips_the_whole_step(make_fit, labelled, mlp, plan, weights_of):
    batches = labelled(batches=1)
    batches.batches[0].inputs[0][3] *= 1e6  # beyond 65504
    model = mlp()
    before = weights_of(model)
    record = next(iter(make_fit(model, batches, plan=plan(precision="fp16"), micro_batch=4)))
    assert record.note.startswith("1 of 1 steps skipped by fp16 loss scaling")
    assert all(map(torch.equal, weights_of(model), before))
