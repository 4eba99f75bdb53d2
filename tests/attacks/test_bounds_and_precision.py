"""Attacks through Foolbox's interface on any bounds and in any precision, in the norm that they are asked for."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import foolbox
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack, Goal, Outcome, logits_and_gradient, perturbation_norm
from advaudio.attack_interface.problem import Problem
from advaudio.attack_interface.scaling import Scaling
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool, boundaries
from advaudio.attacks.jsma import Jsma
from advaudio.attacks.pia import Pia
from advaudio.core.errors import AdvaudioError
from tests.attacks.networks import Linear, trained_network

BOUNDS = [(0, 255), (-1.0, 1.0), (-80.0, 2.5)]
CLASSES, SIZE = 5, 8

ATTACKS: dict[str, Callable[[], Attack]] = {
    "bim": lambda: Bim(steps=20, precision=1.2),
    "bim_b": lambda: Bim(stop_early=False, steps=10, precision=1.2),
    "bim_l2": lambda: Bim(ball="l2", steps=20, precision=1.2),
    "jsma": lambda: Jsma(iterations=60),
    "deepfool": DeepFool,
    "deepfool_l2": lambda: DeepFool(ball="l2"),
    "cwa": lambda: CarliniWagner(search_steps=4, iterations=40, first_constant=0.1, learning_rate=0.05),
    "pia": lambda: Pia(iterations=8, samples=16),
}


@functools.cache
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A small trained network with twelve pictures of all four classes."""
    network, pictures, labels = trained_network()
    return network, pictures[:12], labels[:12]


class From(nn.Module):
    """A network for pictures in [0, 1], on pictures within other bounds."""

    def __init__(self, network: nn.Module, bounds: tuple[float, float]) -> None:
        super().__init__()
        self.network, self.bounds = network, bounds

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network((x - self.bounds[0]) / (self.bounds[1] - self.bounds[0]))
        return logits


def random_linear() -> tuple[nn.Module, Tensor, Tensor]:
    """A random linear model, pictures of noise all over [0, 1], and what the model takes them for."""
    generator = torch.Generator().manual_seed(0)
    model = Linear(torch.randn(CLASSES, SIZE * SIZE, generator=generator), torch.zeros(CLASSES)).eval()
    pictures = torch.rand(8, 1, SIZE, SIZE, generator=generator)
    return model, pictures, model(pictures).argmax(1).detach()


def scaled(pictures: Tensor, bounds: tuple[float, float]) -> Tensor:
    return (pictures * (bounds[1] - bounds[0]) + bounds[0]).clamp(*bounds)


def through_foolbox(
    attack: Attack, model: nn.Module, pictures: Tensor, labels: Tensor, bounds: Any = (0, 1)
) -> tuple[Tensor, Tensor]:
    """Adversarial pictures, and whether the model takes each for what it should."""
    criterion: Any = Misclassification(labels)
    more: dict[str, Tensor] = {}
    if attack.targeted_only:
        criterion = TargetedMisclassification((labels + 1) % CLASSES)
    if attack.needs_starting_points:
        predicted = model(pictures).argmax(1)
        rows = [(predicted == (label + 1) % CLASSES).nonzero().flatten() for label in labels.tolist()]
        nothing = torch.full_like(pictures[0], torch.nan)
        more["starting_points"] = torch.stack([pictures[row[0]] if len(row) else nothing for row in rows])
    _, adversarial, success = attack(
        foolbox.PyTorchModel(model.eval(), bounds=bounds), pictures, criterion, epsilons=None, **more
    )
    return adversarial, success


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("name", ATTACKS)
def test_other_bounds_fool_as_many_with_perturbations_scaled_by_the_range(
    name: str, bounds: tuple[float, float]
) -> None:
    model, pictures, labels = random_linear()
    attack = ATTACKS[name]()
    plain, fooled = through_foolbox(attack, model, pictures, labels)
    wide = scaled(pictures, bounds)
    other, fooled_there = through_foolbox(attack, From(model, bounds), wide, labels, bounds)
    # Half of them have a picture of their target to start from.
    assert fooled.float().mean() == (0.5 if name == "pia" else 1.0)
    assert torch.equal(fooled_there, fooled)
    assert float(other.amin()) >= bounds[0]
    assert float(other.amax()) <= bounds[1]
    norms = [perturbation_norm(a - b, attack.norm)[fooled] for a, b in ((plain, pictures), (other, wide))]
    factor = 1.0 if attack.norm == "l0" else bounds[1] - bounds[0]
    torch.testing.assert_close(norms[1].median(), norms[0].median() * factor, rtol=0.03, atol=0)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), *BOUNDS])
