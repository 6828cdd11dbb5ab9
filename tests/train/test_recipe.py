"""A recipe of two parts that take turns: a forger of samples and a judge of them, each with an optimiser of its own."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.amp.grad_scaler import GradScaler

from harness.data import Batch, derive_seed
from harness.errors import Diverged, StorageError
from harness.records import Figures, Named
from harness.train import Fit, Learner, Mean, Taken, build_optimizers, pack
from harness.train.average import Average


class Nothing:
    """No quality of what was seen."""

    def update(self, steps):
        pass

    def metrics(self):
        return {}


def networks(seed):
    torch.manual_seed(seed)
    return nn.Linear(2, 5), nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 1))


class Duel:
    """Every step is the judge's, every second one the forger's too."""

    outputs = 1
    patience = 0

    def __init__(self, plan, seed=0, forger=None, judge=None):
        self.plan = plan
        self.identity = {"game": "duel"}
        maker, critic = networks(seed)
        average = Average(maker, decay=0.5, share=0.0)
        forger = {"schedules": {"schedule": Named("cosine")}, "average": average, **(forger or {})}
        self.parts = {
            "forger": Learner(maker, build_optimizers(Named("adam", {"lr": 0.01}), maker), **forger),
            "judge": Learner(critic, build_optimizers(Named("sgd", {"lr": 0.1}), critic), **(judge or {})),
        }
        self.model = average.module

    def step(self, batch, *, measure):
        forger, judge = self.parts["forger"], self.parts["judge"]
        x_BF = batch.inputs[0]
        forged = forger.module(torch.randn(len(x_BF), 2))
        loss = F.softplus(-judge.module(x_BF)).mean() + F.softplus(judge.module(forged.detach())).mean()
        judge.backward(loss)
        means, norms = {"loss": Mean(loss.detach(), len(x_BF))}, {"judge": judge.descend(measure=measure)}
        if judge.step % 2:
            own = F.softplus(-judge.module(forged)).mean()
            forger.backward(own)
            judge.gradients.forget()
            norms["forger"] = forger.descend(measure=measure)
            means["forger_loss"] = Mean(own.detach(), torch.tensor(float(len(x_BF))))
        measured = {name: each for name, each in norms.items() if each is not None}
        return Taken(means, len(x_BF), measured)

    def seen(self):
        return Nothing()

    def settle(self, batches):
        self.parts["forger"].average.settle(lambda _: None, batches)

    def assess(self, batches):
        with torch.no_grad():
            mean_F = self.model(torch.linspace(-2, 2, 64).reshape(32, 2)).mean(0)
        real_F = torch.cat([batch.inputs[0] for batch in batches.epoch(1)]).mean(0)
        return Figures({"loss": (mean_F - real_F).square().sum().item()})

    def remark(self, _metrics):
        return ""


@pytest.fixture
def duel(plan, labelled):
    def make(seed=0, *, batches=None, epochs=4, **options):
        recipe = Duel(plan(), seed, **options)
        return Fit(recipe, batches or labelled(), labelled(seed=1), objective=("loss", False), epochs=epochs, seed=3)

    return make


def untimed(record):
    return repr(replace(record, train_s=0.0, validation_s=0.0, train_samples_s=0.0))


def test_it_trains_as_a_loop_by_hand_does_bit_for_bit(duel, labelled):
    fit = duel()
    records = list(fit)
    forger, judge = networks(0)
    optimizers = torch.optim.Adam(forger.parameters(), lr=0.01, fused=True), torch.optim.SGD(
        judge.parameters(), lr=0.1, momentum=0.9, nesterov=True, fused=True
    )  # fmt: skip
    step, losses = 0, []
    for epoch in range(1, 5):
        torch.manual_seed(derive_seed(3, epoch))
        for batch in labelled().batches:
            x_BF = batch.inputs[0]
            forged = forger(torch.randn(16, 2))
            judge.zero_grad()
            (F.softplus(-judge(x_BF)).mean() + F.softplus(judge(forged.detach())).mean()).backward()
            optimizers[1].step()
            if step % 2:
                forger.zero_grad()
                own = F.softplus(-judge(forged)).mean()
                own.backward()
                losses.append(own.item())
                optimizers[0].param_groups[0]["lr"] = 0.01 * 0.5 * (1.0 + math.cos(math.pi * (step / 16)))
                optimizers[0].step()
            step += 1
    trained = [part.module for part in fit._parts]
    for ours, theirs in zip(trained, (forger, judge), strict=True):
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))
    assert records[-1].train["forger_loss"] == pytest.approx((losses[-1] + losses[-2]) / 2)
    assert records[-1].learning_rate == 0.01 * 0.5 * (1.0 + math.cos(math.pi * 15 / 16))
    assert not all(map(torch.equal, fit.model.parameters(), forger.parameters())), "the average is what comes of it"


def test_it_goes_on_from_any_epoch_bit_for_bit(duel):
    fit, records, checkpoints = duel(), [], []
    for record in fit:
        records.append(untimed(record))
        checkpoints.append(fit.checkpoint({}))
    assert len(records) == 4
    for done, data in enumerate(checkpoints, start=1):
        resumed = duel(seed=1)
        resumed.restore(data)
        assert [untimed(record) for record in resumed] == records[done:]
        assert resumed.checkpoint({}) == checkpoints[-1]


def test_each_part_is_clipped_by_its_own_norm(duel, labelled):
    fit = duel(judge={"clip_norm": 1e-3}, batches=labelled(batches=1), epochs=1)
    judge = fit._parts[1].module
    before = [parameter.detach().clone() for parameter in judge.parameters()]
    record = next(iter(fit))
    moved = torch.cat([(now - then).flatten() for now, then in zip(judge.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.1 * 1.9 * 1e-3, rel=1e-3)
    assert record.gradient_norm > 0.1


def test_each_part_is_watched_by_its_own_norms(duel):
    fit = duel()
    list(fit)
    forger, judge = (part.watch.history for part in fit._parts)
    assert len(forger) == len(judge) == 4
    assert forger != judge
    poisoned = duel(forger={"clip_norm": 1.0})  # which measures every step
    poisoned._parts[0].module.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(Diverged, match=r"gradient norm became (NaN|infinite) at step 2 \(epoch 1\)"):
        next(iter(poisoned))


def test_a_step_of_which_one_part_overflows_counts_to_no_mean(duel, labelled):
    batches = labelled(batches=3)
    batches.batches[1] = Batch((batches.batches[1].inputs[0] * math.inf,), batches.batches[1].targets)
    fit = duel(judge={"scaler": GradScaler("cpu")}, batches=batches, epochs=1)
    record = next(iter(fit))
    assert record.note.startswith("1 of 3 steps skipped by fp16 loss scaling")
    assert math.isfinite(record.train["loss"])
    assert math.isnan(record.train["forger_loss"]), "its only step was the skipped one"


def test_the_checkpoint_of_other_parts_is_refused(duel):
    fit = duel()
    next(iter(fit))
    data = fit.checkpoint({})
    other = duel()
    other._recipe.parts["critic"] = other._recipe.parts.pop("judge")
    with pytest.raises(StorageError, match="start"):
        other.restore(data)


def test_the_checkpoint_of_an_earlier_version_is_refused_as_such(duel):
    older = pack({"model.weight": torch.ones(2)}, {"identity": {}, "norms": [], "scaler": {}, "optimizer": {}})
    with pytest.raises(StorageError, match=r"^checkpoint is of an earlier version; delete it, and its trial starts"):
        duel().restore(older)
