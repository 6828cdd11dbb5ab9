import torch
from torch import nn

from harness.train.best import Best


def test_the_kept_state_has_the_buffers_and_is_a_copy():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    best = Best(model, maximize=True)
    assert (best.epoch, best.state) == (0, {})
    best.offer(1, 0.5)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(torch.randn(4, 2))
    with torch.no_grad():
        model[0].weight.add_(1.0)
    best.offer(2, 0.4)
    assert best.epoch == 1
    best.restore()
    assert "1.running_mean" in expected
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in expected.items())


def test_equals_are_not_better():
    best = Best(nn.Linear(1, 1), maximize=False)
    for epoch, value in enumerate((3.0, 2.0, 2.0, 5.0), start=1):
        best.offer(epoch, value)
    assert (best.epoch, best.value) == (2, 2.0)
