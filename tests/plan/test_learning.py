"""A precision is taken only if a model learns as well in it: the same few steps in fp32 beside it."""

import math
import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness import plan as planning
from harness.data import Batch
from harness.plan import Loss, Memory
from harness.plan.learning import STEPS, Lesson
from harness.plan.precision import LEAST_STEPS

make_plan = partial(planning.make_plan, steps=LEAST_STEPS)

MSE = Loss("mse", lambda outputs, targets: F.mse_loss(outputs.squeeze(1), targets))


def contiguous(_precision):
    return "contiguous"


class Sums:
    """Batches whose targets are the sums of their inputs."""

    path, reason = "resident", "it fits"
    samples, batch_size = 96, 32

    def __init__(self):
        x_NF = torch.randn(96, 6, generator=torch.Generator().manual_seed(0))
        self.batches = [Batch((x_BF,), x_BF.sum(1)) for x_BF in x_NF.split(32)]

    def __len__(self):
        return 3

    def epoch(self, number):
        assert number == 1
        return iter(self.batches)


class Offset(nn.Linear):
    """Adds a large number and takes it away again: all is well in fp32, and in bf16 little is left of the input."""

    def forward(self, x_BF):
        return super().forward(x_BF + 3000.0) - super().forward(torch.full_like(x_BF, 3000.0))


class Overflow(nn.Linear):
    """Passes numbers along that only fp16 cannot hold."""

    def forward(self, x_BF):
        return super().forward(x_BF * 2.0**20) * 2.0**-20


def plain():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))


def numbers(reason):
    loss, reference = re.search(r"([\d.e-]+|nan|inf) against ([\d.e-]+)", reason).groups()
    return float(loss), float(reference)


@pytest.fixture
def lesson(cpu):
    return lambda make_model, **options: Lesson(make_model, Sums(), MSE, device=cpu, layout_of=contiguous, **options)


def test_a_faster_precision_that_learns_as_well_is_taken_and_says_so(native, clock, cpu):
    native("bf16")
    clock(fp32=1.8, bf16=1.0)
    plan = make_plan(plain, Sums(), device=cpu, memory=Memory(), loss=MSE)
    assert (plan.precision, plan.precision_ratio) == ("bf16", 1.8)
    assert plan.precision_reason.startswith("bf16 measured 1.80x fp32, loss after 30 steps ")
    loss, reference = numbers(plan.precision_reason)
    assert loss == pytest.approx(reference, rel=0.02)


def test_a_faster_precision_that_hurts_the_loss_is_refused_with_the_numbers(native, clock, cpu):
    native("bf16")
    clock(fp32=1.9, bf16=1.0)
    plan = make_plan(lambda: Offset(6, 1), Sums(), device=cpu, memory=Memory(), loss=MSE)
    assert (plan.precision, plan.precision_ratio) == ("fp32", 1.0)
    assert plan.precision_reason.startswith("fp32: bf16 was 1.90x but hurt the loss (")
    assert plan.precision_reason.endswith(" after 30 steps)")
    loss, reference = numbers(plan.precision_reason)
    assert loss > 1.02 * reference


def test_after_a_refusal_the_next_faster_precision_is_tried(native, clock, cpu):
    native("bf16", "fp16")
    clock(fp32=3.0, bf16=2.0, fp16=1.0)
    plan = make_plan(lambda: Overflow(6, 1), Sums(), device=cpu, memory=Memory(), loss=MSE)
    assert (plan.precision, plan.precision_ratio) == ("bf16", 1.5)
    assert plan.precision_reason.startswith("bf16 measured 1.50x fp32, loss after 30 steps ")
    assert "; fp16 was 3.00x but hurt the loss (" in plan.precision_reason


def test_the_verdict_is_remembered_by_the_name_of_the_loss(native, clock, cpu):
    native("bf16")
    compared = clock(fp32=2.0, bf16=1.0)
    for loss in (MSE, MSE, Loss("huber", lambda outputs, targets: F.huber_loss(outputs.squeeze(1), targets))):
        make_plan(plain, Sums(), device=cpu, memory=Memory(), loss=loss)
    assert compared == [("fp32", "bf16")] * 2


