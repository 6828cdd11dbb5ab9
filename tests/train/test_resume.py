import itertools
import json
import math
import os
import runpy
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness import models
from harness.data import Batch, Part, place
from harness.data.part import Normalise
from harness.errors import InputError, StorageError, TimedOut
from harness.records import Input, InputKind, Named, TaskKind, TaskShape, image_inputs, table_inputs
from harness.spec import Training
from harness.spec.training import Augment
from harness.train import pack, read_facts, unpack
from harness.train.state import flatten, unflatten

IMAGES = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=image_inputs(1, 8, 8))
TABLE = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(5))
MASK = Input(kind=InputKind.MASK, shape=(9,), dtype="bool")
SERIES = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=(Input(kind=InputKind.SERIES, shape=(9, 2)), MASK))
TOKENS = Input(kind=InputKind.TOKENS, shape=(9,), dtype="int64", cardinalities=(7,))
TEXT = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=(TOKENS, MASK))


def untimed(record):
    """Return a record as text that is equal where all but the timings is, NaN and the last bit included."""
    return repr(replace(record, train_s=0.0, validation_s=0.0, train_samples_s=0.0))


def through(make):
    """Train without a break; return the records, the checkpoint after each epoch, and the Fit."""
    fit = make(0)
    records, checkpoints = [], []
    for record in fit:
        records.append(untimed(record))
        checkpoints.append(fit.checkpoint({"epoch": record.epoch}))
    return records, checkpoints, fit


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def assert_resumes(make, *, epochs=None):
    """Go on from the checkpoint of every epoch, in a Fit whose model began with other weights."""
    records, checkpoints, fit = through(make)
    assert len(records) == (epochs or len(records)) > 2
    for done, data in enumerate(checkpoints, start=1):
        resumed = make(1)
        assert resumed.restore(data) == {"epoch": done}
        assert resumed.epoch == done
        assert [untimed(record) for record in resumed] == records[done:]
        assert resumed.best_epoch == fit.best_epoch
        assert same(resumed.best_state, fit.best_state)
        assert same(resumed.model.state_dict(), fit.model.state_dict())
        assert resumed.checkpoint({}) == fit.checkpoint({})  # optimiser, loss scale, generators, histories too
    return fit


OPTIMIZERS = [
    Named("sgd", {"lr": 0.1, "momentum": 0.0}),
    Named("sgd", {"lr": 0.1, "weight_decay": 0.01}),
    Named("adam", {"weight_decay": 0.01}),
    Named("adamw"),
    Named("rmsprop", {"momentum": 0.5, "centered": True}),
    Named("muon"),
    Named("nadam", {"weight_decay": 0.01}),
    Named("radam"),
    Named("adagrad"),
]
SCHEDULES = [Named("constant", {"warmup_epochs": 1.25}), Named("cosine"), Named("one_cycle"), Named("wsd")]


TOGETHER = [
    *((optimizer, Named("cosine")) for optimizer in OPTIMIZERS),
    *((Named("adamw"), schedule) for schedule in SCHEDULES if schedule.name != "cosine"),
]
"""Neither keeps anything of the other."""


@pytest.mark.parametrize(("optimizer", "schedule"), TOGETHER, ids=lambda each: f"{each.name} {len(each.params)}")
def test_going_on_from_any_epoch_is_the_training_without_a_break(make_fit, labelled, mlp, optimizer, schedule):
    def make(seed):
        return make_fit(
            mlp(dropout=0.3, seed=seed),
            labelled(),
            labelled(seed=1),
            optimizer=optimizer,
            schedule=schedule,
            training=Training(clip_norm=0.5, l1=1e-4),
            epochs=4,
        )

    assert_resumes(make, epochs=4)


