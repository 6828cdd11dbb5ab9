import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error, r2_score
from torch import nn

from harness.data import Batch, derive_seed
from harness.errors import InputError, TimedOut
from harness.records import Named, Target
from harness.spec import Training
from harness.train import Evaluation, tally, targets


def test_the_weights_are_those_of_a_hand_written_loop_bit_for_bit(make_fit, labelled, mlp):
    batches = labelled()
    model, by_hand = mlp(dropout=0.3), mlp(dropout=0.3)
    list(make_fit(model, batches, optimizer=Named("adamw", {"weight_decay": 0.0}), seed=7))
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for epoch in (1, 2, 3):
        torch.manual_seed(derive_seed(7, epoch))
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            F.cross_entropy(by_hand(*batch.inputs), batch.targets).backward()
            optimizer.step()
    assert all(map(torch.equal, model.parameters(), by_hand.parameters()))


def test_an_epoch_reports_the_mean_loss_and_the_quality_of_the_outputs_it_learned_from(make_fit, labelled, mlp):
    batches = labelled(batches=3)
    last = batches.batches[-1]
    batches.batches[-1] = Batch((last.inputs[0][:4],), last.targets[:4])  # a smaller last batch weighs less
    still = {"optimizer": Named("sgd", {"lr": 1e-12})}
    record = next(iter(make_fit(mlp(), batches, **still)))
    x_NF = torch.cat([batch.inputs[0] for batch in batches.batches])
    y_N = torch.cat([batch.targets for batch in batches.batches])
    outputs = mlp()(x_NF)
    assert record.train["loss"] == pytest.approx(F.cross_entropy(outputs, y_N).item(), rel=1e-6)
    assert record.train["accuracy"] == pytest.approx(accuracy_score(y_N, outputs.argmax(1)))
    assert record.train["f1_macro"] == pytest.approx(f1_score(y_N, outputs.argmax(1), average="macro"))
    assert record.train_samples_s == pytest.approx(36 / record.train_s)
    assert (record.epoch, record.validation, record.note) == (1, {}, "")
    assert math.isnan(record.validation_s)


def test_values_are_measured_in_their_own_units(make_fit, valued, mlp, values_shape):
    model = mlp(1)
    fit = make_fit(
        model,
        valued(batches=20),
        valued(seed=1),
        shape=replace(values_shape, target=Target(scale=(100.0,))),
        optimizer=Named("adam", {"lr": 0.05}),
    )
    record = list(fit)[-1]
    x_NF = torch.cat([batch.inputs[0] for batch in valued(seed=1).batches])
    y_N = torch.cat([batch.targets for batch in valued(seed=1).batches])
    with torch.no_grad():
        predicted = model(x_NF)[:, 0] * 100
    assert record.validation["rmse"] == pytest.approx(mean_squared_error(y_N, predicted) ** 0.5, rel=1e-4)
    assert record.validation["r2"] == pytest.approx(r2_score(y_N, predicted), rel=1e-4)
    assert record.validation["loss"] == pytest.approx((record.validation["rmse"] / 100) ** 2, rel=1e-4)
    assert record.validation["r2"] > 0.9


def test_the_learning_rate_follows_the_schedule_step_by_step(make_fit, labelled, mlp):
    fit = make_fit(mlp(), labelled(), optimizer=Named("sgd", {"lr": 0.2}), schedule=Named("cosine"), epochs=2)
    rates = [record.learning_rate for record in fit]
    assert rates == pytest.approx([0.1 * (1 + math.cos(math.pi * step / 8)) for step in (3, 7)])


def test_the_gradient_norm_is_that_of_the_last_step_before_clipping(make_fit, labelled, mlp):
    batches = labelled(batches=1)
    clipped = make_fit(mlp(), batches, training=Training(clip_norm=1e-3))
    free = make_fit(mlp(), batches)
    model = mlp()
    F.cross_entropy(model(*batches.batches[0].inputs), batches.batches[0].targets).backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).norm().item()
    assert next(iter(free)).gradient_norm == pytest.approx(norm, rel=1e-5)
    assert next(iter(clipped)).gradient_norm == pytest.approx(norm, rel=1e-5)


