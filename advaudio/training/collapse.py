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

    A clip counts as fooled by iterations if any iterate fools it. Radii are attacked from the largest down. What is not
    fooled within one counts as not fooled within a smaller one, which is skipped where no wide gap is left to find.

    Passes of a clip: one forward and backward for all radii, whose gradient both attacks use; for each radius that is not
    skipped one forward for the single step, at most `steps` − 1 forward and backward, and one forward. The model is left
    in evaluation mode.

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
    cudnn = torch.backends.cudnn
    tuned = cudnn.benchmark
    # The batches shrink, and cuDNN would tune itself again for every size.
    cudnn.benchmark = False
    try:
        return _widest(model, batches, sorted(epsilons, reverse=True), steps, bfloat16)
    finally:
        cudnn.benchmark = tuned


def _widest(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    radii: Sequence[float],
    steps: int,
    bfloat16: bool,
) -> SingleStepGap:
    seen = 0
    right = []
    for x, y in batches:
        seen += len(x)
        logits, gradient = _logits_and_gradient(model, x, y, bfloat16)
        rows = logits.argmax(1) == y
        right.append(_Clips(x[rows], y[rows], gradient[rows].sign()))
    reachable = [torch.ones(len(clips.y), dtype=torch.bool, device=clips.y.device) for clips in right]
    gaps: list[SingleStepGap] = []
    for epsilon in radii:
        stepped = [_one_step(model, clips, epsilon, bfloat16) for clips in right]
        single = torch.cat(stepped).cpu().numpy()
        if gaps and not far_more_often(torch.cat(reachable).cpu().numpy(), single):
            continue
        reachable = [
            _iterations(model, clips, epsilon, steps, mask, bfloat16)
            for clips, mask in zip(right, reachable, strict=True)
        ]
        iterated = torch.cat(reachable).cpu().numpy()
        one, many = (float(mask.mean()) if len(mask) else None for mask in (single, iterated))
        gaps.append(SingleStepGap(epsilon, seen, len(single), one, many, far_more_often(iterated, single)))
    return max(gaps, key=lambda gap: (gap.collapsed is True, gap.width))


@dataclass(frozen=True)
class _Clips:
    """Correctly classified ones: pictures (n, 1, height, width), labels (n,), signs of the gradient there."""

    x: Tensor
    y: Tensor
    sign: Tensor


def _one_step(model: nn.Module, clips: _Clips, epsilon: float, bfloat16: bool) -> Tensor:
    """Which clips (n,) a step of length ε fools."""
    if not len(clips.y):
        return clips.y.bool()
    return _wrong(model, (clips.x + epsilon * clips.sign).clamp(0, 1), clips.y, bfloat16)


def _iterations(
    model: nn.Module, clips: _Clips, epsilon: float, steps: int, attacked: Tensor, bfloat16: bool
) -> Tensor:
    """Which of the `attacked` clips (n,) an iterate fools."""
    live = attacked.nonzero().squeeze(1)
    fooled = attacked.clone()
    length = step_length(epsilon, steps)
    point = _inside(clips.x[live] + length * clips.sign[live], clips.x[live], epsilon)
    for _ in range(steps - 1):
        if not len(live):
            return fooled
        logits, gradient = _logits_and_gradient(model, point, clips.y[live], bfloat16)
        still = logits.argmax(1) == clips.y[live]
        live = live[still]
        point = _inside((point + length * gradient.sign())[still], clips.x[live], epsilon)
    if len(live):
        live = live[~_wrong(model, point, clips.y[live], bfloat16)]
    fooled[live] = False
    return fooled


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
