import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from harness.plan.lean import lean

KINDS = {
    torch.optim.AdamW: {"fused": True},
    torch.optim.SGD: {"momentum": 0.9, "nesterov": True, "foreach": True},
    torch.optim.RMSprop: {"foreach": True},
    torch.optim.NAdam: {"foreach": True},
    torch.optim.Muon: {},
}


def trained(kind, model, steps, **options):
    """Return the model and its optimiser after some steps."""
    optimizer = kind([{"params": model.parameters(), "lr": 0.01}], **options)
    for step in range(steps):
        model(torch.full((4, 8), 0.1 * (step + 1))).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


@pytest.mark.parametrize(("kind", "options"), KINDS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_a_lean_optimiser_is_torchs_own_to_the_last_bit(kind, options):
    model = nn.Linear(8, 8, bias=False)
    own, theirs = (
        trained(lean(kind), copy.deepcopy(model), 5, **options),
        trained(kind, copy.deepcopy(model), 5, **options),
    )
    assert torch.equal(own[0].weight, theirs[0].weight)
    assert not torch.equal(own[0].weight, model.weight)
    assert isinstance(own[1], kind)
    assert type(own[1]).__name__ == kind.__name__
    moved = lean(kind)(model.parameters(), **options)
    moved.load_state_dict(theirs[1].state_dict())
    assert str(moved.state_dict()) == str(own[1].state_dict()) == str(theirs[1].state_dict())


def test_a_training_loads_no_compiler():
    code = """
import sys
import torch
from harness.models import build, count_flops
from harness.records import Named, TaskKind, TaskShape, table_inputs
from harness.train import build_optimizers
shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(4))
model = build(Named("mlp", {"norm": "batch"}), shape)
assert count_flops(model, (torch.zeros(1, 4),)).values["flops"] > 0
(optimizer,) = build_optimizers(Named("adamw"), model)
model(torch.zeros(2, 4)).sum().backward()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