def test_comparing_losses_leaves_the_random_generator_and_the_batches_alone(native, clock, cpu):
    native("bf16")
    clock(fp32=2.0, bf16=1.0)
    batches = Sums()
    before = [batch.inputs[0].clone() for batch in batches.batches]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    make_plan(plain, batches, device=cpu, memory=Memory(), loss=MSE)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(batch.inputs[0], x) for batch, x in zip(batches.batches, before, strict=True))


def test_fp32_against_itself_has_the_same_loss_to_the_last_bit(lesson):
    verdict = lesson(plain).judge("fp32")
    assert verdict.loss == verdict.reference
    assert not verdict.hurt


def test_the_loss_falls_as_in_a_training_by_hand(lesson):
    def make_model():
        model = nn.Linear(6, 1)
        nn.init.zeros_(model.weight)
        nn.init.zeros_(model.bias)
        return model

    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for step in range(STEPS):
        batch = Sums().batches[step % 3]
        loss = F.mse_loss(model(*batch.inputs).squeeze(1), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    verdict = lesson(make_model).judge("fp32")
    assert verdict.reference == pytest.approx(sum(losses[21:]) / 9, rel=1e-6)
    assert verdict.reference < sum(losses[:9]) / 9


def test_what_diverges_in_fp32_too_shows_nothing_to_be_harmless(lesson):
    class Exploding(nn.Linear):
        def forward(self, x_BF):
            return super().forward(x_BF) * math.inf

    assert lesson(lambda: Exploding(6, 1)).judge("bf16").hurt


def test_the_order_of_the_batches_alone_shows_next_to_nothing(cpu):
    def make_model():
        return nn.Linear(6, 1)

    class Reversed(Sums):
        def __init__(self):
            super().__init__()
            self.batches.reverse()

    lessons = (Lesson(make_model, data, MSE, device=cpu, layout_of=contiguous) for data in (Sums(), Reversed()))
    first, second = (lesson.judge("fp32") for lesson in lessons)
    assert first.reference == pytest.approx(second.reference, rel=0.01)


def test_of_every_batch_only_a_micro_batch_is_used(lesson):
    seen = []

    class Counting(nn.Linear):
        def forward(self, x_BF):
            seen.append(len(x_BF))
            return super().forward(x_BF)

    lesson(lambda: Counting(6, 1), micro_batch=8).judge("bf16")
    assert seen == [8] * STEPS * 2


def test_a_verdict_is_of_its_data_and_no_other(native, clock, cpu):
    native("bf16")
    clock(fp32=2.0, bf16=1.0)

    class Larger(Sums):
        """The same shapes, and targets ten times as large."""

        def __init__(self):
            super().__init__()
            self.batches = [Batch(batch.inputs, 10.0 * batch.targets) for batch in self.batches]

    said = {
        data: make_plan(plain, batches, device=cpu, memory=Memory(), loss=MSE, data=data).precision_reason
        for data, batches in (("small", Sums()), ("large", Larger()))
    }
    (_, small), (_, large) = (numbers(reason) for reason in said.values())
    assert large > 50 * small
    again = make_plan(plain, Larger(), device=cpu, memory=Memory(), loss=MSE, data="small")
    assert again.precision_reason == said["small"], "what is told to be the same data is not looked at again"


def test_the_layout_is_timed_once_for_any_data(images, cnn, clock, cpu):
    compared = clock(contiguous=1.0, channels_last=2.0)
    flat = Loss("mse", lambda outputs, targets: F.mse_loss(outputs[:, 0], targets))
    for data in ("one", "other"):
        make_plan(cnn, images, device=cpu, memory=Memory(), loss=flat, data=data)
    assert compared == [("contiguous", "channels_last")]