@pytest.mark.parametrize("averaging", [{"ema": 0.8}, {"swa": 0.4}, {"ema": 0.8, "swa": 0.7}], ids=str)
def test_averaged_weights_and_schedules_of_all_kinds_go_on(make_fit, labelled, averaging):
    def make(seed):
        torch.manual_seed(seed)
        return make_fit(
            nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3), nn.Linear(6, 3)),
            labelled(),
            labelled(seed=1),
            optimizer=Named("adamw"),
            training=Training(**averaging),
            dropout_schedule=Named("coslog4"),
            weight_decay_schedule=Named("cosine"),
            epochs=5,
        )

    fit = assert_resumes(make, epochs=5)
    assert any(name.startswith("average.model.") for name in unpack(fit.checkpoint({}))[0])


CNN = Named("cnn", {"stages": 2, "width": 8, "norm": "batch", "dropout": 0.3})
SPEEDNET = Named("speednet", {"width": 4, "width_multiplier": 2.0, "norm_bias_rate": 4.0, "flip_average": True})
STAGES = {"stages": 2, "width": 4, "dropout": 0.2, "stochastic_depth": 0.4}
RESNET, CONVNEXT, MOBILENET = (Named(name, STAGES) for name in ("resnet", "convnext", "mobilenet"))
VIT = Named("vit", {"depth": 2, "dropout": 0.2, "stochastic_depth": 0.4, "positions": "rotary", "pooling": "class"})
OF_IMAGES = [
    *itertools.product([CNN, SPEEDNET], ["contiguous", "channels_last"], [Named("sgd"), Named("adamw")]),
    *((network, "channels_last", Named("adamw")) for network in (RESNET, CONVNEXT, MOBILENET, VIT)),
]


@pytest.mark.parametrize(("architecture", "layout", "optimizer"), OF_IMAGES)
def test_images_with_batch_norm_dropout_and_augmentation_go_on(make_fit, plan, optimizer, layout, architecture):
    rng = np.random.default_rng(0)
    x_NCHW = rng.normal(size=(40, 1, 8, 8)).astype(np.float32)
    part = Part((x_NCHW,), rng.integers(0, 3, 40), np.arange(40), Normalise((0.0,), (1.0,)), modality="image")
    augment = Augment(mixup=0.4, flip="alternating", crop=1, fill="reflect")

    def make(seed):
        torch.manual_seed(seed)
        train = place(part, device=torch.device("cpu"), batch_size=16, seed=3, shuffle=True, augment=augment)
        validation = place(part, device=torch.device("cpu"), batch_size=40, seed=3, shuffle=False)
        return make_fit(
            models.build(architecture, IMAGES),
            train,
            validation,
            shape=IMAGES,
            plan=plan(layout=layout),
            optimizer=optimizer,
            schedule=Named("cosine"),
            micro_batch=10,
            epochs=3,
        )

    fit = assert_resumes(make)
    has_norms = architecture.name not in ("convnext", "vit")
    assert ("running_mean" in " ".join(fit.best_state)) == has_norms


OF_SEQUENCES = [
    (Named("rnn", {"width": 8, "dropout": 0.2}), SERIES),
    (Named("lstm", {"width": 8, "depth": 2, "dropout": 0.2}), SERIES),
    (Named("gru", {"width": 8, "pooling": "attention"}), TEXT),
    (Named("tcn", {"width": 8, "depth": 2, "kernel": 3, "dropout": 0.2}), SERIES),
    (Named("inception_time", {"width": 4, "depth": 3, "kernel": 8, "dropout": 0.2}), SERIES),
    (Named("lite", {"width": 8, "kernel": 8, "dropout": 0.2}), SERIES),
    (Named("transformer", {"depth": 1, "dropout": 0.2, "stochastic_depth": 0.4}), TEXT),
    (Named("embedding_bag", {"width": 8, "depth": 1, "bigrams": 20, "dropout": 0.2}), TEXT),
    (Named("text_cnn", {"width": 8, "filters": 8}), TEXT),
]


