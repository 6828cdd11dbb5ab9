"""The recipe that speednet is meant for, on real images: it learns in few epochs, and repeats bit for bit."""

import pytest
import torch

from harness import models
from harness.data import load, place
from harness.records import Named
from harness.spec import Training
from harness.spec.task import parse_task
from harness.spec.training import Augment

CPU = torch.device("cpu")
RECIPE = {
    "optimizer": Named("sgd", {"lr": 0.3, "momentum": 0.85, "weight_decay": 1.3e-3}),
    "schedule": Named("wsd", {"warmup": 0.2, "decay": 0.8, "shape": "linear"}),
    "training": Training(label_smoothing=0.2),
}


@pytest.fixture(scope="module")
def digits():
    return load(parse_task("digits"), seed=0)


@pytest.fixture
def fit(digits, make_fit):
    def make(seed=0, **changes):
        torch.manual_seed(seed)
        params = {"width": 12, "width_multiplier": 2.0, "norm_bias_rate": 64.0, "flip_average": False}
        augment = Augment(crop=1, fill="reflect", cutout=0.2)
        train = place(digits.train, device=CPU, batch_size=64, seed=0, shuffle=True, augment=augment)
        validation = place(digits.validation, device=CPU, batch_size=512, seed=0, shuffle=False)
        model = models.build(Named("speednet", params), digits.shape)
        return make_fit(model, train, validation, shape=digits.shape, **{**RECIPE, "epochs": 6, **changes})

    return make


def test_digits_are_learned_in_six_epochs(fit):
    *_, last = fit()
    assert last.validation["accuracy"] > 0.96


def test_the_same_seed_gives_the_same_bits_and_another_does_not(fit):
    first, again, other = (fit(seed, epochs=1) for seed in (0, 0, 1))
    for each in (first, again, other):
        list(each)
    assert again.best_state.keys() == first.best_state.keys()
    assert all(torch.equal(again.best_state[name], tensor) for name, tensor in first.best_state.items())
    assert not torch.equal(other.best_state["head.weight"], first.best_state["head.weight"])
