"""The step's gradient against autograd of Eq. 13 in double precision, and what a step costs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from advaudio.core.settings import AdversarialSettings
from advaudio.models.pgd import ascend
from advaudio.models.registry import build_model
from advaudio.training.gradients import gradient_step

EPSILON, ALPHA = 0.05, 0.4
SETTINGS = AdversarialSettings(epsilon=EPSILON, alpha=ALPHA, steps=3)


def double_model(name: str) -> nn.Module:
    model = build_model(name, 4, (16, 16), mean=0.4, std=0.2, seed=1).double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
            nn.init.uniform_(module.weight, 0.3, 0.8)
    return model.train()


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 1, 16, 16, generator=generator, dtype=torch.float64)
    return x, torch.randint(4, (6,), generator=generator)


def loss_by_definition(logits: tuple[Tensor, ...], y: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy with smoothed targets, written out; auxiliary heads count 0.3."""
    classes = logits[0].shape[1]
    target = functional.one_hot(y, classes).double() * (1 - smoothing) + smoothing / classes
    losses = [-(target * functional.log_softmax(out, 1)).sum(1).mean() for out in logits]
    return losses[0] + 0.3 * sum(losses[1:], torch.zeros((), dtype=torch.float64))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "name", ["resnet56", "tests.training.networks:Tiny", "tests.training.networks:Auxiliary"]
)
def test_fgsm_gradient_is_that_of_equation_13(name: str, smoothing: float) -> None:
    model = double_model(name)
    x, y = batch()
    loss, correct = gradient_step(model.all_logits, "fgsm", SETTINGS, label_smoothing=smoothing)(x, y)  # type: ignore[arg-type]
    gradients = [parameter.grad.clone() for parameter in model.parameters()]  # type: ignore[union-attr]

    point = x.clone().requires_grad_()
    clean = loss_by_definition(model.all_logits(point), y, smoothing)  # type: ignore[operator]
    (slope,) = torch.autograd.grad(clean, point, retain_graph=True)
    x_adversarial = torch.clip(x + EPSILON * torch.sign(slope), 0, 1)
    attacked = loss_by_definition(model.all_logits(x_adversarial), y, smoothing)  # type: ignore[operator]
    expected_loss = ALPHA * clean + (1 - ALPHA) * attacked
    expected = torch.autograd.grad(expected_loss, list(model.parameters()))

    assert attacked > clean
    torch.testing.assert_close(loss, expected_loss.detach(), atol=1e-12, rtol=0)
    assert int(correct) == int((model.all_logits(x)[0].argmax(1) == y).sum())  # type: ignore[operator]
    for got, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("defence", "passes"), [(None, 1), ("fgsm", 2), ("fgsm_rs", 3), ("pgd", 2 + SETTINGS.steps)]
)
def test_passes_per_step(defence: str | None, passes: int) -> None:
    model = double_model("tests.training.networks:Tiny")
    x, y = batch()
    forwards: list[int] = []
    backwards: list[int] = []
    model.network.register_forward_pre_hook(lambda *_: forwards.append(1))  # type: ignore[union-attr]
    model.network.linear.register_full_backward_hook(lambda *_: backwards.append(1))  # type: ignore[union-attr]
    gradient_step(model.all_logits, defence, SETTINGS)(x, y)  # type: ignore[arg-type]
    assert (len(forwards), len(backwards)) == (passes, passes)


@pytest.mark.parametrize("defence", ["fgsm", "fgsm_rs", "pgd"])
def test_adversarial_examples_stay_in_the_ball_and_in_range(defence: str) -> None:
    model = double_model("tests.training.networks:Tiny")
    x, y = batch()
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))

    def all_logits(point: Tensor) -> tuple[Tensor, ...]:
        return (model(point),)

    gradient_step(all_logits, defence, SETTINGS)(x, y)
    last = seen[-1]
    assert (last - x).abs().max() <= EPSILON + 1e-12
    assert (last - x).abs().max() > EPSILON / 2
    assert last.min() >= 0
    assert last.max() <= 1


def test_ascent_finds_the_corner_of_a_linear_loss() -> None:
    x = torch.tensor([[0.5, 0.02, 0.5]], dtype=torch.float64)
    slope = torch.tensor([[1.0, -2.0, 0.0]], dtype=torch.float64)
    found = ascend(lambda point: (point * slope).sum(), x, x, epsilon=0.1, step=0.03, steps=5)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.0, 0.5]], dtype=torch.float64))
