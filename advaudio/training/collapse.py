"""Catastrophic overfitting: a network that withstands one gradient step and falls to a few smaller ones.

Wong et al., "Fast is better than free", ICLR 2020 (arXiv 2001.03994), section 5.4: accuracy under PGD drops to zero while
accuracy under FGSM rises, since the network has learnt to mislead its own one-step attack. Accuracy under PGD alone
does not tell: it is low in a network that never was robust too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from advaudio.core.paired_rates import far_more_often
from advaudio.models.pgd import step_length

COLLAPSE_STEPS = 10
COLLAPSE_CLIPS = 200


@dataclass(frozen=True)
class SingleStepGap:
    """Shares of the same clips that one step of FGSM and iterations of PGD fool, both within `epsilon` (L∞).

    Parameters
    ----------
    epsilon
        Radius.
    seen
        Number of clips looked at.
    clips
        Number of those classified correctly: what the shares are of.
    single_step
        Share that one step of length `epsilon` fools; None without clips.
    iterated
        Share that the iterations fool.
    collapsed
        Whether iterations fool 30 points more of the clips, beyond chance; None with too few clips to tell
        (`advaudio.core.paired_rates.far_more_often`).
    """

    epsilon: float
    seen: int
    clips: int
    single_step: float | None
    iterated: float | None
    collapsed: bool | None

    @property
    def width(self) -> float:
        """By how much the iterated share is the larger one; −1 without clips."""
        return -1.0 if self.iterated is None or self.single_step is None else self.iterated - self.single_step

    def accuracy_after(self, fooled: float | None) -> float:
        """Share of all clips that are right where `fooled` of the correctly classified ones are not any more."""
        return self.clips * (1 - (fooled or 0.0)) / self.seen


def single_step_gap(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    epsilons: Sequence[float],
    *,
    steps: int = COLLAPSE_STEPS,
    bfloat16: bool = False,
) -> SingleStepGap:
    """Attack with one step and with `steps`, both untargeted from the clean pictures, and return the widest gap.

    A clip counts as fooled by iterations if any iterate fools it, within the radius or a smaller one of `epsilons`. Passes
    of a clip: one forward and backward for all radii, whose gradient both attacks use; for each radius one forward for the
    single step, at most `steps` − 1 forward and backward, and one forward. The model is left in evaluation mode.

    Parameters
    ----------
    model
        Pictures (n, 1, height, width) → logits (n, classes).
    batches
        Pictures in [0, 1] and their labels (n,), on the model's device.
    epsilons
        Radii, at least one; usually the one of the training and half of it.
    steps
        Number of PGD steps, each `step_length` long.
    bfloat16
        Whether the forward passes run in bfloat16 where that is safe (autocast).
    """
    model.eval()
    radii = sorted(epsilons)
    seen = 0
    found: list[tuple[Tensor, Tensor]] = []
    cudnn = torch.backends.cudnn
    tuned = cudnn.benchmark
    # The batches shrink, and cuDNN would tune itself again for every size.
    cudnn.benchmark = False
    try:
        for x, y in batches:
            seen += len(x)
            found.append(_fooled(model, x, y, radii, steps, bfloat16))
    finally:
        cudnn.benchmark = tuned
    single, iterated = (torch.cat([pair[attack] for pair in found], dim=1).cpu().numpy() for attack in (0, 1))
    gaps = [
        SingleStepGap(
            epsilon=epsilon,
            seen=seen,
            clips=len(one),
            single_step=float(one.mean()) if len(one) else None,
            iterated=float(many.mean()) if len(one) else None,
            collapsed=far_more_often(many, one),
        )
        for epsilon, one, many in zip(radii, single, iterated, strict=True)
    ]
    return max(gaps, key=lambda gap: (gap.collapsed is True, gap.width))


def _fooled(
    model: nn.Module, x: Tensor, y: Tensor, radii: Sequence[float], steps: int, bfloat16: bool
) -> tuple[Tensor, Tensor]:
    """Whether one step and iterations fool each correctly classified clip: two of (radii, clips), bool."""
    logits, gradient = _logits_and_gradient(model, x, y, bfloat16)
    right = logits.argmax(1) == y
    x, y, sign = x[right], y[right], gradient[right].sign()
    single = torch.zeros(len(radii), len(x), dtype=torch.bool, device=x.device)
    iterated = single.clone()
    if not len(x):
        return single, iterated
    held = torch.arange(len(x), device=x.device)
    for row, epsilon in enumerate(radii):
        single[row] = _wrong(model, (x + epsilon * sign).clamp(0, 1), y, bfloat16)
        length = step_length(epsilon, steps)
        live, point = held, _inside(x[held] + length * sign[held], x[held], epsilon)
        for _ in range(steps - 1):
            if not len(live):
                break
            logits, gradient = _logits_and_gradient(model, point, y[live], bfloat16)
            still = logits.argmax(1) == y[live]
            live = live[still]
            point = _inside((point + length * gradient.sign())[still], x[live], epsilon)
        if len(live):
            live = live[~_wrong(model, point, y[live], bfloat16)]
        held = live
        iterated[row] = True
        iterated[row, held] = False
    return single, iterated


def _inside(point: Tensor, x: Tensor, epsilon: float) -> Tensor:
    return torch.minimum(torch.maximum(point, x - epsilon), x + epsilon).clamp(0, 1)


def _wrong(model: nn.Module, x: Tensor, y: Tensor, bfloat16: bool) -> Tensor:
    with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
        wrong: Tensor = model(x).argmax(1) != y
    return wrong


def _logits_and_gradient(model: nn.Module, x: Tensor, y: Tensor, bfloat16: bool) -> tuple[Tensor, Tensor]:
    point = x.detach().requires_grad_()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
        logits = model(point).float()
    (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, y, reduction="sum"), point)
    return logits.detach(), gradient
