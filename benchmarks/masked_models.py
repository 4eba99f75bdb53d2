"""Models that hide their gradients by construction, each around a clean one: what the masking checks must catch.

All answer nearly as the clean model does, and are no more robust. The kinds are those of Athalye et al. 2018 (arXiv
1802.00420): gradients that vanish, shatter, or are random.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class _Around(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class LargeLogits(_Around):
    """Logits times 1,000: the cross-entropy is flat in float32."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits * 1000


class QuantisedInput(_Around):
    """Pixels rounded to 64 levels: the gradient is zero wherever there is one."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x * 63).round() / 63)
        return logits


class RandomOutput(_Around):
    """Every pass adds new noise to the logits, a tenth of their standard deviation."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits + 0.1 * logits.detach().std() * torch.randn_like(logits)


class SaturatedActivation(_Around):
    """A tanh after the logits that is flat except at the very boundary: its slope is zero in float32.

    The output reaches from −20 to 20, so that it does not look like one that is bounded by mistake.
    """

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        best_two = logits.detach().topk(2, dim=1).values
        return 20 * torch.tanh(1000 * (logits - best_two.mean(1, keepdim=True)))


class Probabilities(_Around):
    """A softmax at the end, which the checks refuse to run on."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits.softmax(1)


MASKED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "logits × 1,000": LargeLogits,
    "quantised input": QuantisedInput,
    "random output": RandomOutput,
    "saturated activation": SaturatedActivation,
    "softmax at the end": Probabilities,
}
"""Kind to what makes a masked model of a clean one (pictures (N, 1, height, width) → logits (N, classes))."""
