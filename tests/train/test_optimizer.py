import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from harness.errors import InputError
from harness.records import Named
from harness.train import build_optimizers, optimizers, state_per_parameter, validate_optimizer
from harness.train.muon import COEFFICIENTS, EPSILON, STEPS, Muon, orthogonal
from harness.train.optimizer import Place, implementation

ADAM = {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6, "foreach": False}
TORCH = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, foreach=False),
    "adam": partial(torch.optim.Adam, **ADAM),
    "adamw": partial(torch.optim.AdamW, **ADAM),
    "nadam": partial(torch.optim.NAdam, **ADAM, momentum_decay=0.01, decoupled_weight_decay=True),
    "radam": partial(torch.optim.RAdam, **ADAM, decoupled_weight_decay=True),
    "adagrad": partial(torch.optim.Adagrad, lr=0.01, lr_decay=0.1, eps=1e-6, foreach=False),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.01, alpha=0.9, momentum=0.5, centered=True, foreach=False),
    "muon": partial(torch.optim.Muon, lr=0.01, momentum=0.8, nesterov=True, adjust_lr_fn="match_rms_adamw"),
}
OURS = {"lr": 0.01, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.1}
PARAMS = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    "adam": OURS,
    "adamw": OURS,
    "nadam": {**OURS, "momentum_decay": 0.01},
    "radam": OURS,
    "adagrad": {"lr": 0.01, "lr_decay": 0.1, "eps": 1e-6, "weight_decay": 0.1},
    "rmsprop": {"lr": 0.01, "alpha": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1},
    "muon": {**OURS, "momentum": 0.8},
}


def model_with_norm() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2)).double()


def train(model: nn.Module, *optimizers: torch.optim.Optimizer, steps: int = 8) -> list[torch.Tensor]:
    x_BF = torch.linspace(-1, 1, 32, dtype=torch.float64).reshape(8, 4)
    for _ in range(steps):
        model.zero_grad()
        model(x_BF).square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


@pytest.mark.parametrize("name", optimizers)
def test_every_optimizer_follows_torchs_plain_implementation_with_biases_and_norms_undecayed(name, monkeypatch):
    ours, theirs = model_with_norm(), model_with_norm()
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    rest = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    if name == "muon":  # which takes matrices alone, and whose products torch has in bfloat16
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
        expected = train(theirs, TORCH["muon"](groups[:1]), TORCH["adamw"](groups[1:]))
    else:
        expected = train(theirs, TORCH[name](groups))
    got = train(ours, *build_optimizers(Named(name, PARAMS[name]), ours))
    # torch keeps products of NAdam's momenta in fp32; a bias in front of a batch norm has a gradient of rounding alone.
    bound = {"nadam": 1e-7, "muon": 1e-9}.get(name, 1e-10)
    torch.testing.assert_close(got, expected, rtol=bound, atol=1e-12)