@pytest.mark.parametrize("ball", ["linf", "l2"])
def test_bim_fools_what_deepfool_fools_on_a_linear_model(ball: Any, bounds: tuple[float, float]) -> None:
    model, pictures, labels = random_linear()
    model, pictures = From(model, bounds), scaled(pictures, bounds)
    _, by_deepfool = through_foolbox(DeepFool(ball=ball), model, pictures, labels, bounds)
    for attack in (Bim(ball=ball), Bim(ball=ball, stop_early=False)):
        adversarial, by_bim = through_foolbox(attack, model, pictures, labels, bounds)
        assert by_deepfool.all()
        assert by_bim.all()
        deep, _ = through_foolbox(DeepFool(ball=ball), model, pictures, labels, bounds)
        norms = [perturbation_norm(x - pictures, ball).mean() for x in (adversarial, deep)]
        assert norms[0] < 1.3 * norms[1]


def test_a_limit_of_the_users_is_a_share_of_the_range() -> None:
    model, pictures, labels = random_linear()
    for bounds in ((0.0, 1.0), (0.0, 255.0)):
        adversarial, _ = through_foolbox(
            Bim(largest_epsilon=0.02), From(model, bounds), scaled(pictures, bounds), labels, bounds
        )
        size = perturbation_norm(adversarial - scaled(pictures, bounds), "linf") / bounds[1]
        assert 0.01 < float(size.amax()) <= 0.02 + 1e-6


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, float("inf")), (0.5, 0.5)])
def test_bounds_that_are_none_are_refused(bounds: tuple[float, float]) -> None:
    model, pictures, labels = random_linear()
    with pytest.raises(AdvaudioError, match="finite bounds"):
        DeepFool().search(model, pictures, Goal(labels, False), bounds=bounds)


@pytest.mark.parametrize(
    ("dtype", "bounds"), [(torch.bfloat16, (0, 1)), (torch.bfloat16, (0, 255)), (torch.float16, (0, 255))]
)
@pytest.mark.parametrize("name", ATTACKS)
def test_low_precision_fools_as_many(name: str, dtype: torch.dtype, bounds: tuple[int, int]) -> None:
    network, pictures, labels = trained()
    attack = ATTACKS[name]()
    goal_classes, start = (labels + 1) % 4, None
    criterion: Any = (
        TargetedMisclassification(goal_classes) if attack.targeted_only else Misclassification(labels)
    )
    low = From(copy.deepcopy(network), bounds).to(dtype)
    wide = scaled(pictures, bounds).to(dtype)
    right = low(wide).argmax(1) == labels
    assert right.float().mean() > 0.9
    if attack.needs_starting_points:
        start = torch.stack([wide[labels == target][0] for target in goal_classes])
    more = {} if start is None else {"starting_points": start}
    _, adversarial, success = attack(
        foolbox.PyTorchModel(low, bounds=bounds), wide, criterion, epsilons=None, **more
    )
    assert adversarial.dtype == dtype
    assert success[right].float().mean() > 0.9
    predicted = low(adversarial).argmax(1)
    hit = predicted == goal_classes if attack.targeted_only else predicted != labels
    assert torch.equal(hit, success)
    assert float(adversarial.amin()) >= bounds[0]
    assert float(adversarial.amax()) <= bounds[1]