def test_clipping_limits_the_global_norm_of_the_step(make_fit, labelled, mlp, weights_of):
    model = mlp()
    before = weights_of(model)
    next(iter(make_fit(model, labelled(batches=1), training=Training(clip_norm=1e-3))))
    step = torch.cat([(now - then).flatten() for now, then in zip(weights_of(model), before, strict=True)])
    assert step.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_mixed_samples_are_learned_from_both_targets_and_judged_by_the_weightier(make_fit, labelled, mlp):
    batches = labelled(batches=1)
    plain = batches.batches[0]
    other = (plain.targets + 1) % 3
    batches.batches[0] = Batch(plain.inputs, other, plain.targets, torch.full((16,), 0.25))
    record = next(iter(make_fit(mlp(), batches, optimizer=Named("sgd", {"lr": 1e-12}))))
    outputs = mlp()(*plain.inputs)
    loss = 0.25 * F.cross_entropy(outputs, other) + 0.75 * F.cross_entropy(outputs, plain.targets)
    assert record.train["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert record.train["accuracy"] == pytest.approx(accuracy_score(plain.targets, outputs.argmax(1)))


class PartlyUsed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(7, 7)
        self.used = nn.Linear(5, 3)

    def forward(self, x_BF: torch.Tensor) -> torch.Tensor:
        return self.used(x_BF)


@pytest.mark.parametrize("clip_norm", [0.0, 0.1])
def test_parameters_that_take_no_part_have_no_gradient_to_measure_or_clip(make_fit, labelled, clip_norm):
    batches = labelled(batches=1)
    torch.manual_seed(0)
    model = PartlyUsed()
    F.cross_entropy(model(*batches.batches[0].inputs), batches.batches[0].targets).backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in model.used.parameters()]).norm().item()
    model.zero_grad()
    record = next(iter(make_fit(model, batches, training=Training(clip_norm=clip_norm))))
    assert record.gradient_norm == pytest.approx(norm, rel=1e-5)
    assert record.note == ""


def test_l1_adds_the_sign_of_weights_and_not_of_biases_to_the_gradient(make_fit, labelled, mlp, weights_of):
    plain, sparse = mlp(), mlp()
    signs = [w.sign() if w.ndim > 1 else torch.zeros_like(w) for w in weights_of(plain)]
    next(iter(make_fit(plain, labelled(batches=1))))
    record = next(iter(make_fit(sparse, labelled(batches=1), training=Training(l1=0.01))))
    for with_l1, without, sign in zip(weights_of(sparse), weights_of(plain), signs, strict=True):
        torch.testing.assert_close(with_l1, without - 0.1 * 0.01 * sign)
    penalty = 0.01 * sum(w.abs().sum().item() for w in weights_of(mlp()) if w.ndim > 1)
    first = labelled(batches=1).batches[0]
    plain_loss = F.cross_entropy(mlp()(*first.inputs), first.targets).item()
    assert record.train["loss"] == pytest.approx(plain_loss + penalty, rel=1e-5)


def test_smoothing_and_class_weights_reach_the_training_loss_only(make_fit, labelled, mlp):
    batch = labelled(batches=1).batches[0]
    training = Training(label_smoothing=0.1, class_weights="balanced")
    fit = make_fit(
        mlp(),
        labelled(batches=1),
        labelled(batches=1),
        training=training,
        class_counts=(1, 2, 3),
        optimizer=Named("sgd", {"lr": 1e-12}),
    )
    record = next(iter(fit))
    outputs = mlp()(*batch.inputs)
    weights = torch.tensor([2.0, 1.0, 2 / 3])
    smoothed = F.cross_entropy(outputs, batch.targets, weights, label_smoothing=0.1).item()
    assert record.train["loss"] == pytest.approx(smoothed, rel=1e-6)
    assert record.validation["loss"] == pytest.approx(F.cross_entropy(outputs, batch.targets).item(), rel=1e-6)


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(make_fit, labelled, mlp):
    def train(seed: int) -> tuple[list[float], dict[str, torch.Tensor]]:
        fit = make_fit(mlp(dropout=0.5), labelled(), labelled(seed=1), seed=seed)
        losses = []
        for record in fit:
            losses.append(record.train["loss"])
            torch.rand(3)  # what others draw in between has no influence
        return losses, fit.best_state

    losses, state = train(0)
    again, state_again = train(0)
    assert losses == again
    assert all(torch.equal(state[name], state_again[name]) for name in state)
    assert train(1)[0] != losses