@pytest.mark.parametrize(("architecture", "shape"), OF_SEQUENCES, ids=lambda case: getattr(case, "name", ""))
def test_families_for_sequences_go_on(make_fit, architecture, shape):
    rng = np.random.default_rng(0)
    mask_NT = np.arange(9) < rng.integers(1, 10, (40, 1))
    codes_NT = rng.integers(2, 7, (40, 9)) * mask_NT
    x_NTC = rng.normal(size=(40, 9, 2)).astype(np.float32) * mask_NT[..., None]
    inputs, modality = (codes_NT, "text") if shape is TEXT else (x_NTC, "series")
    part = Part((inputs, mask_NT), rng.integers(0, 3, 40), np.arange(40), modality=modality)
    augment = Augment(mixup=0.4, **({} if shape is TEXT else {"shift": 0.2, "jitter": 0.1, "time_mask": 0.3}))

    def make(seed):
        torch.manual_seed(seed)
        train = place(part, device=torch.device("cpu"), batch_size=16, seed=3, shuffle=True, augment=augment)
        validation = place(part, device=torch.device("cpu"), batch_size=40, seed=3, shuffle=False)
        options = {"shape": shape, "optimizer": Named("adamw"), "schedule": Named("cosine"), "micro_batch": 10}
        return make_fit(models.build(architecture, shape), train, validation, **options)

    assert_resumes(make)


TABM = Named("tabm", {"members": 3, "width": 8, "dropout": 0.3})
REALMLP = Named("realmlp", {"depth": 2, "width": 8})
FT_TRANSFORMER = Named("ft_transformer", {"depth": 1, "heads": 2, "head_width": 4, "dropout": 0.1})
PERIODIC = Named("mlp", {"depth": 1, "width": 8, "numeric": "periodic"})
OF_TABLES = [TABM, REALMLP, FT_TRANSFORMER, PERIODIC]


@pytest.mark.parametrize("architecture", OF_TABLES, ids=lambda architecture: architecture.name)
@pytest.mark.parametrize("optimizer", [Named("adamw", {"weight_decay": 0.01}), Named("muon")], ids=lambda it: it.name)
def test_families_for_tables_go_on(make_fit, labelled, optimizer, architecture):
    def make(seed):
        torch.manual_seed(seed)
        return make_fit(
            models.build(architecture, TABLE),
            labelled(),
            labelled(seed=1),
            optimizer=optimizer,
            schedule=Named("coslog4"),
            dropout_schedule=Named("cosine"),
            training=Training(ema=0.8),
            micro_batch=6,
            epochs=3,
        )

    assert_resumes(make, epochs=3)


def test_fp16_goes_on_with_its_loss_scale(make_fit, labelled, mlp, plan):
    batches = labelled(batches=3)
    spoiled = batches.batches[1]
    batches.batches[1] = Batch((spoiled.inputs[0] * 1e6,), spoiled.targets)  # halves the scale in every epoch

    def make(seed):
        return make_fit(
            mlp(seed=seed), batches, labelled(seed=1), plan=plan(precision="fp16"), optimizer=Named("adam"), epochs=4
        )

    fit = assert_resumes(make)
    (scaler,) = [part.scaler for part in fit._parts]
    assert scaler.get_scale() == 2.0**12
    assert scaler.state_dict()["_growth_tracker"] == 1


def test_patience_and_notes_look_back_beyond_the_break(make_fit, labelled, mlp):
    def make(seed):
        return make_fit(
            mlp(seed=seed, width=64),
            labelled(batches=1, size=6),
            labelled(batches=8, seed=1),
            optimizer=Named("adam", {"lr": 0.05}),
            objective=("loss", False),
            training=Training(patience=5),
            epochs=40,
        )

    records, _, _ = through(make)
    assert "overfitting" in "".join(records)
    assert "stopped early" in records[-1]
    assert_resumes(make)


