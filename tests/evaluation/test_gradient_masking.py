"""An honest model passes every check; models that hide their gradients fail the one that finds them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advaudio.evaluation.fooling_curve import Array
from advaudio.evaluation.gradient_masking import failed_checks, masking_checks, white_box_beats_black_box
from tests.attacks.networks import trained_network
from tests.evaluation.test_measures import INF, table

Case = tuple[nn.Module, Array, Array]
EPSILONS = (0.02, 0.05, 0.1, 0.2)


@pytest.fixture(scope="module")
def case() -> Case:
    model, pictures, labels = trained_network()
    return model, pictures[:, 0].numpy(), labels.numpy()


def passed(checks: dict[str, dict[str, object]]) -> dict[str, object]:
    return {name: check["passed"] for name, check in checks.items()}


def test_an_honest_model_passes(case: Case) -> None:
    checks = masking_checks(*case, epsilons=EPSILONS)
    assert passed(checks) == {
        "iterative_beats_single_step": True,
        "more_steps_never_weaker": True,
        "unbounded_reaches_all": True,
        "random_restarts_add_little": True,
        "outside_attack_adds_little": None,
    }
    assert failed_checks(checks) == 0


class Steps(nn.Module):
    """Rounds the picture to a few levels, so that almost every gradient is zero."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(torch.round(x * 16) / 16)
        return logits


def test_rounding_hides_the_gradient(case: Case) -> None:
    checks = masking_checks(Steps(case[0]), *case[1:], epsilons=EPSILONS)
    assert not checks["unbounded_reaches_all"]["passed"]
    assert failed_checks(checks) >= 1


class Saturated(nn.Module):
    """Logits so large that the cross-entropy is flat in float32 at the clean pictures."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits * 1e4


def test_random_restarts_and_others_find_what_saturation_hides(case: Case) -> None:
    def strong(model: nn.Module, pictures: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        pictures = pictures.clone().requires_grad_(True)
        score = case[0](pictures)
        margin = score.gather(1, labels[:, None]).sum()
        (gradient,) = torch.autograd.grad(margin, pictures)
        return (pictures - epsilon * gradient.sign()).clamp(0, 1).detach()

    checks = masking_checks(Saturated(case[0]), *case[1:], epsilons=(0.1,), outside=strong)
    assert not checks["unbounded_reaches_all"]["passed"]
    assert checks["outside_attack_adds_little"]["passed"] is False
    assert masking_checks(*case, epsilons=(0.1,), outside=strong)["outside_attack_adds_little"]["passed"]


def test_an_outside_example_beyond_epsilon_does_not_count(case: Case) -> None:
    def cheat(model: nn.Module, pictures: Tensor, labels: Tensor, epsilon: float) -> Tensor:
        return 1 - pictures

    checks = masking_checks(*case, epsilons=(0.05,), outside=cheat)
    assert checks["outside_attack_adds_little"]["theirs"] == 0


def test_white_box_must_not_lose_to_black_box() -> None:
    strong = list(np.linspace(0.01, 0.1, 20))
    weak = [3 * value for value in strong]
    fine = white_box_beats_black_box({"bim": table(strong, strong)}, {"pia": table(weak, weak)})
    assert fine["original"]["passed"]
    assert fine["robust"]["passed"]
    hidden = white_box_beats_black_box({"bim": table(strong, [INF] * 20)}, {"pia": table(weak, weak)})
    assert hidden["original"]["passed"]
    assert not hidden["robust"]["passed"]
