"""One step's gradient: of the clean loss, or of Eq. 13 with adversarial examples made for it.

Eq. 13 of the paper: J̃ = α·J(θ, x, y) + (1 − α)·J(θ, x_adv, y), with
x_adv = clip(x + ε·sign(∇_x J(θ, x, y)), 0, 1) for `fgsm` (Goodfellow et al., "Explaining and Harnessing
Adversarial Examples", ICLR 2015), a random start and one step for `fgsm_rs` (Wong et al., "Fast is better
than free", ICLR 2020), k projected steps for `pgd` (Madry et al., ICLR 2018). Adversarial examples are
constants: no gradient flows through their making.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from advaudio.core.settings import AdversarialSettings
from advaudio.models.pgd import ascend, step_length

AUXILIARY_WEIGHT = 0.3

AllLogits = Callable[[Tensor], tuple[Tensor, ...]]
GradientStep = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def training_loss(logits: tuple[Tensor, ...], y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """J: the mean cross-entropy, plus 0.3 of each auxiliary head's (Szegedy et al., 2015)."""
    losses = [
        functional.cross_entropy(
            out.float() if out.dtype == torch.bfloat16 else out, y, label_smoothing=label_smoothing
        )
        for out in logits
    ]
    return losses[0] + AUXILIARY_WEIGHT * sum(losses[1:], torch.zeros_like(losses[0]))


def gradient_step(
    all_logits: AllLogits,
    defence: str | None,
    adversarial: AdversarialSettings,
    *,
    label_smoothing: float = 0.0,
    bfloat16: bool = False,
) -> GradientStep:
    """A function (x, y) → (loss, correct) that adds the gradient of J or J̃ to the parameters' `.grad`.

    `loss` is the mean over the batch, `correct` the number of clean pictures classified correctly; both are
    detached scalars on the device. Passes per step, forward and backward each: clean 1, `fgsm` 2 (the
    input gradient comes from the clean pass's own backward), `fgsm_rs` 3, `pgd` 2 + steps.

    Parameters
    ----------
    all_logits
        x (n, 1, H, W) → the logits, followed by those of auxiliary heads.
    defence
        None, `fgsm`, `fgsm_rs` or `pgd`.
    adversarial
        ε, α and the number of steps.
    label_smoothing
        Label smoothing of the cross-entropy.
    bfloat16
        Whether the forward passes run in bfloat16 where that is safe (autocast).
    """

    def loss_of(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            logits = all_logits(x)
        loss = training_loss(logits, y, label_smoothing)
        return loss, (logits[0].detach().argmax(1) == y).sum()

    def clean(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss, correct = loss_of(x, y)
        loss.backward()
        return loss.detach(), correct

    epsilon, alpha, steps = adversarial.epsilon, adversarial.alpha, adversarial.steps

    def fgsm(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        clean_loss, correct = loss_of(x, y)
        (alpha * clean_loss).backward()
        assert x.grad is not None
        x_adversarial = (x.detach() + epsilon * x.grad.sign()).clamp(0, 1)
        adversarial_loss, _ = loss_of(x_adversarial, y)
        ((1 - alpha) * adversarial_loss).backward()
        return (alpha * clean_loss + (1 - alpha) * adversarial_loss).detach(), correct

    def from_random_start(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        count, length = (1, 1.25 * epsilon) if defence == "fgsm_rs" else (steps, step_length(epsilon, steps))
        clean_loss, correct = loss_of(x, y)
        (alpha * clean_loss).backward()
        start = (x + epsilon * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
        x_adversarial = ascend(
            lambda z: loss_of(z, y)[0], x, start, epsilon=epsilon, step=length, steps=count
        )
        adversarial_loss, _ = loss_of(x_adversarial, y)
        ((1 - alpha) * adversarial_loss).backward()
        return (alpha * clean_loss + (1 - alpha) * adversarial_loss).detach(), correct

    if defence is None:
        return clean
    return fgsm if defence == "fgsm" else from_random_start
