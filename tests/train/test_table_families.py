"""The families for tables, on a real one: they learn it in few epochs, and repeat bit for bit."""

from dataclasses import replace

import pytest
import torch

from harness import models
from harness.data import load, place
from harness.records import Named
from harness.spec import Training
from harness.spec.task import parse_task
from harness.train.loss import outputs_for

CPU = torch.device("cpu")
TABM = Named("tabm", {"members": 8, "width": 64})
MINI = Named("tabm", {"members": 8, "width": 64, "kind": "mini", "numeric": "piecewise_linear"})
REALMLP = Named("realmlp", {"width": 64})
FT_TRANSFORMER = Named("ft_transformer", {"depth": 1, "heads": 2, "head_width": 8})
PERIODIC = Named("mlp", {"width": 64, "numeric": "periodic"})
RATES = {"tabm": 3e-3, "realmlp": 3e-2, "ft_transformer": 3e-3, "mlp": 3e-3}
every_family = pytest.mark.parametrize(
    "architecture",
    [TABM, MINI, REALMLP, FT_TRANSFORMER, PERIODIC],
    ids=["tabm", "mini", "realmlp", "ft_transformer", "periodic"],
)


@pytest.fixture(scope="module")
def cells():
    return load(parse_task("breast-cancer"), seed=0)


@pytest.fixture
def fit(cells, make_fit):
    def make(architecture, seed=0, epochs=12, **changes):
        torch.manual_seed(seed)
        train = place(cells.train, device=CPU, batch_size=64, seed=0, shuffle=True)
        validation = place(cells.validation, device=CPU, batch_size=512, seed=0, shuffle=False)
        return make_fit(
            models.build(architecture, cells.shape),
            train,
            validation,
            shape=cells.shape,
            optimizer=Named("adamw", {"lr": RATES[architecture.name], "weight_decay": 0.01}),
            schedule=Named("cosine"),
            epochs=epochs,
            **changes,
        )

    return make


@every_family
def test_tumours_are_told_apart_after_a_few_epochs(fit, architecture):
    *_, last = fit(architecture)
    assert last.validation["accuracy"] > 0.94
    assert last.validation["loss"] < 0.2


@every_family
def test_the_same_seed_gives_the_same_bits_and_another_does_not(fit, architecture):
    first, again, other = (fit(architecture, seed, epochs=1) for seed in (0, 0, 1))
    for each in (first, again, other):
        list(each)
    assert all(torch.equal(again.best_state[name], tensor) for name, tensor in first.best_state.items())
    assert not torch.equal(other.best_state["output.weight"], first.best_state["output.weight"])


@pytest.mark.parametrize("chosen", [{"loss": "binary"}, {"class_weights": "balanced", "label_smoothing": 0.1}], ids=str)
def test_members_learn_by_every_loss_in_parts_as_at_once(cells, make_fit, chosen):
    training = Training(**chosen)
    outputs = outputs_for(cells.shape, training.loss)
    counts = torch.bincount(torch.as_tensor(cells.train.targets)).tolist()
    states = []
    for micro_batch in (0, 20):
        torch.manual_seed(0)
        plain = Named("tabm", {"members": 4, "width": 16, "dropout": 0.0})
        model = models.build(plain, replace(cells.shape, outputs=outputs))
        train = place(cells.train, device=CPU, batch_size=64, seed=0, shuffle=True)
        options = {"shape": cells.shape, "training": training, "class_counts": counts, "micro_batch": micro_batch}
        (record,) = make_fit(model, train, epochs=1, **options)
        states.append((model.state_dict(), record.train))
    (at_once, seen), (in_parts, seen_in_parts) = states
    for name, tensor in at_once.items():
        torch.testing.assert_close(in_parts[name], tensor, rtol=1e-3, atol=1e-4)
    assert seen["loss"] == pytest.approx(seen_in_parts["loss"], rel=1e-3)