def test_the_watch_for_explosions_remembers_norms_from_before_the_break(make_fit, labelled, mlp):
    fit, resumed = (make_fit(mlp(), labelled(), epochs=12) for _ in range(2))
    for record in fit:
        if record.epoch == 7:
            resumed.restore(fit.checkpoint({}))
            assert resumed._parts[0].watch.history == fit._parts[0].watch.history
            assert len(resumed._parts[0].watch.history) == 7


def test_without_validation_there_is_no_best_until_the_end(make_fit, labelled, mlp):
    assert_resumes(lambda seed: make_fit(mlp(seed=seed), labelled()))


def test_taking_checkpoints_changes_nothing(make_fit, labelled, mlp, weights_of):
    model, plain = mlp(dropout=0.5), mlp(dropout=0.5)
    through(lambda _: make_fit(model, labelled(), labelled(seed=1)))
    list(make_fit(plain, labelled(), labelled(seed=1)))
    assert all(map(torch.equal, weights_of(model), weights_of(plain)))


def test_the_best_epoch_is_stored_once(make_fit, labelled, mlp):
    fit = make_fit(mlp(), labelled(), labelled(seed=1), objective=("loss", True))  # the first epoch stays the best
    kept = set()
    for record in fit:
        stored = any(name.startswith("best.") for name in unpack(fit.checkpoint({}))[0])
        assert stored == (fit.best_epoch < record.epoch)
        kept.add(stored)
    assert kept == {False, True}


def test_the_callers_facts_can_be_read_before_anything_is_built(make_fit, labelled, mlp):
    fit = make_fit(mlp(), labelled())
    next(iter(fit))
    facts = {"seconds": 1.5, "epochs": [{"loss": math.nan}], "plan": {"micro_batch": 4}}
    assert repr(read_facts(fit.checkpoint(facts))["caller"]) == repr(facts)


def test_a_micro_batch_may_be_another_after_the_break(make_fit, labelled, mlp):
    fit = make_fit(mlp(), labelled())
    next(iter(fit))
    resumed = make_fit(mlp(), labelled(), micro_batch=4)
    resumed.restore(fit.checkpoint({}))
    assert [record.epoch for record in resumed] == [2, 3]


