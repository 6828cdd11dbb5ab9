"""Training from raw pictures to a checkpoint and on from it, the same on a CPU and on a GPU, in every precision."""

import numpy as np
import pytest
import torch

from harness import models
from harness.data import Part, place
from harness.data.part import Normalise
from harness.hardware import native_precisions
from harness.records import Named, TaskKind, TaskShape, image_inputs
from harness.spec import Training

SHAPE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=image_inputs(1, 8, 8))
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no NVIDIA GPU")
ON_GPU = ("fp32", "tf32", "bf16", "fp16")
CASES = [
    ("cpu", "fp32"),
    ("cpu", "fp16"),
    *(pytest.param("cuda:0", precision, marks=[pytest.mark.gpu, NEEDS_GPU]) for precision in ON_GPU),
]
CNN = Named("cnn", {"stages": 2, "width": 8, "norm": "batch", "dropout": 0.1})
OPTIMIZERS = {
    "sgd": Named("sgd", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4}),
    "adamw": Named("adamw", {"lr": 1e-2}),
    "rmsprop": Named("rmsprop", {"lr": 5e-3}),
}
EPOCHS = 8


def pictures(count: int, seed: int) -> Part:
    """Three patterns under noise, as bytes that are still to be normalised."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8))
    targets = rng.integers(0, 3, count)
    noisy = patterns[targets] + rng.normal(0, 40, (count, 1, 8, 8))
    return Part(
        (noisy.clip(0, 255).astype(np.uint8),),
        targets,
        np.arange(count),
        Normalise((128.0,), (64.0,)),
        modality="image",
    )


@pytest.fixture
def fit_on(make_fit, plan):
    def make(device, precision, optimizer, *, seed=0):
        chosen = torch.device(device)
        streamed = {"memory_limit_mib": 0.0}  # pinned memory and a thread that gathers, on a GPU
        torch.manual_seed(seed)
        return make_fit(
            models.build(CNN, SHAPE),
            place(pictures(160, 1), device=chosen, batch_size=16, seed=3, shuffle=True),
            place(pictures(64, 2), device=chosen, batch_size=32, seed=3, shuffle=False, **streamed),
            shape=SHAPE,
            training=Training(clip_norm=5.0),
            optimizer=OPTIMIZERS[optimizer],
            schedule=Named("one_cycle"),
            plan=plan(device=device, precision=precision, layout="channels_last"),
            objective=("accuracy", True),
            micro_batch=10,
            epochs=EPOCHS,
        )

    return make


@pytest.mark.parametrize(("device", "precision"), CASES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_learns_and_goes_on_from_its_checkpoint(fit_on, device, precision, optimizer):
    obstacle = native_precisions(torch.device(device))[precision] if device != "cpu" else ""
    if obstacle:
        pytest.skip(f"{precision}: {obstacle}")
    fit, checkpoint = fit_on(device, precision, optimizer), b""
    records = []
    for record in fit:
        records.append(record)
        if record.epoch == EPOCHS // 2:
            checkpoint = fit.checkpoint({})
    assert records[-1].validation["accuracy"] > 0.9
    assert all(tensor.isfinite().all() for tensor in fit.best_state.values())
    resumed = fit_on(device, precision, optimizer, seed=1)
    resumed.restore(checkpoint)
    again = list(resumed)
    assert [record.epoch for record in again] == list(range(EPOCHS // 2 + 1, EPOCHS + 1))
    # On a GPU sums are added in another order from time to time.
    assert again[0].train["loss"] == pytest.approx(records[EPOCHS // 2].train["loss"], rel=0.1, abs=0.02)
    assert again[-1].validation["accuracy"] > 0.9
