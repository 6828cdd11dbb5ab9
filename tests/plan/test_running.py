import pytest
import torch
from torch import nn

from harness.errors import TooFewSamples
from harness.plan import LAYOUTS, forward_of, prepare
from harness.plan.running import tf32_arithmetic, thread_count


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_every_precision_and_layout_gives_about_the_same_outputs_in_fp32(precision, layout):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2))
    x_BCHW = torch.randn(2, 3, 6, 6)
    expected = model(x_BCHW)
    device = torch.device("cpu")
    forward = forward_of(
        prepare(model, device=device, layout=layout), device=device, precision=precision, layout=layout
    )
    outputs = forward((x_BCHW,))
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, expected, rtol=0.05, atol=0.02)


def test_autocast_sees_the_weights_of_the_moment():
    model = nn.Linear(2, 1, bias=False)
    device = torch.device("cpu")
    forward = forward_of(model, device=device, precision="bf16", layout="contiguous")
    with torch.no_grad():
        model.weight.fill_(1.0)
        assert forward((torch.ones(1, 2),)).item() == 2.0
        model.weight.fill_(2.0)
        assert forward((torch.ones(1, 2),)).item() == 4.0


def test_tables_with_categories_keep_their_integers():
    class Lookup(nn.Module):
        def forward(self, x_BF, c_BK):
            return x_BF + c_BK

    forward = forward_of(Lookup(), device=torch.device("cpu"), precision="fp32", layout="channels_last")
    assert forward((torch.ones(2, 1), torch.tensor([[1], [2]]))).tolist() == [[2.0], [3.0]]


@pytest.mark.parametrize(("precision", "rounded"), [("fp32", False), ("tf32", True), ("bf16", True)])
def test_fp32_on_cuda_means_fp32_in_products_and_convolutions(precision, rounded):
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with tf32_arithmetic(torch.device("cuda"), precision):
        assert torch.backends.cuda.matmul.allow_tf32 is rounded
        assert torch.backends.cudnn.allow_tf32 is rounded
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_settings_come_back_after_an_error():
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), thread_count(threads + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == threads


def forward_through(model):
    return forward_of(model, device=torch.device("cpu"), precision="fp32", layout="contiguous")


def test_one_sample_is_too_few_where_torch_says_so_and_nowhere_else():
    table, image = nn.BatchNorm1d(3), nn.BatchNorm2d(3)
    with pytest.raises(TooFewSamples, match="batch norm takes its statistics from at least two samples at once"):
        forward_through(table)((torch.randn(1, 3),))
    with pytest.raises(TooFewSamples):
        forward_through(image)((torch.randn(1, 3, 1, 1),))
    assert forward_through(table)((torch.randn(2, 3),)).shape == (2, 3)
    assert forward_through(image)((torch.randn(1, 3, 2, 1),)).shape == (1, 3, 2, 1)
    assert forward_through(table.eval())((torch.randn(1, 3),)).shape == (1, 3)


def test_other_errors_of_a_model_are_its_own():
    class Wrong(nn.Module):
        def forward(self, x_BF):
            raise ValueError(f"something else of {len(x_BF)}")

    class Joining(nn.BatchNorm1d):
        def forward(self, x_BF):
            return super().forward(x_BF.sum(0, keepdim=True))

    with pytest.raises(ValueError, match="something else"):
        forward_through(Wrong())((torch.randn(1, 3),))
    with pytest.raises(ValueError, match="Expected more than 1 value"):
        forward_through(Joining(3))((torch.randn(4, 3),))