def test_two_trainings_in_turn_are_each_what_they_are_alone(make_fit, labelled, mlp, weights_of):
    def make(seed):
        model = mlp(dropout=0.5, seed=seed)
        return model, make_fit(model, labelled(), labelled(seed=1), seed=seed, optimizer=Named("adamw"))

    alone = []
    for seed in (1, 2):
        model, fit = make(seed)
        list(fit)
        alone.append(weights_of(model))
    (one, first), (two, second) = make(1), make(2)
    for _ in zip(first, second, strict=True):
        torch.rand(7)
    for model, weights in zip((one, two), alone, strict=True):
        assert all(map(torch.equal, weights_of(model), weights))


def test_what_others_draw_does_not_depend_on_a_training(make_fit, labelled, mlp):
    fit = iter(make_fit(mlp(dropout=0.5), labelled(), labelled(seed=1)))
    torch.manual_seed(5)
    expected = torch.rand(6)
    torch.manual_seed(5)
    drawn = []
    for _ in range(3):
        drawn.append(torch.rand(2))
        next(fit)
    assert torch.equal(torch.cat(drawn), expected)


def test_giving_up_after_any_epoch_and_going_on_is_the_same_as_going_through(make_fit, labelled, mlp):
    through, halting = (make_fit(mlp(dropout=0.5), labelled(), labelled(seed=1), epochs=4) for _ in range(2))
    losses = [record.train["loss"] for record in through]
    for record in halting:
        if record.epoch == 2:
            break
    assert halting.best_epoch in (1, 2)
    assert [record.train["loss"] for record in halting] == losses[2:]


def test_nothing_is_left_of_the_gradients(make_fit, labelled, mlp):
    model = mlp()
    for _ in make_fit(model, labelled()):
        assert all(parameter.grad is None for parameter in model.parameters())


def test_a_stop_between_steps_ends_the_training_at_once(make_fit, labelled, mlp):
    calls = []

    def stop():
        calls.append(None)
        if len(calls) == 6:
            raise TimedOut("time is up")

    fit = make_fit(mlp(), labelled(), labelled(seed=1), stop=stop)
    records = iter(fit)
    next(records)
    with pytest.raises(TimedOut, match="time is up"):
        next(records)
    assert fit.best_epoch == 1


def test_a_failing_step_leaves_no_gradients_behind(make_fit, labelled, mlp):
    model = mlp()
    fit = make_fit(model, labelled())

    def fail(_gradient):
        raise torch.OutOfMemoryError("out of memory")

    model[0].weight.register_hook(fail)  # the gradients of the last layer exist by then
    with pytest.raises(torch.OutOfMemoryError):
        next(iter(fit))
    assert all(parameter.grad is None for parameter in model.parameters())


def scripted(monkeypatch, values, metric="f1_macro"):
    """Let validation give these values, epoch by epoch."""
    script = iter(values)
    monkeypatch.setattr(
        targets,
        "assess",
        lambda *_, **__: Evaluation({"loss": 1.0, "f1_macro": 0.0, metric: next(script)}, quality=None),
    )


def test_the_first_of_the_best_epochs_is_kept_and_restored(make_fit, labelled, mlp, monkeypatch, weights_of):
    scripted(monkeypatch, [0.1, 0.5, 0.3, 0.5])
    model = mlp()
    fit = make_fit(model, labelled(), labelled(), epochs=4)
    weights = {record.epoch: weights_of(model) for record in fit}
    assert fit.best_epoch == 2
    assert not torch.equal(weights[2][0], weights[4][0])
    fit.restore_best()
    assert all(map(torch.equal, weights_of(model), weights[2]))


def test_an_objective_may_be_minimised(make_fit, labelled, mlp, monkeypatch):
    scripted(monkeypatch, [0.5, 0.2, 0.4], metric="loss")
    fit = make_fit(mlp(), labelled(), labelled(), objective=("loss", False))
    list(fit)
    assert fit.best_epoch == 2


