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
from benchmarks.masked_models import MASKED
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
        "same_answer_twice": True,
        "gradients_do_not_vanish": True,
        "longer_single_step_never_weaker": True,
        "iterative_beats_single_step": True,
        "more_steps_never_weaker": True,
        "unbounded_reaches_all": True,
        "random_restarts_add_little": True,
        "outside_attack_adds_little": None,
    }
    assert failed_checks(checks) == 0


@pytest.mark.parametrize("seed", range(1, 6))
def test_no_seed_of_an_honest_model_gives_a_false_alarm(seed: int) -> None:
    model, pictures, labels = trained_network(seed=seed)
    checks = masking_checks(model, pictures[:, 0].numpy(), labels.numpy(), epsilons=EPSILONS, seed=seed)
    assert failed_checks(checks) == 0, checks


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("logits × 1,000", "gradients_do_not_vanish"),
        ("quantised input", "gradients_do_not_vanish"),
        ("random output", "same_answer_twice"),
        ("saturated activation", "gradients_do_not_vanish"),
    ],
)
def test_models_masked_by_construction_are_caught(case: Case, kind: str, check: str) -> None:
    model, pictures, labels = case
    masked = MASKED[kind](model).eval()
    x = torch.from_numpy(pictures)[:, None]
    torch.manual_seed(0)
    # As accurate as before: not a broken model, but one that looks robust.
    assert (masked(x).argmax(1).numpy() == labels).mean() >= 0.9
    checks = masking_checks(masked, pictures, labels, epsilons=EPSILONS)
    assert checks[check]["passed"] is False
    if kind != "random output":
        assert checks["unbounded_reaches_all"]["passed"] is False


class Pit(nn.Module):
    """Class 1 above a score that falls to a pit 0.05 below each clip and rises again: a longer step leaps over it."""

    def forward(self, x: Tensor) -> Tensor:
        score = ((x[:, 0, 0, 0] - 0.45).abs() - 0.03) * 10
        return torch.stack([-score, score], 1)


@pytest.mark.parametrize(("clips", "expected"), [(6, True), (7, False), (40, False)])
def test_a_single_step_that_fools_fewer_when_it_is_longer_fails(clips: int, expected: bool) -> None:
    pictures = np.full((clips, 2, 2), 0.5, np.float32)
    checks = masking_checks(Pit(), pictures, np.ones(clips, np.int64), epsilons=(0.05, 0.2), steps=(5, 20))
    check = checks["longer_single_step_never_weaker"]
    assert check["single_step"] == [1, 0]
    # Six of six is what chance does once in 64 times.
    assert check["passed"] is expected
    assert checks["iterative_beats_single_step"]["passed"] is True


def test_two_of_32_clips_more_from_a_second_start_are_noise(case: Case) -> None:
    """Two clips have no gradient where they are, so only a random start fools them."""
    model = Misleading(case[0], case[1][:2], here=0.0, elsewhere=1.0)
    checks = masking_checks(model, *case[1:], epsilons=(0.2,), restarts=1)
    check = checks["random_restarts_add_little"]
    assert check["with"] - check["without"] == pytest.approx(2 / 32)
    assert check["passed"] is True
    assert checks["gradients_do_not_vanish"]["share_without_gradient"] == pytest.approx(2 / 32)


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


def beside_pia(white: list[float], black: list[float]) -> dict[str, Any]:
    """The robust model's check: white-box and black-box perturbations of the same clips."""
    strong = list(np.linspace(0.01, 0.1, len(white)))
    tables = {
        "bim_a": table(strong, white, backwards=5),
        "pia": table(strong, black, backwards=0),
        "cwa": table(strong, strong, linf=0.5),
    }
    return white_box_beats_black_box(tables)["robust"]


STRONG = list(np.linspace(0.01, 0.1, 20))
SLIGHTLY_WEAKER = [1.3 * value for value in STRONG]


def test_white_box_is_compared_where_it_does_not_fool_everything() -> None:
    check = beside_pia(STRONG, SLIGHTLY_WEAKER)
    assert check["passed"] is True
    assert check["black_box"][:3] == pytest.approx([0.1, 0.25, 0.5])
    assert all(0 < rate < 1 for rate in check["white_box"])
    assert (check["black_box_smaller"], check["white_box_smaller"]) == (0, 1)


def test_a_black_box_far_behind_gives_nothing_to_compare() -> None:
    check = beside_pia(STRONG, [20 * value for value in STRONG])
    assert check["passed"] is None
    assert check["epsilon"] == []
    assert check["white_box_smaller"] == 1
    assert beside_pia(STRONG, [INF] * 20)["passed"] is None


@pytest.mark.parametrize("white", [[INF] * 20, SLIGHTLY_WEAKER])
def test_a_black_box_that_does_better_fails_the_check(white: list[float]) -> None:
    check = beside_pia(white, STRONG)
    assert check["passed"] is False
    assert check["black_box_smaller"] == 1


def test_a_few_clips_on_which_the_black_box_does_better_are_noise() -> None:
    few = [value / 2 for value in STRONG[:6]] + SLIGHTLY_WEAKER[6:]
    assert beside_pia(STRONG, few)["passed"] is True


def test_white_box_alone_is_not_compared() -> None:
    alone = white_box_beats_black_box({"bim_a": table(STRONG, STRONG, backwards=5)})
    assert alone == {"original": {"passed": None}, "robust": {"passed": None}}
