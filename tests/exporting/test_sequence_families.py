"""Families for sequences as programs of torch.export and as ONNX files, with masks, for batches of any size."""

import numpy as np
import pytest
import torch
from torch.export import Dim

from harness.exporting.program import quiet
from harness.models import build
from harness.records import Input, InputKind, Named, Target, TaskKind, TaskShape

pytestmark = pytest.mark.slow
STEPS, WORDS = 12, 9
MASK = Input(kind=InputKind.MASK, shape=(STEPS,), dtype="bool")
SERIES = Input(kind=InputKind.SERIES, shape=(STEPS, 2))
TOKENS = Input(kind=InputKind.TOKENS, shape=(STEPS,), dtype="int64", cardinalities=(WORDS,))
CASES = {
    "rnn": (SERIES, {"width": 8}),
    "lstm": (SERIES, {"width": 8, "pooling": "last"}),
    "gru": (TOKENS, {"width": 8, "pooling": "attention"}),
    "tcn": (SERIES, {"width": 8, "depth": 2, "norm": "layer"}),
    "inception_time": (SERIES, {"width": 4, "depth": 3}),
    "lite": (SERIES, {"width": 8}),
    "transformer": (TOKENS, {"depth": 1, "patch": 5, "positions": "rotary", "pooling": "class"}),
    "embedding_bag": (TOKENS, {"width": 8, "bigrams": 20}),
    "text_cnn": (TOKENS, {"width": 8, "filters": 8}),
}


def samples(first, batch):
    generator = torch.Generator().manual_seed(batch)
    mask = torch.arange(STEPS) < torch.randint(1, STEPS + 1, (batch, 1), generator=generator)
    if first is TOKENS:
        return torch.randint(2, WORDS, (batch, STEPS), generator=generator) * mask, mask
    return torch.randn(batch, STEPS, 2, generator=generator) * mask[..., None], mask


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_gives_the_same_answers(name):
    import onnxruntime

    first, params = CASES[name]
    torch.manual_seed(0)
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=(first, MASK))
    model = build(Named(name, params), shape).eval()
    inputs = samples(first, 7)
    expected = model(*inputs).detach()
    with torch.no_grad(), quiet():
        batch = Dim("batch")
        program = torch.export.export(model, samples(first, 4), dynamic_shapes=({0: batch}, {0: batch}), strict=False)
        converted = torch.onnx.export(program, dynamo=True, verbose=False)
    torch.testing.assert_close(program.module()(*inputs), expected)
    session = onnxruntime.InferenceSession(converted.model_proto.SerializeToString())
    names = [each.name for each in session.get_inputs()]
    (answers,) = session.run(None, {key: each.numpy() for key, each in zip(names, inputs, strict=True)})
    np.testing.assert_allclose(answers, expected.numpy(), rtol=1e-4, atol=1e-5)


FORECASTS = {
    "mean": ("dlinear", {"base": "mean"}),
    "season": ("dlinear", {"base": "season", "kernel": 1}),
    "growth": ("dlinear", {"base": "growth"}),
    "nhits": ("nhits", {"stacks": 2, "width": 8, "pooling": 2, "base": "mean"}),
    "gru": ("gru", {"width": 8}),
    "tcn": ("tcn", {"width": 8, "depth": 2}),
    "transformer": ("transformer", {"depth": 1, "patch": 5}),
}


@pytest.mark.parametrize("quantiles", [(), (0.1, 0.5, 0.9)], ids=["values", "quantiles"])
@pytest.mark.parametrize("name", FORECASTS)
def test_a_forecast_is_followed_for_batches_of_any_size(name, quantiles):
    kind = TaskKind.QUANTILE_FORECASTING if quantiles else TaskKind.FORECASTING
    target = Target(
        names=(*"1234", "naive"),
        shape=(5,),
        dtype="float32",
        centre=(0.0,) * 5,
        scale=(1.0,) * 5,
        season=3,
        quantiles=quantiles,
    )
    shape = TaskShape(kind=kind, outputs=4 * max(1, len(quantiles)), inputs=(SERIES,), target=target)
    torch.manual_seed(0)
    model = build(Named(*FORECASTS[name]), shape).eval()
    x_BTC = torch.randn(7, STEPS, 2)
    with torch.no_grad(), quiet():
        program = torch.export.export(model, (x_BTC[:3],), dynamic_shapes=({0: Dim("batch")},), strict=False)
        torch.testing.assert_close(program.module()(x_BTC), model(x_BTC))