class Grouped(nn.Module):
    """Some of its parts learn otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.first = nn.Linear(3, 4)
        self.rest = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))

    def learning_factors(self):
        return {"rest.1": (3.0, 0.5), "scale": (6.0, 1.0), "first.bias": (0.1, 0.0), "rest": (2.0, 0.0)}


@pytest.mark.parametrize("name", optimizers)
def test_a_module_says_by_which_factors_its_parts_learn_and_decay(name):
    model = Grouped()
    built = build_optimizers(Named(name, {"lr": 0.1, "weight_decay": 0.2}), model)
    names = {id(parameter): each for each, parameter in model.named_parameters()}
    found = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for optimizer in built
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found == {
        "first.weight": pytest.approx((0.1, 0.2)),
        "first.bias": pytest.approx((0.01, 0.0)),
        "scale": pytest.approx((0.6, 0.0)),  # as a norm's, it does not decay whatever its factor
        "rest.0.weight": pytest.approx((0.2, 0.0)),
        "rest.0.bias": pytest.approx((0.2, 0.0)),
        "rest.1.weight": pytest.approx((0.3, 0.1)),
        "rest.1.bias": pytest.approx((0.3, 0.0)),
    }
    assert built[0].param_groups[0]["lr"] == 0.1


def test_a_factor_for_a_part_that_is_not_there_is_refused():
    model = Grouped()
    model.learning_factors = lambda: {"res": (1.0, 2.0)}
    with pytest.raises(InputError, match="learning_factors: the model has no parameter 'res'"):
        build_optimizers(Named("sgd"), model)


def test_muon_leaves_embeddings_and_convolutions_to_adamw():
    model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 3), nn.Conv2d(1, 1, 2))
    muon, adamw = build_optimizers(Named("muon"), model)
    assert shapes(muon, adamw) == [[(3, 2)], [(5, 2), (1, 1, 2, 2), (3,), (1,)]]
    (only,) = build_optimizers(Named("muon"), nn.Linear(2, 2, bias=False))
    assert isinstance(only, Muon)
    (only,) = build_optimizers(Named("muon"), nn.Conv2d(1, 1, 2))
    assert isinstance(only, torch.optim.AdamW)


def test_muon_takes_kernels_of_convolutions_where_it_is_asked_to_but_not_those_of_channels_apart():
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Conv2d(4, 8, 3, bias=False), nn.Conv2d(8, 8, 3, groups=8, bias=False))
    muon, adamw = build_optimizers(Named("muon", {"convolutions": True}), model)
    assert shapes(muon, adamw) == [[(4, 2, 3), (8, 4, 3, 3)], [(8, 1, 3, 3), (4,)]]


def test_muon_steps_a_kernel_as_the_matrix_of_its_outputs_whatever_its_layout():
    torch.manual_seed(0)
    kernel, options = nn.Conv2d(3, 6, 2, bias=False), {"lr": 0.1, "convolutions": True}
    flat, last = nn.Linear(12, 6, bias=False), copy.deepcopy(kernel).to(memory_format=torch.channels_last)
    flat.weight.data = kernel.weight.data.flatten(1).clone()
    built = [build_optimizers(Named("muon", options), model)[0] for model in (kernel, flat, last)]
    for _ in range(3):
        gradient = torch.randn(6, 3, 2, 2)
        kernel.weight.grad, flat.weight.grad = gradient, gradient.flatten(1)
        last.weight.grad = gradient.to(memory_format=torch.channels_last)
        for optimizer in built:
            optimizer.step()
    torch.testing.assert_close(kernel.weight.flatten(1), flat.weight, rtol=0, atol=0)
    torch.testing.assert_close(last.weight, kernel.weight)


def shapes(*built):
    return [[tuple(p.shape) for group in each.param_groups for p in group["params"]] for each in built]


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (5, 5), (1, 4)], ids=str)
def test_muon_steps_along_the_singular_vectors_of_the_gradient(shape):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(shape))
    (muon,) = build_optimizers(
        Named("muon", {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.0}), nn.ParameterList([weight])
    )
    weight.grad = torch.randn(shape)
    left, _, right = torch.linalg.svd(weight.grad.double(), full_matrices=False)
    muon.step()
    step = left.T @ (-weight.detach().double()) @ right.T / (0.5 * 0.2 * max(shape) ** 0.5)
    sizes = step.diagonal()
    torch.testing.assert_close(step, sizes.diag(), atol=1e-5, rtol=0)
    assert ((sizes > 0.3) & (sizes < 1.3)).all()


@pytest.mark.parametrize("rank", [0, 3, 24])
@pytest.mark.parametrize("shape", [(24, 48), (24, 216), (216, 24), (24, 30)], ids=str)
def test_muon_gives_a_long_matrix_by_its_gram_matrix_what_the_iteration_gives(shape, rank):
    rows, columns = shape
    generator = torch.Generator().manual_seed(rank)
    left, right = torch.randn(rows, rank, generator=generator), torch.randn(rank, columns, generator=generator)
    matrix = left @ right + 1e-4 * torch.randn(shape, generator=generator) * bool(rank)
    a, b, c = COEFFICIENTS
    expected = matrix.double() / matrix.double().norm().clamp(min=EPSILON)
    for _ in range(STEPS):
        gram = expected @ expected.T
        expected = a * expected + (b * gram + c * gram @ gram) @ expected
    torch.testing.assert_close(orthogonal(matrix).double(), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize(("name", "numbers"), [("sgd", 1), ("adamw", 2), ("adagrad", 1), ("muon", 1), ("nadam", 2)])
def test_what_an_optimizer_keeps_of_each_weight_is_seen_without_a_draw(name, numbers):
    before = torch.get_rng_state()
    assert state_per_parameter(Named(name)) == numbers
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_gradient_adamw_shrinks_weights_by_rate_times_decay_and_nothing_else():
    model = nn.Sequential(
        nn.Linear(3, 4), nn.LayerNorm([2, 2]), nn.Embedding(5, 2), nn.Conv2d(1, 1, 2), nn.GroupNorm(1, 4)
    )
    before = [p.detach().clone() for p in model.parameters()]
    (optimizer,) = build_optimizers(Named("adamw", {"lr": 0.1, "weight_decay": 0.5}), model)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    weights = {"0.weight", "2.weight", "3.weight"}  # linear, embedding, convolution; not the 2 x 2 layer norm
    for (name, now), then in zip(model.named_parameters(), before, strict=True):
        torch.testing.assert_close(now.detach(), then * (0.95 if name in weights else 1.0))


def test_frozen_parameters_are_left_out():
    model = nn.Linear(2, 2)
    model.bias.requires_grad = False
    (optimizer,) = build_optimizers(Named("adamw"), model)
    assert [p.shape for group in optimizer.param_groups for p in group["params"]] == [(2, 2)]


def test_nesterov_without_momentum_is_plain_gradient_descent():
    ours, theirs = model_with_norm(), model_with_norm()
    got = train(ours, *build_optimizers(Named("sgd", {"lr": 0.1, "momentum": 0.0, "nesterov": True}), ours))
    assert all(map(torch.equal, got, train(theirs, torch.optim.SGD(theirs.parameters(), lr=0.1, fused=True))))


@pytest.mark.parametrize(
    ("name", "keyword"),
    [
        *((name, "fused") for name in ("sgd", "adam", "adamw", "adagrad")),
        *((name, "foreach") for name in ("rmsprop", "nadam", "radam")),
    ],
)
def test_the_fastest_implementation_of_the_device_is_used(name, keyword):
    (optimizer,) = build_optimizers(Named(name), nn.Linear(2, 2))
    assert optimizer.defaults[keyword] is True


@pytest.fixture
def unwritten_memory_is_nan():
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty returns
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("unwritten_memory_is_nan")
@pytest.mark.parametrize("name", optimizers)
def test_steps_that_a_scaler_skips_for_overflow_leave_nothing_behind(name):
    def trained(*factors: float) -> list[torch.Tensor]:
        model = model_with_norm().float()
        optimizers = build_optimizers(Named(name, PARAMS[name]), model, scaled=True)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)  # powers of two, which round nothing
        x_BF = torch.linspace(-1, 1, 32).reshape(8, 4)
        for factor in factors:
            model.zero_grad()
            scaler.scale(model(x_BF).square().mean() * factor).backward()
            for optimizer in optimizers:
                scaler.unscale_(optimizer)
                scaler.step(optimizer)
            scaler.update()
        return [parameter.detach() for parameter in model.parameters()]

    assert all(map(torch.equal, trained(math.inf, 1.0, 1.0, math.inf, 1.0), trained(1.0, 1.0, 1.0)))


def test_on_mps_no_fused_step_is_told_of_overflows():
    places = [Place(torch.device(name), scaled=True) for name in ("mps", "cpu")]
    assert [implementation(torch.optim.AdamW, place) for place in places] == [{"foreach": True}, {"fused": True}]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (Named("adamm"), r"unknown optimizer 'adamm'; did you mean 'adam'\?"),
        (Named("sgd", {"momentun": 0.9}), r"optimizer\.sgd\.momentun: unknown key; did you mean 'momentum'\?"),
        (Named("sgd", {"momentum": 1.5}), r"optimizer\.sgd\.momentum: .*less than 1, got 1\.5"),
        (Named("adam", {"lr": 0.0}), r"optimizer\.adam\.lr: .*greater than 0, got 0\.0"),
        (Named("adam", {"lr": float("nan")}), r"optimizer\.adam\.lr: "),
        (Named("rmsprop", {"lr": "fast"}), r"optimizer\.rmsprop\.lr: .*got 'fast'"),
        (Named("adamw", {"weight_decay": True}), r"optimizer\.adamw\.weight_decay: .*got True"),
    ],
)
def test_a_wrong_name_or_parameter_is_refused_with_its_key_path(named, message):
    with pytest.raises(InputError, match=message):
        validate_optimizer(named)


def test_defaults_and_whole_numbers_are_accepted():
    for name in optimizers:
        validate_optimizer(Named(name))
    validate_optimizer(Named("sgd", {"lr": 1, "weight_decay": 0}))


RULES = [(name, rule) for name in optimizers for rule in optimizers[name].idle]


@pytest.mark.parametrize(("name", "rule"), RULES)
@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_what_is_said_to_do_nothing_does_nothing_and_something_beyond(name, rule, beyond):
    deciding = {param: limit + beyond for param, limit in rule.where.items()}
    for param in rule.names:
        models = [model_with_norm(), model_with_norm()]
        ends = [
            train(model, *build_optimizers(Named(name, {**deciding, param: value}), model))
            for model, value in zip(models, (True, False), strict=True)
        ]
        assert all(map(torch.equal, *ends)) == (beyond == 0.0)