class Odd(nn.Module):
    """Tied weights, a buffer that no state dict has, complex numbers, and one parameter that takes no part."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.out = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.two.weight = self.one.weight
        self.turn = nn.Parameter(torch.randn(5, dtype=torch.complex64))
        self.unused = nn.Parameter(torch.randn(2))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x_BF):
        if self.training:
            self.seen += 1
        return self.out(torch.tanh(self.two(self.one(x_BF)) * self.turn.abs())) * (1 + 0.1 * self.seen)


def test_unusual_models_go_on(make_fit, labelled):
    def make(seed):
        torch.manual_seed(seed)
        return make_fit(Odd(), labelled(), labelled(seed=1), optimizer=Named("rmsprop"))

    fit = assert_resumes(make)
    tensors, _ = unpack(fit.checkpoint({}))
    assert "model.model.one.weight" in tensors
    assert "model.model.two.weight" not in tensors
    assert tensors["model.model.seen"] == 12
    resumed = make(1)
    resumed.restore(fit.checkpoint({}))
    assert resumed.model.two.weight is resumed.model.one.weight


def test_momentum_has_the_layout_of_its_weights_again(make_fit, labelled, plan):
    generator = torch.Generator().manual_seed(0)
    batches = labelled(batches=1)
    batches.batches[0] = Batch((torch.randn(16, 3, 6, 6, generator=generator),), batches.batches[0].targets)

    def make():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 3))
        return make_fit(model, batches, plan=plan(layout="channels_last"), optimizer=Named("adamw"))

    fit, resumed = make(), make()
    next(iter(fit))
    resumed.restore(fit.checkpoint({}))
    weight = resumed.model[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert resumed._parts[0].optimizers[0].state[weight]["exp_avg"].stride() == weight.stride()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 9}, r"0\.weight is torch.float32 \(8, 5\), not torch.float32 \(9, 5\)"),
        ({"optimizer": Named("adam")}, "optimizer"),
        ({"optimizer": Named("sgd", {"lr": 0.2, "momentum": 0.0})}, "optimizer"),
        ({"schedule": Named("cosine")}, "schedule"),
        ({"seed": 1}, "seed is 0, not 1"),
        ({"trial": 4}, "trial is 0, not 4"),
        ({"epochs": 5}, "epochs is 3, not 5"),
        ({"training": Training(patience=2)}, "patience is 0, not 2"),
        ({"objective": ("loss", False)}, "objective"),
        ({"precision": "fp16"}, "do not both scale the loss for fp16"),
        ({"samples": 8}, "batch_size is 16, not 8"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused_and_changes_nothing(
    make_fit, labelled, mlp, plan, weights_of, changes, message
):
    fit = make_fit(mlp(), labelled(), labelled(seed=1))
    next(iter(fit))
    data = fit.checkpoint({})
    changes = dict(changes)
    model = mlp(width=changes.pop("width", 8), seed=5)
    changes["plan"] = plan(precision=changes.pop("precision", "fp32"))
    other = make_fit(model, labelled(size=changes.pop("samples", 16)), labelled(seed=1), **changes)
    before, random = weights_of(model), torch.get_rng_state()
    with pytest.raises(StorageError, match=message) as caught:
        other.restore(data)
    assert "\n" not in str(caught.value)
    assert all(map(torch.equal, weights_of(model), before))
    assert torch.equal(torch.get_rng_state(), random)
    assert next(iter(other)).epoch == 1


@pytest.mark.parametrize(
    "make_other",
    [
        lambda: nn.Sequential(nn.Linear(5, 3, bias=False)),
        lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)),
        lambda: nn.Sequential(nn.Linear(5, 3).to(torch.bfloat16)),
        lambda: nn.ModuleDict({"0": nn.Linear(5, 3), "1": nn.Identity()})["0"],
    ],
)
def test_the_checkpoint_of_another_model_is_refused(make_fit, labelled, make_other):
    fit = make_fit(nn.Sequential(nn.Linear(5, 3)), labelled())
    next(iter(fit))
    with pytest.raises(StorageError, match="another candidate"):
        make_fit(make_other(), labelled()).restore(fit.checkpoint({}))


PART = ("norms", "scaler", "optimizers")


def changed(data, **changes):
    """Return a sound checkpoint with some of its facts replaced."""
    tensors, facts = unpack(data)
    part = {**facts["parts"]["model"], **{key: changes.pop(key) for key in PART if key in changes}}
    return pack(tensors, {**facts, "parts": {"model": part}, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"course": None},
        {"course": {"epoch": "many"}},
        {"course": {"epoch": 1, "losses": [None]}},
        {"best_epoch": []},
        {"norms": {}},
        {"scaler": 3},
        {"scaler": {"scale": 2.0}},
        {"caller": []},
        {"identity": None},
        {"extra": 1},
        {"optimizers": [None]},
        {"optimizers": [{"what": 1}]},
        {"optimizers": [{"tensor": "none"}]},
        {"optimizers": [{"mapping": [[1]]}]},
        {"optimizers": [{"mapping": []}]},
        {"optimizers": [{"mapping": [["state", {"mapping": []}], ["param_groups", []]]}]},
        {"optimizers": [{"mapping": [["state", {"mapping": [[99, {"mapping": []}]]}], ["param_groups", []]]}]},
        {"optimizers": [{"mapping": [["state", {"mapping": [[0, 3]]}], ["param_groups", []]]}]},
        {"optimizers": [{"mapping": [["state", {"mapping": []}], ["param_groups", [{"mapping": []}]]]}]},
    ],
)
def test_facts_that_no_training_left_are_refused(make_fit, labelled, mlp, changes):
    fit = make_fit(mlp(), labelled())
    next(iter(fit))
    with pytest.raises(StorageError) as caught:
        make_fit(mlp(), labelled()).restore(changed(fit.checkpoint({}), **changes))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_nothing_is_refused(make_fit, labelled, mlp):
    for data in (b"", pack({}, {}), pack({"model.weight": torch.ones(2)}, {"epoch": 1})):
        with pytest.raises(StorageError):
            make_fit(mlp(), labelled()).restore(data)


def test_an_epoch_that_was_cut_off_leaves_no_checkpoint(make_fit, labelled, mlp):
    calls = iter(range(100))

    def stop():
        if next(calls) == 6:
            raise TimedOut("time is up")

    fit = make_fit(mlp(), labelled(), stop=stop)
    with pytest.raises(TimedOut):
        list(fit)
    assert fit.epoch == 1
    with pytest.raises(AssertionError, match="epoch 2 was cut off"):
        fit.checkpoint({})


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from([torch.ones(2, 3), torch.tensor(4), torch.zeros(2, dtype=torch.complex128)])
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner, max_size=3)
    ),
)


@settings(max_examples=60)
@given(tree=trees)
def test_nested_state_comes_back_with_its_types(tree):
    tensors = {}
    node = json.loads(json.dumps(flatten(tree, "", tensors)))
    kept, _ = unpack(pack(tensors, {}))
    assert repr(unflatten(node, kept)) == repr(tree)


def test_state_that_is_no_data_is_refused():
    with pytest.raises(InputError, match="optimizer: a Linear in its state"):
        flatten({"state": [nn.Linear(1, 1)]}, "", {})


SCRIPT = """
import sys
import torch
from torch import nn
from pathlib import Path
from harness import models
from harness.data import Part, place
from harness.records import Named, Plan, TaskKind, TaskShape, table_inputs
from harness.spec import Candidate, Training
from harness.train import Fit, Supervised, Targets, pack
import numpy as np

