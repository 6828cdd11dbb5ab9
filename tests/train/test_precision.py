import math

import pytest
import torch
from torch import nn

from harness.data import Batch
from harness.errors import Diverged
from harness.records import Named
from harness.spec import Training


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_autocast_computes_in_the_lower_precision_and_learns_in_fp32(make_fit, labelled, mlp, plan, precision, dtype):
    model = mlp()
    seen = set()
    model[0].register_forward_hook(lambda _layer, _inputs, output: seen.add(output.dtype))
    fit = make_fit(model, labelled(), labelled(seed=1), plan=plan(precision=precision), epochs=8)
    records = list(fit)
    assert seen == {dtype}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert records[-1].validation["accuracy"] > 0.8
    exact = list(make_fit(mlp(), labelled(), labelled(seed=1), epochs=8))
    assert records[-1].train["loss"] == pytest.approx(exact[-1].train["loss"], rel=0.05)
    assert records[-1].gradient_norm == pytest.approx(exact[-1].gradient_norm, rel=0.2)


def test_fp16_clips_unscaled_gradients(make_fit, labelled, mlp, plan, weights_of):
    model = mlp()
    before = weights_of(model)
    fit = make_fit(model, labelled(batches=1), plan=plan(precision="fp16"), training=Training(clip_norm=1e-3))
    next(iter(fit))
    step = torch.cat([(now - then).flatten() for now, then in zip(weights_of(model), before, strict=True)])
    assert step.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-2)


def test_fp16_skips_steps_that_overflow_and_says_how_many(make_fit, labelled, mlp, plan, weights_of):
    batches = labelled(batches=3)
    spoiled = batches.batches[1]
    batches.batches[1] = Batch((spoiled.inputs[0] * 1e6,), spoiled.targets)  # beyond 65504
    model = mlp()
    record = next(iter(make_fit(model, batches, plan=plan(precision="fp16"))))
    assert record.note.startswith("1 of 3 steps skipped by fp16 loss scaling")
    assert math.isfinite(record.train["loss"])
    assert math.isfinite(record.gradient_norm)
    without = mlp()
    del batches.batches[1]
    next(iter(make_fit(without, batches, plan=plan(precision="fp16"))))
    torch.testing.assert_close(weights_of(model), weights_of(without), rtol=1e-3, atol=1e-4)


def test_fp16_gives_up_when_no_loss_scale_helps(make_fit, labelled, mlp, plan):
    batches = labelled(batches=1)
    batches.batches[0].inputs[0][0, 0] = math.inf
    with pytest.raises(Diverged, match=r"fp16 gradients overflow .* at step 17 \(epoch 17\)"):
        list(make_fit(mlp(), batches, plan=plan(precision="fp16"), epochs=30))


def test_channels_last_reaches_the_convolutions_and_trains_the_same(make_fit, labelled, plan, weights_of):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (8,), generator=generator)
    batches = labelled(batches=1)
    batches.batches[0] = Batch((torch.randn(8, 3, 6, 6, generator=generator),), targets)

    def train(layout: str) -> tuple[list[torch.Tensor], bool]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
        layouts = []
        model[0].register_forward_pre_hook(
            lambda _layer, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
        )
        list(make_fit(model, batches, batches, plan=plan(layout=layout)))
        assert len(set(layouts)) == 1
        kept = model[0].weight.is_contiguous(memory_format=torch.channels_last)
        assert kept == layouts[0] == (layout == "channels_last")
        return weights_of(model), kept

    torch.testing.assert_close(train("channels_last")[0], train("contiguous")[0])


def test_threads_are_the_plans_while_training_and_the_callers_between_records(make_fit, labelled, mlp, plan):
    before = torch.get_num_threads()
    model = mlp()
    seen = set()
    model[0].register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    for _ in make_fit(model, labelled(), plan=plan(threads=before + 1), optimizer=Named("sgd")):
        assert torch.get_num_threads() == before
    assert seen == {before + 1}
