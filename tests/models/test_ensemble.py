import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch import nn

from harness.models import Ensemble
from harness.records import TaskKind, TaskShape, table_inputs


def members(outputs, count=3):
    torch.manual_seed(0)
    return [nn.Linear(5, outputs) for _ in range(count)]


def outputs_of(kind, outputs):
    """Return what an ensemble gives for 7 samples, and what its members give."""
    models, x_BF = members(outputs), torch.randn(7, 5, generator=torch.Generator().manual_seed(1)) * 4
    ensemble = Ensemble(models, TaskShape(kind=kind, outputs=outputs, inputs=table_inputs(5)))
    with torch.inference_mode():
        return ensemble(x_BF).double().numpy(), np.stack([model(x_BF).double().numpy() for model in models])


def test_the_softmax_of_its_logits_is_the_mean_of_its_members_probabilities():
    together, each = outputs_of(TaskKind.CLASSIFICATION, 4)
    np.testing.assert_allclose(softmax(together, axis=1), softmax(each, axis=2).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1.0, rtol=1e-5)


def test_one_logit_is_that_of_the_mean_probability():
    together, each = outputs_of(TaskKind.CLASSIFICATION, 1)
    assert together.shape == (7, 1)
    np.testing.assert_allclose(expit(together), expit(each).mean(axis=0), rtol=1e-5)


def test_values_are_averaged():
    together, each = outputs_of(TaskKind.REGRESSION, 1)
    np.testing.assert_allclose(together, each.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(("outputs", "logit"), [(3, 200.0), (1, 200.0), (1, -200.0)])
def test_sure_members_make_no_infinity(outputs, logit):
    class Sure(nn.Module):
        def forward(self, x_BF):
            return torch.full((len(x_BF), outputs), logit) * torch.arange(1, outputs + 1)

    shape = TaskShape(kind=TaskKind.CLASSIFICATION, outputs=outputs, inputs=table_inputs(5))
    assert torch.isfinite(Ensemble([Sure(), Sure()], shape)(torch.zeros(2, 5))).all()


def test_its_state_has_its_members_by_number():
    ensemble = Ensemble(members(2, count=2), TaskShape(kind=TaskKind.CLASSIFICATION, outputs=2, inputs=table_inputs(5)))
    names = [f"members.{n}.{name}" for n in (0, 1) for name in ("weight", "bias")]
    assert list(ensemble.state_dict()) == names
