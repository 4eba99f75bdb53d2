"""Projected gradient ascent (PGD): the one that training, its probe and the accuracies under PGD use.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018 (arXiv 1706.06083),
section 2.1: x ← Π(x + step·sign ∇_x L(x)), where Π is the projection onto the L∞ ball around the clean picture.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


def step_length(epsilon: float, steps: int) -> float:
    """2.5·ε/steps, as Madry et al. choose it: the end of the ball can be reached and left again."""
    return 2.5 * epsilon / steps


def ascend(
    loss: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, *, epsilon: float, step: float, steps: int
) -> Tensor:
    """Climb `loss` from `start`, within ε of `x` (L∞) and within [0, 1].

    Parameters
    ----------
    loss
        Pictures (n, 1, height, width) → a scalar to increase.
    x, start
        (n, 1, height, width): the clean pictures, and where the ascent begins.
    epsilon
        Bound on the change of each pixel.
    step
        Change of each pixel per step, before the projection.
    steps
        Number of steps, one forward and one backward pass each.

    Returns
    -------
    Tensor
        As `x`; no gradient flows through it.
    """
    point = start
    for _ in range(steps):
        point = point.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point), point)
        point = point.detach() + step * gradient.sign()
        point = torch.minimum(torch.maximum(point, x - epsilon), x + epsilon).clamp(0, 1)
    return point.detach()


def pgd(
    model: nn.Module, x: Tensor, y: Tensor, epsilon: float, steps: int, *, bfloat16: bool = False
) -> Tensor:
    """Pictures that an untargeted PGD attack from the clean pictures finds.

    Parameters
    ----------
    model
        Pictures → logits (n, classes), in evaluation mode.
    x, y
        Clean pictures (n, 1, height, width) in [0, 1], and their classes (n,).
    epsilon
        L∞ bound.
    steps
        Number of steps, each `step_length` long.
    bfloat16
        Whether the forward passes run in bfloat16 where that is safe (autocast).
    """

    def loss(point: Tensor) -> Tensor:
        with torch.autocast(point.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            logits = model(point)
        return functional.cross_entropy(logits.float(), y, reduction="sum")

    return ascend(loss, x, x, epsilon=epsilon, step=step_length(epsilon, steps), steps=steps)
