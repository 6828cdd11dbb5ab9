"""A classifier whose logits are divided by a temperature."""

from __future__ import annotations

from torch import Tensor, nn

from harness.problems.outputs import prediction


class Tempered(nn.Module):
    """Softens (above 1) or sharpens (below 1) what a model says of classes; its order of them stays.

    Guo et al., 2017, arXiv:1706.04599. Its weights are the model's own.
    """

    def __init__(self, model: nn.Module, temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return float32 ``B x C`` logits, or ``B x 1`` of the second of two classes."""
        return prediction(self.model(*inputs)).float() / self.temperature