def test_patience_ends_the_training_and_says_so(make_fit, labelled, mlp, monkeypatch):
    scripted(monkeypatch, [0.1, 0.5, 0.4, 0.45, 0.9])
    records = list(make_fit(mlp(), labelled(), labelled(), epochs=5, training=Training(patience=2)))
    assert [record.epoch for record in records] == [1, 2, 3, 4]
    assert records[-1].note.endswith("stopped early: f1_macro no better for 2 epochs, best in 2")
    assert "stopped" not in records[-2].note


def test_without_validation_the_last_epoch_is_the_best_and_patience_has_no_say(make_fit, labelled, mlp):
    model = mlp()
    fit = make_fit(model, labelled(), epochs=3, training=Training(patience=1))
    assert [record.epoch for record in fit] == [1, 2, 3]
    assert fit.best_epoch == 3
    assert all(torch.equal(fit.best_state[name], tensor) for name, tensor in model.state_dict().items())


def test_an_unknown_objective_is_refused(make_fit, labelled, mlp):
    with pytest.raises(InputError, match="objective: 'f1_makro' is not measured; did you mean 'f1_macro'"):
        next(iter(make_fit(mlp(), labelled(), labelled(), objective=("f1_makro", True))))


def test_nothing_to_train_on_is_refused(make_fit, labelled, mlp):
    with pytest.raises(InputError, match="batch_size"):
        make_fit(mlp(), labelled(batches=0))


def test_the_device_is_read_once_in_a_window_and_at_the_end(make_fit, labelled, mlp, monkeypatch):
    sizes = []
    values = tally._values
    monkeypatch.setattr(tally, "_values", lambda window: sizes.append(len(window)) or values(window))
    next(iter(make_fit(mlp(), labelled(batches=36, size=2))))
    assert sizes == [16, 16, 4]


def test_large_batches_are_read_sooner():
    assert tally.window(128, 10) == 16
    assert tally.window(65_536, 4) == 4
    assert tally.window(1_048_576, 1000) == 1


def test_underfitting_is_noted_at_the_end(make_fit, labelled, mlp):
    batches = labelled()
    for batch in batches.batches:
        batch.inputs[0].zero_()
    counts = torch.cat([batch.targets for batch in batches.batches]).bincount(minlength=3).tolist()
    notes = [record.note for record in make_fit(mlp(), batches, class_counts=counts)]
    assert "underfitting" in notes[-1]
    assert "underfitting" not in notes[0]


def test_a_net_that_learns_is_not_called_names(make_fit, labelled, mlp):
    counts = torch.cat([batch.targets for batch in labelled().batches]).bincount(minlength=3).tolist()
    records = list(make_fit(mlp(), labelled(), labelled(seed=1), class_counts=counts, epochs=10))
    assert records[-1].validation["accuracy"] > 0.8
    assert {record.note for record in records} == {""}


def test_gradients_that_vanish_on_the_way_back_are_noted(make_fit, labelled):
    torch.manual_seed(0)
    layers = [layer for _ in range(12) for layer in (nn.Linear(5, 5), nn.Sigmoid())]
    record = next(iter(make_fit(nn.Sequential(*layers, nn.Linear(5, 3)), labelled())))
    assert record.note.startswith("vanishing gradients: the first layer's are")


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_a_schedule_that_anneals_is_gone_to_its_end_whatever_the_patience(
    make_fit, labelled, mlp, monkeypatch, schedule
):
    scripted(monkeypatch, [0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    fit = make_fit(mlp(), labelled(), labelled(), epochs=6, schedule=Named(schedule), training=Training(patience=1))
    records = list(fit)
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5, 6]
    assert fit.best_epoch == 2
    assert records[-1].learning_rate < 0.1 * records[1].learning_rate
    assert not any("stopped early" in record.note for record in records)


def test_a_part_that_is_frozen_stays_so_and_the_rest_learns(make_fit, labelled):
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model[0].eval()
    modes = [module.training for module in model.modules()]
    before = model[0].running_mean.clone()
    for _ in make_fit(model, labelled(), labelled(seed=1)):
        assert [module.training for module in model.modules()] == modes
    assert torch.equal(model[0].running_mean, before)
    assert model[3].num_batches_tracked == 12