def test_float32_pictures_in_0_1_are_searched_as_they_are() -> None:
    model, pictures, labels = random_linear()
    seen: list[Any] = []

    class Looks(DeepFool):
        def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
            seen.extend((problem.model, problem.pictures, problem.bounds))
            return super()._search(problem)

    outcome: Outcome = Looks().search(model, pictures, Goal(labels, False))
    assert seen[0] is model
    assert seen[1] is pictures
    assert seen[2] == (0.0, 1.0)
    assert outcome.found.all()


def test_jsma_leaves_what_it_does_not_change_to_the_last_bit() -> None:
    model, pictures, labels = random_linear()
    bounds = (-80.0, 0.0)
    wide = scaled(pictures, bounds)
    adversarial, success = through_foolbox(Jsma(iterations=60), From(model, bounds), wide, labels, bounds)
    assert success.all()
    changed = perturbation_norm(adversarial - wide, "l0")
    assert 0 < float(changed.median()) < SIZE * SIZE / 2


def test_a_model_that_gives_probabilities_is_refused() -> None:
    model, pictures, labels = random_linear()
    for attack in (Bim(), DeepFool(), CarliniWagner()):
        with pytest.raises(AdvaudioError, match=r"gives probabilities.*remove the softmax"):
            through_foolbox(attack, nn.Sequential(model, nn.Softmax(1)), pictures, labels)
    low = nn.Sequential(model, nn.Softmax(1)).to(torch.bfloat16)
    with pytest.raises(AdvaudioError, match="gives probabilities"):
        through_foolbox(Bim(), low, pictures.to(torch.bfloat16), labels)
    _, success = through_foolbox(
        DeepFool(), nn.Sequential(random_linear()[0], nn.LogSoftmax(1)), pictures, labels
    )
    assert success.all()


def test_pictures_in_another_precision_than_the_models_are_refused() -> None:
    model, pictures, labels = random_linear()
    with pytest.raises(AdvaudioError, match=r"The model cannot take pictures of torch.float32"):
        through_foolbox(Bim(), model.to(torch.bfloat16), pictures, labels)
    with pytest.raises(AdvaudioError, match="convert them to float32"):
        DeepFool().search(model, (pictures * 255).to(torch.uint8), Goal(labels, False), bounds=(0, 255))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_batched_backward_passes_in_low_precision_are_those_of_one_class_at_a_time(
    dtype: torch.dtype,
) -> None:
    """The GPU's way, here on the CPU."""
    network, pictures, _ = trained()
    low = From(copy.deepcopy(network), (0, 255)).to(dtype)
    scaling = Scaling(low, scaled(pictures[:2], (0, 255)).to(dtype), (0, 255))
    point = scaling.to_unit(scaling.pictures).requires_grad_(True)
    labels, others = torch.tensor([0, 3]), torch.tensor([[1, 2, 3], [0, 1, 2]])
    keep = torch.tensor([0, 1])
    one, many = (
        boundaries(scaling.unit_model(point), point, labels, others, keep, group=group) for group in (1, 2)
    )
    torch.testing.assert_close(one[1], many[1], rtol=2e-2, atol=1e-3)
    plain = pictures[:2].clone().requires_grad_(True)
    exact = boundaries(network(plain), plain, labels, others, keep, group=1)
    cosine = nn.functional.cosine_similarity(one[1].flatten(2), exact[1].flatten(2), dim=2)
    assert float(cosine.min()) > 0.95


def test_a_gradient_too_small_for_half_precision_is_not_lost() -> None:
    model = Linear(
        torch.full((2, 64), 1e-3) * torch.tensor([[1.0], [-1.0]]), torch.tensor([12.0, 0.0])
    ).half()
    pictures = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).half() * 200
    scaling = Scaling(From(model, (0, 255)), pictures, (0, 255))
    _, gradient = logits_and_gradient(
        scaling.unit_model,
        scaling.to_unit(pictures),
        lambda logits: logits.softmax(1) - torch.eye(2)[[0, 0, 0]],
    )
    probability = model(pictures / 255).detach().float().softmax(1)[:, 1]
    assert float(probability.max()) * 1e-3 / 255 < 6e-8  # nothing of it would be left
    torch.testing.assert_close(gradient.flatten(1).amin(1), -2e-3 * probability, rtol=0.02, atol=0)
