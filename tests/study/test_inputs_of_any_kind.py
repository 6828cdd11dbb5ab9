"""A family of three inputs, one of them of varying length, that returns a dict: planned, probed and trained."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file
from torch import nn

from harness.data import Part, TrainingData
from harness.errors import InputError
from harness.models import build, configuration, example_inputs, families, takes
from harness.models.family import FamilyConfig, family
from harness.plan import Memory, forward_of
from harness.records import Input, InputKind, Named, Outcome, Target, TaskKind, TaskShape, image_inputs
from harness.study.contract import Assignment
from harness.study.trial.building import place_training, plan_training
from harness.study.trial.gates import Gates
from harness.study.trial.probing import Prober
from harness.train import never

KINDS = (InputKind.TOKENS, InputKind.MASK, InputKind.NUMERIC)
SHAPE = TaskShape(
    kind=TaskKind.CLASSIFICATION,
    outputs=2,
    inputs=(
        Input(kind=InputKind.TOKENS, shape=(None,), dtype="int64", cardinalities=(9,)),
        Input(kind=InputKind.MASK, shape=(None,), dtype="bool"),
        Input(kind=InputKind.NUMERIC, shape=(3,)),
    ),
    target=Target(names=("no", "yes"), dtype="int64", centre=(), scale=()),
)


class Config(FamilyConfig):
    width: int = 8
    heads: int = 2
    begin: str = ""


class Reader(nn.Module):
    """Attends to the tokens that are there, and looks at the numbers beside them."""

    def __init__(self, config, shape):
        super().__init__()
        tokens, _, numeric = shape.inputs
        self.embed = nn.Embedding(tokens.cardinalities[0], config.width)
        self.attend = nn.MultiheadAttention(config.width, config.heads, batch_first=True)
        self.output = nn.Linear(config.width + numeric.sizes[0], shape.outputs)

    def forward(self, tokens_BL, mask_BL, x_BF):
        embedded = self.embed(tokens_BL)
        seen_BLD, _ = self.attend(embedded, embedded, embedded, key_padding_mask=~mask_BL, need_weights=False)
        read_BD = (seen_BLD * mask_BL[:, :, None]).sum(1) / mask_BL.sum(1, keepdim=True)
        return {"logits": self.output(torch.cat([read_BD, x_BF], 1)), "more": (read_BD, tokens_BL)}


def why_not(shape):
    return "" if tuple(each.kind for each in shape.inputs) == KINDS else "reads tokens beside numbers"


@pytest.fixture(autouse=True)
def reader(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(families, "_entries", dict(families._entries))
    decorate = family("reader", summary="", config=Config, why_not=why_not, weights=lambda config: config.begin or None)
    decorate(lambda config, shape: Reader(config, shape))


def part(samples, seed):
    """Return sequences of 3 to 7 of 9 tokens; those with token 5 in them are of class 1."""
    rng = np.random.default_rng(seed)
    mask_NL = np.arange(7) < rng.integers(3, 8, (samples, 1))
    tokens_NL = np.where(mask_NL, rng.choice([1, 2, 3, 4, 6, 7, 8], (samples, 7)), 0)
    targets = rng.integers(0, 2, samples)
    tokens_NL[targets == 1, 1] = 5
    numbers = rng.normal(size=(samples, 3)).astype(np.float32)
    return Part((tokens_NL, mask_NL, numbers), targets, np.arange(samples))


@pytest.fixture
def job_of(real):
    """Return the job of these samples."""

    def make(*overrides):
        dataset = TrainingData("tokens", SHAPE, "made up", (), {}, part(96, 0), part(32, 1))
        return replace(real.job_of(*overrides), dataset=dataset, memory=Memory())

    return make


def candidate_of(real, job, **params):
    return replace(real.assignment(job).candidate, architecture=Named("reader", params))


@pytest.fixture
def evaluate(real, monkeypatch):
    monkeypatch.setattr("harness.study.trial.probing.ENOUGH_S", 0.01)
    with real.Sampler(real.meters_for(torch.device("cpu"))) as sampler:

        def evaluate(job, candidate):
            assignment = Assignment(trial=0, seed=1, candidate=candidate, params={}, until=job.spec.budget.epochs)
            (evaluation,) = real.Evaluator(job, sampler, real.Stop()).evaluate((assignment,), real.Recorder())
            return evaluation

        yield evaluate


def plan_of(job, candidate):
    return plan_training(job, candidate, job.dataset, place_training(job, candidate, job.dataset, seed=0))


def test_it_is_planned_probed_and_trained(real, job_of, evaluate, monkeypatch):
    for name in ("threads.BUDGET_S", "precision.BUDGET_S"):
        monkeypatch.setattr(f"harness.plan.{name}", 0.02)
    monkeypatch.setattr("harness.plan.threads.SMALL_FLOPS", 0.0)
    monkeypatch.setattr("harness.plan.threads.thread_counts", lambda _most: (2, 1))
    monkeypatch.setattr("harness.plan.precision.native_precisions", lambda _device: {"bf16": ""})
    monkeypatch.setattr("harness.plan.precision.LEAST_STEPS", 1)
    monkeypatch.setattr("harness.plan.precision.SMALL_FLOPS", 0.0)
    limits = ("limits.memory_mb=100000", "limits.latency_ms=1000", "limits.train_seconds=1000")
    job = job_of("training.precision=auto", "budget.epochs=12", *limits)
    ended = evaluate(job, replace(candidate_of(real, job), optimizer=Named("adamw", {"lr": 0.05})))
    assert ended.outcome is Outcome.COMPLETE, ended.record.reason
    assert "measured" in ended.record.plan.threads_reason
    assert "bf16" in ended.record.plan.precision_reason
    for name in ("static_memory_mb", "memory_mb", "latency_ms", "epoch_s"):
        assert ended.record.predicted[name] > 0.0
    assert ended.record.figures["flops"] > 0.0
    assert ended.record.validation["accuracy"] > 0.9


def test_its_outputs_are_in_fp32_under_autocast_and_whole_numbers_stay():
    forward = forward_of(
        build(Named("reader"), SHAPE), device=torch.device("cpu"), precision="bf16", layout="contiguous"
    )
    outputs = forward(example_inputs(SHAPE, batch=2))
    assert outputs["logits"].dtype == outputs["more"][0].dtype == torch.float32
    assert outputs["more"][1].dtype == torch.int64


def test_heads_leave_no_trace_in_the_layers_and_share_no_answer(real, job_of, monkeypatch):
    compared = []

    def compare(_probe, arms, **_options):
        compared.append(tuple(arms))
        return dict.fromkeys(arms, 1.0)

    monkeypatch.setattr("harness.plan.calibration.Probe.compare", compare)
    monkeypatch.setattr("harness.plan.precision.native_precisions", lambda _device: {"bf16": ""})
    monkeypatch.setattr("harness.plan.precision.LEAST_STEPS", 1)
    monkeypatch.setattr("harness.plan.precision.SMALL_FLOPS", 0.0)
    job = job_of("training.precision=auto")
    two, again, eight = (candidate_of(real, job, heads=heads) for heads in (2, 2, 8))
    plans = [plan_of(job, each) for each in (two, again, eight)]
    assert len(compared) == 2
    keys = {Prober(job, never).key(each, plans[0]) for each in (two, again, candidate_of(real, job), eight)}
    assert len(keys) == 2, "a parameter that is left out is its default"


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_every_difference_of_a_shipped_family_shows_in_its_configuration(kind):
    plain = configuration(Named(kind))
    assert plain == configuration(Named(kind, {"width": families[kind].config().width}))
    assert plain != configuration(Named(kind, {"dropout": 0.25}))


def test_a_family_says_why_not_and_who_fits_is_named():
    images = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=image_inputs(1, 4, 4))
    of_images = ("cnn", "convnext", "mlp", "mobilenet", "resnet", "speednet", "vit")
    of_series = ("gru", "inception_time", "lite", "lstm", "rnn", "tcn", "transformer")
    classical = ("hist_gradient_boosting", "linear", "minirocket", "nearest_neighbours", "random_forest", "svm")
    fitting = ", ".join(sorted((*of_images, *of_series, *classical)))
    with pytest.raises(
        InputError, match=rf"^architecture\.reader: reads tokens beside numbers; use one of: {fitting}$"
    ):
        build(Named("reader"), images)
    wanted = (
        r"^architecture\.mlp: takes image or numeric or numeric and categorical inputs, the task has tokens and mask"
    )
    with pytest.raises(InputError, match=wanted + r" and numeric inputs; use one of: reader$"):
        build(Named("mlp"), SHAPE)
    assert "length of the task's varies" in takes(KINDS)(SHAPE)


def test_named_weights_are_loaded_for_a_real_training_alone(real, job_of, evaluate, tmp_path):
    job = job_of("limits.memory_mb=100000", "budget.epochs=1")
    missing = candidate_of(real, job, begin=str(tmp_path / "missing.safetensors"))
    plan = plan_of(job, missing)
    gates = Gates(job, never)
    gates.before_planning(missing, real.Figures())
    gates.before_training(missing, plan)
    assert math.isfinite(gates.predicted["memory_mb"])

    given = build(Named("reader"), SHAPE).state_dict()
    (tmp_path / "best").mkdir()
    save_file(
        {name: tensor for name, tensor in given.items() if "output" not in name},
        tmp_path / "best" / "model.safetensors",
    )
    candidate = replace(candidate_of(real, job, begin=str(tmp_path)), optimizer=Named("sgd", {"lr": 1e-12}))
    found = load(evaluate(job, candidate).weights)
    assert torch.equal(found["embed.weight"], given["embed.weight"])
    assert not torch.equal(found["output.weight"], given["output.weight"]), "the file does not hold it"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (None, r"cannot be loaded: .*No such file"),
        ({"other": torch.zeros(2)}, r"are another model's: it has no other"),
        ({"embed.weight": torch.zeros(2, 2)}, r"cannot be loaded: .*size mismatch"),
    ],
)
def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path, weights, message):
    from harness.models import load_weights

    file = tmp_path / "some.safetensors"
    if weights:
        save_file(weights, file)
    architecture = Named("reader", {"begin": str(file)})
    with pytest.raises(
        InputError, match=rf"^architecture\.reader: the weights in .*some\.safetensors {message}"
    ) as error:
        load_weights(architecture, build(architecture, SHAPE))
    assert "\n" not in str(error.value)
