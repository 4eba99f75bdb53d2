"""An honest model passes every check; models that hide their gradients fail the one that finds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advaudio.core.errors import AdvaudioError
from advaudio.evaluation.gradient_masking import CHECKS, failed_checks, masking_checks
from advaudio.robustness.black_box import white_box_beats_black_box
from advaudio.robustness.fooling_curve import Array
from tests.attacks.networks import RootOfZero, trained_network
from tests.robustness.test_measures import INF, table

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
        "gradients_do_not_vanish": True,
        "iterative_beats_single_step": True,
        "more_steps_never_weaker": True,
        "unbounded_reaches_all": True,
        "random_restarts_add_little": True,
        "outside_attack_adds_little": None,
    }
    assert failed_checks(checks) == 0


def test_nothing_is_claimed_of_a_model_that_is_always_wrong(case: Case) -> None:
    network, pictures, labels = case
    checks = masking_checks(network, pictures, (labels + 1) % 4, epsilons=EPSILONS)
    assert passed(checks) == dict.fromkeys(CHECKS)
    assert failed_checks(checks) == 0


class _Scaled(torch.autograd.Function):
    """The identity, with the gradient of each picture times a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(factor)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.saved_tensors[0], None


class Misleading(nn.Module):
    """The gradient is multiplied by `here` at the clean pictures and by `elsewhere` in all other places."""

    def __init__(self, network: nn.Module, clean: Array, here: float, elsewhere: float) -> None:
        super().__init__()
        self.network, self.here, self.elsewhere = network, here, elsewhere
        self.clean = torch.from_numpy(clean)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        far = (x.detach()[:, None] - self.clean[None]).abs().flatten(2).amax(2).amin(1)
        factor = torch.where(far < 1e-6, self.here, self.elsewhere)[:, None, None, None]
        logits: Tensor = self.network(_Scaled.apply(x, factor))
        return logits


def test_gradients_that_mislead_after_one_step_are_found(case: Case) -> None:
    model = Misleading(case[0], case[1], here=1.0, elsewhere=-1.0)
    checks = masking_checks(model, *case[1:], epsilons=EPSILONS, steps=(3, 10, 40))
    assert checks["iterative_beats_single_step"]["passed"] is False
    assert checks["more_steps_never_weaker"]["passed"] is False
    assert checks["unbounded_reaches_all"]["passed"] is False


def test_a_plateau_at_the_clean_pictures_is_found(case: Case) -> None:
    model = Misleading(case[0], case[1], here=0.0, elsewhere=1.0)
    checks = masking_checks(model, *case[1:], epsilons=EPSILONS)
    assert checks["gradients_do_not_vanish"]["passed"] is False
    assert checks["gradients_do_not_vanish"]["share_without_gradient"] == 1
    assert checks["random_restarts_add_little"]["passed"] is False


def test_gradients_that_are_no_numbers_are_refused(case: Case) -> None:
    with pytest.raises(AdvaudioError, match="gradients that are not finite"):
        masking_checks(RootOfZero(case[0]), *case[1:], epsilons=EPSILONS)


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

    def pair(white: list[float], black: list[float]) -> dict[str, Any]:
        return white_box_beats_black_box(
            {
                "bim_a": table(strong, white, backwards=5),
                "pia": table(weak, black, backwards=0),
                "cwa": table(strong, strong, linf=0.5),
            }
        )

    assert {model: check["passed"] for model, check in pair(strong, weak).items()} == {
        "original": True,
        "robust": True,
    }
    hidden = pair([INF] * 20, weak)
    assert hidden["original"]["passed"] is True
    assert hidden["robust"]["passed"] is False
    assert hidden["robust"]["black_box"] == pytest.approx([0.25, 0.5, 0.75])
    alone = white_box_beats_black_box({"bim_a": table(strong, strong, backwards=5)})
    assert alone == {"original": {"passed": None}, "robust": {"passed": None}}
