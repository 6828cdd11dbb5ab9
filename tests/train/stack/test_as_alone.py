"""A stack trains each of its members as it would be trained alone: against Fit, in float64 and in float32."""

import pytest

from harness.records import Named, TaskKind

OPTIMIZERS = [
    ("sgd", {"lr": 0.05, "momentum": 0.0}),
    ("sgd", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 1e-3}),
    ("adam", {"lr": 0.01, "weight_decay": 1e-3}),
    ("adamw", {"lr": 0.02, "beta1": 0.8, "weight_decay": 0.1}),
    ("rmsprop", {"lr": 0.003, "momentum": 0.5, "centered": True}),
    ("nadam", {}),
    ("muon", {"lr": 0.01}),
]
ACTIVATIONS = ["relu", "gelu", "silu", "tanh", "sigmoid", "elu", "leaky_relu"]
COSINE = {"schedule": Named("cosine", {"warmup_epochs": 0.5})}
ALL = {
    "schedule": Named("one_cycle"),
    "dropout_schedule": Named("coslog4"),
    "weight_decay_schedule": Named("cosine"),
}


def different(toy, **structure):
    """Return candidates of one structure that differ in all else."""
    adamw = ("adamw", {"lr": 0.02})
    return [
        *(toy.candidate(optimizer, **structure) for optimizer in OPTIMIZERS),
        *(toy.candidate(adamw, activation=name, dropout=0.1 * at, **structure) for at, name in enumerate(ACTIVATIONS)),
        toy.candidate(adamw, schedules=ALL, dropout=0.4, **structure),
        toy.candidate(adamw, schedules=COSINE, training={"clip_norm": 0.1}, **structure),
        toy.candidate(adamw, training={"l1": 1e-3, "patience": 1}, **structure),
    ]


def compare(bench, candidates, *, within, epochs=3):
    """Check every epoch of every candidate against what it is alone."""
    members = [bench.member(each, seed, epochs=epochs) for seed, each in enumerate(candidates)]
    for seed, (each, records) in enumerate(zip(candidates, bench.train_all(members), strict=True)):
        for got, wanted in zip(records, bench.alone(each, seed, epochs=epochs), strict=True):
            for part in ("train", "validation"):
                assert getattr(got, part) == pytest.approx(getattr(wanted, part), abs=within, nan_ok=True), (each, part)
            assert got.gradient_norm == pytest.approx(wanted.gradient_norm, rel=within)
            assert (got.epoch, got.learning_rate, got.note) == (wanted.epoch, wanted.learning_rate, wanted.note)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "group"])
@pytest.mark.parametrize("residual", [False, True])
def test_members_that_differ_in_all_but_structure(toy, classes, norm, residual):
    structure = {"depth": 3, "width": 20, "shape": "pyramid", "norm": norm, "residual": residual}
    compare(classes.in_float64(), different(toy, **structure)[:: 2 if residual else 1], within=1e-9, epochs=2)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("depth", [0, 1])
def test_few_layers(toy, classes, depth):
    compare(classes.in_float64(), different(toy, depth=depth)[2:4], within=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("outputs", [2, 3])
def test_losses_of_classes(toy, outputs):
    bench = toy.bench(TaskKind.CLASSIFICATION, outputs=outputs).in_float64()
    training = [{"label_smoothing": share} for share in (0.0, 0.3)]
    if outputs == 2:
        training = [{"loss": "binary", **each} for each in training]
    compare(bench, [toy.candidate(training=each) for each in training], within=1e-9)


@pytest.mark.parametrize("outputs", [2, 3])
def test_losses_of_classes_that_are_weighted(toy, outputs):
    bench = toy.bench(TaskKind.CLASSIFICATION, outputs=outputs)
    training = [{"class_weights": "balanced", "label_smoothing": share} for share in (0.0, 0.1)]
    if outputs == 2:
        training = [{"loss": "binary", **each} for each in training]
    compare(bench, [toy.candidate(("adamw", {"lr": 1e-3}), training=each) for each in training], within=1e-5)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", ["mse", "huber"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_losses_of_values(toy, loss, outputs):
    bench = toy.bench(TaskKind.REGRESSION, outputs=outputs).in_float64()
    compare(bench, [toy.candidate(training={"loss": loss}, dropout=share) for share in (0.0, 0.2)], within=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("levels", [(0.9,), (0.1, 0.4, 0.5)])
def test_losses_of_quantiles(toy, levels):
    bench = toy.bench(TaskKind.QUANTILE_REGRESSION, quantiles=levels).in_float64()
    compare(bench, [toy.candidate(dropout=share) for share in (0.0, 0.2)], within=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("numeric", ["plain", "piecewise_linear"])
def test_a_table_with_categories(toy, numeric):
    bench = toy.bench(TaskKind.CLASSIFICATION, outputs=3, categories=True).in_float64()
    compare(bench, [toy.candidate(optimizer, numeric=numeric) for optimizer in OPTIMIZERS[1:4]], within=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "options", [{"numeric": "quantile", "rare": 16}, {"numeric": "robust_clip", "one_hot": 9}], ids=str
)
def test_a_table_that_is_preprocessed(toy, options):
    bench = toy.bench(TaskKind.CLASSIFICATION, outputs=3, categories=True).in_float64()
    of = [toy.candidate(training={"preprocessing": options}, dropout=share) for share in (0.0, 0.2)]
    compare(bench, of, within=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("categories", [False, True])
def test_averages_of_weights(toy, categories):
    bench = toy.bench(TaskKind.CLASSIFICATION, outputs=3, categories=categories).in_float64()
    training = [{"ema": 0.9}, {"ema": 0.5, "patience": 1}, {"swa": 0.5}, {"swa": 0.1, "clip_norm": 0.1}]
    of = [toy.candidate(norm="layer", dropout=0.1 * at, training=each) for at, each in enumerate(training)]
    compare(bench, of, within=1e-9)
    (plain,) = bench.train_all([bench.member(toy.candidate(norm="layer"))])
    (averaged,) = bench.train_all([bench.member(of[0])])
    assert averaged[0].train == pytest.approx(plain[0].train), "the first epoch learns the same"
    assert averaged[0].validation != plain[0].validation


@pytest.mark.parametrize("kind", ["classes", "values"])
def test_in_four_bytes_metrics_agree_to_the_fifth_place(toy, request, kind):
    candidates = [toy.candidate(("adamw", {"lr": 1e-3}), norm="layer", dropout=share) for share in (0.0, 0.3)]
    compare(request.getfixturevalue(kind), candidates, within=1e-5, epochs=2)
