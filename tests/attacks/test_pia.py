"""PIA: closed forms, the rule of the top k, the budget, and what a lost query says."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from advaudio.attack_interface.base import perturbation_norm
from advaudio.attack_interface.problem import FORWARDS, ITERATIONS, QUERIES, Goal, Meter
from advaudio.attacks.pia import PROPOSALS, Pia, Walk
from advaudio.core.errors import AdvaudioError
from benchmarks.attacks_peers import CountingModel
from tests.attacks.networks import Linear


def two_classes(size: int = 8) -> tuple[Linear, Tensor, Tensor, Tensor]:
    """A linear model of two classes, clean pictures, starts beyond the boundary, and the least L∞ norms."""
    generator = torch.Generator().manual_seed(0)
    slope = torch.randn(size * size, generator=generator) / size
    weight = torch.stack((torch.zeros_like(slope), slope)) * 20
    clean = 0.5 + 0.05 * torch.rand(6, 1, size, size, generator=generator)
    middle = float((clean.flatten(1) @ weight[1]).mean())
    model = Linear(weight, torch.tensor([middle + 20.0, 0.0])).eval()
    starts = (clean + 0.4 * slope.sign().reshape(1, 1, size, size)).clamp(0, 1)
    starts += 0.1 * (torch.rand(starts.shape, generator=generator) - 0.5)
    gap = (model(clean)[:, 0] - model(clean)[:, 1]).detach()
    return model, clean, starts.clamp(0, 1), gap / weight[1].abs().sum()


def test_linear_model_is_crossed_near_the_closed_form() -> None:
    model, clean, starts, least = two_classes()
    assert (model(starts).argmax(1) == 1).all()
    assert (model(clean).argmax(1) == 0).all()
    outcome = Pia(iterations=80, samples=40).search(
        model, clean, Goal(torch.ones(6, dtype=torch.int64), True), starting_points=starts
    )
    norm = perturbation_norm(outcome.adversarial - clean, "linf")
    assert outcome.found.all()
    assert (norm >= least * (1 - 1e-3)).all()
    assert (norm <= least * 1.25).all()


class TargetSecond(nn.Module):
    """Three classes; the target (2) is second wherever the left half is not dark, and best where it is bright."""

    def forward(self, x: Tensor) -> Tensor:
        left = x[..., : x.shape[-1] // 2].flatten(1).mean(1)
        return torch.stack((torch.full_like(left, 0.6), torch.zeros_like(left), left), 1) * 10


def test_ball_shrinks_only_around_the_best_label() -> None:
    clean = torch.full((4, 1, 6, 6), 0.2)
    starts = torch.full((4, 1, 6, 6), 0.9)
    targets = torch.full((4,), 2)
    model = TargetSecond()
    assert model(clean).topk(2).indices[:, 1].tolist() == [2] * 4
    settings = Pia(iterations=30, samples=10, top_k=2)
    walk = Walk(settings, model, clean, starts, targets, (0.0, 1.0), Meter(4, clean.device))
    for iteration in range(30):
        before = walk.epsilon.clone()
        walk.advance(iteration)
        best = model(walk.current).argmax(1) == 2
        # Among the two best labels the target is everywhere, so only this rule holds the ball open.
        assert (best | (walk.epsilon == before)).all()
        assert (walk.epsilon >= 0.4 - 1e-5).all()
    assert torch.equal(model(walk.best).argmax(1), targets)
    torch.testing.assert_close(walk.best_norm, perturbation_norm(walk.best - clean, "linf"))
    assert (walk.best_norm < 0.45).all()


def test_every_query_is_counted_and_the_budget_is_kept() -> None:
    model, clean, starts, _ = two_classes()
    counting = CountingModel(model)
    settings = Pia(iterations=7, samples=10, search_every=4)
    outcome = settings.search(
        counting, clean, Goal(torch.ones(6, dtype=torch.int64), True), starting_points=starts
    )
    assert int(outcome.counts[:, QUERIES].sum()) == counting.forwards
    assert torch.equal(outcome.counts[:, QUERIES], outcome.counts[:, FORWARDS])
    assert (outcome.counts[:, ITERATIONS] == 7).all()
    searches = 2 * len(settings.standard_deviations) * (10 + PROPOSALS)
    assert (outcome.counts[:, QUERIES] <= 2 + Walk.halvings_of_start + 7 * (10 + PROPOSALS) + searches).all()


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    model, clean, starts, _ = two_classes()
    goal = Goal(torch.ones(6, dtype=torch.int64), True)
    attack = Pia(iterations=5, samples=10)
    first, second = (attack.search(model, clean, goal, starting_points=starts) for _ in range(2))
    other = dataclasses.replace(attack, seed=1).search(model, clean, goal, starting_points=starts)
    assert torch.equal(first.adversarial, second.adversarial)
    assert torch.equal(first.counts, second.counts)
    assert not torch.equal(first.adversarial, other.adversarial)


def walk_of(model: nn.Module, clean: Tensor, starts: Tensor, **settings: object) -> Walk:
    targets = torch.ones(len(clean), dtype=torch.int64)
    attack = dataclasses.replace(Pia(samples=10), **settings)  # type: ignore[arg-type]
    return Walk(attack, model, clean, starts, targets, (0.0, 1.0), Meter(len(clean), clean.device))


def test_lost_queries_weigh_least_and_alike_ones_alike() -> None:
    model, clean, starts, _ = two_classes()
    walk = walk_of(model, clean, starts)
    lost = -torch.inf
    weights = walk.weights(torch.tensor([[-3.0, lost, -1.0, lost], [lost] * 4, [-2.0] * 4]))
    assert weights[0, 1] == weights[0, 3] < weights[0, 0] < weights[0, 2]
    assert (weights[1:] == 0).all()
    assert weights[0].isfinite().all()


class Cliff(nn.Module):
    """Class 1 only very near to one picture; its score there says nothing."""

    def __init__(self, summit: Tensor, radius: float) -> None:
        super().__init__()
        self.summit, self.radius = summit, radius

    def forward(self, x: Tensor) -> Tensor:
        near = (x - self.summit).flatten(1).abs().amax(1) <= self.radius
        return torch.stack((torch.zeros(len(x)), torch.where(near, 1.0, -1.0)), 1)


def test_deviation_is_searched_where_no_full_step_holds_the_target() -> None:
    clean, starts = torch.full((1, 1, 6, 6), 0.2), torch.full((1, 1, 6, 6), 0.8)
    # Not on the summit itself, around which antithetic queries say nothing.
    walk = walk_of(
        Cliff(starts + 0.004, 0.01), clean, starts, standard_deviations=(0.5, 0.004), learning_rate=0.2
    )
    walk.advance(0)
    # With σ = 0.5 every query is lost and says nothing; with 0.004 some are kept.
    assert walk.sigma.tolist() == pytest.approx([0.004])


@pytest.mark.parametrize("slowing", [0, -1.0, float("nan")])
def test_slowing_must_be_above_zero(slowing: float) -> None:
    with pytest.raises(AdvaudioError, match="slowing"):
        Pia(slowing=slowing)


def test_smoothed_noise_is_of_unit_variance_and_of_low_frequency() -> None:
    clean = torch.full((1, 1, 32, 32), 0.5)
    for smoothing in (0, 1, 2):
        walk = walk_of(Cliff(clean, 0.1), clean, clean, samples=400, smoothing=smoothing)
        noise = walk._noise(200, (0, 0))
        assert noise.square().mean() == pytest.approx(1.0, rel=0.03)
        # Neighbours correlate by the autocorrelation of the filter: 0, 4 / 6, 56 / 70.
        neighbours = (noise[..., 1:] * noise[..., :-1]).mean()
        assert neighbours == pytest.approx((0, 4 / 6, 56 / 70)[smoothing], abs=0.03)