def build():
    rng = np.random.default_rng(0)
    part = Part((rng.normal(size=(48, 5)).astype(np.float32),), rng.integers(0, 3, 48), np.arange(48))
    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=3, inputs=table_inputs(5))
    torch.manual_seed(0)
    model = models.build(Named("mlp", {"width": 16, "norm": "batch", "dropout": 0.2}), shape)
    cpu = torch.device("cpu")
    plan = Plan(device="cpu", precision="fp32", precision_ratio=1.0, precision_reason="", batch_size=16, threads=1,
                layout="contiguous", layout_reason="", data_path="resident", data_reason="")
    candidate = Candidate(Named("mlp"), Named("adamw"), Named("one_cycle"), Training())
    return Fit(Supervised(model, candidate, Targets(shape), plan),
               place(part, device=cpu, batch_size=16, seed=1, shuffle=True),
               place(part, device=cpu, batch_size=48, seed=1, shuffle=False),
               objective=("f1_macro", True), epochs=4, seed=2)

if __name__ == "__main__":
    came, left = map(Path, sys.argv[1:])
    fit = build()
    fit.restore(came.read_bytes())
    losses = [[record.epoch, record.train["loss"], record.validation["loss"]] for record in fit]
    left.write_bytes(pack(fit.best_state, {"losses": losses, "best": fit.best_epoch}))
"""


@pytest.mark.slow
def test_another_process_goes_on_the_same(tmp_path):
    script, came, left = (tmp_path / name for name in ("script.py", "came", "left"))
    script.write_text(SCRIPT)
    fit = runpy.run_path(str(script))["build"]()
    losses = []
    for record in fit:
        losses.append([record.epoch, record.train["loss"], record.validation["loss"]])
        if record.epoch == 2:
            came.write_bytes(fit.checkpoint({}))
    subprocess.run([sys.executable, str(script), str(came), str(left)], check=True, timeout=120, env=os.environ)
    state, facts = unpack(left.read_bytes())
    assert facts == {"losses": losses[2:], "best": fit.best_epoch}
    assert same(state, fit.best_state)
