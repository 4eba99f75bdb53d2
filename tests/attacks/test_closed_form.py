"""Linear models, where the smallest perturbation is known, and brute force over all pairs of features."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advaudio.attack_interface.problem import Goal, Problem
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool
from advaudio.attacks.jsma import restore, saliency_step
from tests.attacks.networks import Linear, linear_case


def smallest_norms(model: Linear, pictures: Tensor, labels: Tensor, order: float) -> np.ndarray:
    """Distance to the nearest boundary, float64, by Hölder (no bound of the picture is reached)."""
    weight, bias = model.weight.detach().double().numpy(), model.bias.detach().double().numpy()
    flat = pictures.flatten(1).double().numpy()
    dual = {2.0: 2.0, np.inf: 1.0}[order]
    logits = flat @ weight.T + bias
    distances = []
    for row, label in enumerate(labels.tolist()):
        others = [k for k in range(len(bias)) if k != label]
        gaps = logits[row, label] - logits[row, others]
        distances.append((gaps / np.linalg.norm(weight[others] - weight[label], ord=dual, axis=1)).min())
    return np.array(distances)


def found_norms(adversarial: Tensor, pictures: Tensor, order: float) -> np.ndarray:
    difference = (adversarial.double() - pictures.double()).flatten(1)
    return np.linalg.norm(difference.numpy(), ord=order, axis=1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("ball", "order"), [("linf", np.inf), ("l2", 2.0)])
def test_deepfool_finds_the_nearest_boundary_within_1_percent(seed: int, ball: str, order: float) -> None:
    model, pictures, labels = linear_case(seed)
    outcome = DeepFool(ball=ball).search(model, pictures, Goal(labels, False))  # type: ignore[arg-type]
    best = smallest_norms(model, pictures, labels, order)
    inside = np.abs((outcome.adversarial - 0.5).flatten(1).numpy()).max(1) < 0.5
    norms = found_norms(outcome.adversarial, pictures, order)
    assert outcome.found.all()
    assert inside.sum() > 10
    assert (norms >= best * (1 - 1e-4)).all()
    np.testing.assert_array_less(norms[inside], best[inside] * 1.01 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_deepfool_counts_only_what_the_bounds_leave_free(seed: int) -> None:
    model, pictures, _ = linear_case(seed, classes=3)
    pictures = torch.where(
        torch.rand(pictures.shape, generator=torch.Generator().manual_seed(seed)) < 0.5, 0.0, 0.9
    )
    labels = model(pictures).argmax(1)
    outcome = DeepFool().search(model, pictures, Goal(labels, False))
    weight = model.weight.detach().numpy()
    flat, logits = pictures.flatten(1).numpy(), model(pictures).detach().numpy()
    norms = found_norms(outcome.adversarial, pictures, np.inf)
    for row, label in enumerate(labels.tolist()):
        smallest = np.inf
        for other in set(range(3)) - {label}:
            slope, gap = weight[other] - weight[label], logits[row, label] - logits[row, other]
            for epsilon in np.linspace(0, 1, 2001):
                moved = np.clip(flat[row] + epsilon * np.sign(slope), 0, 1)
                if (moved - flat[row]) @ slope >= gap:
                    smallest = min(smallest, epsilon)
                    break
        if np.isfinite(smallest):
            assert outcome.found[row]
            assert norms[row] <= smallest * 1.1 + 1e-3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("targeted", [False, True])
def test_carlini_wagner_comes_within_5_percent(seed: int, targeted: bool) -> None:
    model, pictures, labels = linear_case(seed, samples=12, classes=2 if targeted else 5)
    goal = Goal(1 - labels, True) if targeted else Goal(labels, False)
    # Adam's first steps would leap over the nearest boundaries: some are thousandths away.
    outcome = CarliniWagner(iterations=300, learning_rate=0.05).search(model, pictures, goal)
    best = smallest_norms(model, pictures, labels, 2.0)
    norms = found_norms(outcome.adversarial, pictures, 2.0)
    inside = np.abs((outcome.adversarial - 0.5).flatten(1).numpy()).max(1) < 0.45
    assert outcome.found.all()
    assert inside.sum() > 4
    assert (norms >= best * (1 - 1e-4)).all()
    np.testing.assert_array_less(norms[inside], best[inside] * 1.05)


@pytest.mark.parametrize("stop_early", [True, False])
@pytest.mark.parametrize(("ball", "order"), [("linf", np.inf), ("l2", 2.0)])
@pytest.mark.parametrize(
    "search", [{}, {"start": "nearest"}, {"start": "nearest", "step_decay": True, "relative_step": 0.3}]
)
def test_bim_curve_crosses_where_it_must(
    stop_early: bool, ball: str, order: float, search: dict[str, Any]
) -> None:
    model, pictures, labels = linear_case(3, classes=2)
    attack = Bim(stop_early=stop_early, steps=12, precision=1.01, ball=ball, **search)  # type: ignore[arg-type]
    outcome = attack.search(model, pictures, Goal(1 - labels, True))
    best = smallest_norms(model, pictures, labels, order)
    inside = np.abs((outcome.adversarial - 0.5).flatten(1).numpy()).max(1) < 0.5
    norms = found_norms(outcome.adversarial, pictures, order)
    assert outcome.found.all()
    assert inside.sum() > 10
    assert (norms >= best * (1 - 1e-4)).all()
    np.testing.assert_array_less(norms[inside], best[inside] * 1.011 + 1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_jsma_restores_all_that_a_linear_model_can_do_without(seed: int) -> None:
    model, pictures, labels = linear_case(seed, classes=2)
    goal = Goal(1 - labels, True)
    toward = (model.weight[1 - labels] - model.weight[labels]).detach().reshape(pictures.shape)
    everything = (pictures + 0.4 * toward.sign()).clamp(0, 1)
    reached = goal.reached(model(everything).detach())
    problem = Problem.of(model, pictures, goal).select(reached.nonzero().squeeze(1))
    restored, fewer = restore(problem, everything[reached])
    assert reached.sum() > 10
    assert fewer.all()
    gains = (toward * (everything - pictures)).double().flatten(1)[reached].numpy()
    logits = model(pictures).double().detach()
    gap = (logits.gather(1, labels[:, None]) - logits.gather(1, 1 - labels[:, None]))[reached, 0].numpy()
    for row in range(len(gains)):
        needed = int(np.searchsorted(np.cumsum(np.sort(gains[row])[::-1]), gap[row])) + 1
        assert int((restored[row] != problem.pictures[row]).sum()) == needed


def best_pair_by_brute_force(jacobian: np.ndarray, target: int, sign: int) -> tuple[int, int] | None:
    """Papernot's algorithm 3: every pair, α the target's derivative, β that of all other classes."""
    features, best, chosen = jacobian.shape[1], 0.0, None
    for first in range(features):
        for second in range(first + 1, features):
            pair = sign * jacobian[:, [first, second]]
            alpha = pair[target].sum()
            beta = pair.sum() - alpha
            if alpha > 0 and beta < 0 and -alpha * beta > best:
                best, chosen = -alpha * beta, (first, second)
    return chosen


@pytest.mark.parametrize("direction", ["raise", "lower"])
def test_saliency_step_picks_the_pair_of_brute_force(direction: str) -> None:
    sign = 1 if direction == "raise" else -1
    found = 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(9, 12), nn.Tanh(), nn.Linear(12, 4)).double()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        picture = torch.rand(1, 1, 3, 3, generator=generator, dtype=torch.float64) * 0.6 + 0.2
        target = int(torch.randint(4, (1,), generator=generator))
        jacobian = torch.autograd.functional.jacobian(lambda x, f=network: f(x).softmax(1), picture)
        expected = best_pair_by_brute_force(jacobian.reshape(4, 9).numpy(), target, sign)
        picture.requires_grad_(True)
        (gradient,) = torch.autograd.grad(network(picture).log_softmax(1)[0, target], picture)
        moved, possible = saliency_step(
            picture.detach(),
            gradient,
            picture.detach(),
            step=0.1,
            direction=direction,  # type: ignore[arg-type]
        )
        assert bool(possible) == (expected is not None)
        if expected is not None:
            change = (moved - picture).detach().flatten()
            assert tuple(change.nonzero().flatten().tolist()) == expected
            np.testing.assert_allclose(change[list(expected)].numpy(), sign * 0.1)
            found += 1
    assert found > 150
