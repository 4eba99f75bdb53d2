"""Carlini and Wagner's L2 attack (2017, arXiv 1608.04644), with a batch that shrinks and a last descent in small steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advaudio.attack_interface.base import (
    Attack,
    above_zero,
    bisect_to_boundary,
    column,
    logits_and_gradient,
    one_hot,
    perturbation_norm,
)
from advaudio.attack_interface.problem import Goal, Model, Norm, Problem
from advaudio.core.errors import AdvaudioError

SHRINK = 0.999999
BISECTIONS = 9
CHECKS = 20
"""Times that a sample's loss is looked at in one search step; it ends where the loss no longer falls."""
FEWEST_BETWEEN_CHECKS = 10  # Adam's first steps may raise the loss; ten steps tell.
ABOVE_SMALLEST_CONSTANT = 1.5
"""Factor of c in the last descent: at the smallest that succeeds, the least loss can lie just short of success."""
FIRST_MOMENT, SECOND_MOMENT, TINY = 0.9, 0.999, 1e-8


class _Walk:
    """State of the samples still searching, each at a c and a step of its own; `live` holds their indices."""

    def __init__(self, problem: Problem, first_constant: float) -> None:
        pictures, goal, (lowest, highest) = problem.pictures, problem.goal, problem.bounds
        self.middle, self.half = (lowest + highest) / 2, (highest - lowest) / 2
        self.live = torch.arange(len(pictures), device=pictures.device)
        self.clean, self.goal = pictures, goal
        self.start = torch.atanh((pictures - self.middle) / self.half * SHRINK)
        self.centre = torch.tanh(self.start) * self.half + self.middle
        self.best = pictures.clone()
        self.best_norm = pictures.new_full((len(pictures),), math.inf)
        self.constant = torch.full_like(self.best_norm, first_constant)
        self.lower, self.upper = torch.zeros_like(self.constant), torch.full_like(self.constant, math.inf)
        self.search_step = torch.zeros_like(self.live)
        self.variable = self.start.clone()
        self.first, self.second = torch.zeros_like(pictures), torch.zeros_like(pictures)
        # As numbers with a fraction, since the moments' corrections are powers of it.
        self.steps = torch.zeros_like(self.constant)
        self.loss = torch.zeros_like(self.constant)
        self.loss_before = torch.zeros_like(self.constant)
        self.found = torch.zeros_like(self.live, dtype=torch.bool)
        self.rate = torch.zeros_like(self.constant)

    def smallest_constant(self) -> Tensor:
        """Smallest c that has succeeded so far, inf where none has."""
        return torch.where(self.found, torch.minimum(self.upper, self.constant), self.upper)

    def go_on_from(self, best: Tensor, norm: Tensor, constant: Tensor) -> None:
        """Take examples found before, of that L2 norm, as the best and as the start, each at that c."""
        self.best, self.best_norm, self.constant = best, norm, constant
        self.variable = torch.atanh((best - self.middle) / self.half * SHRINK)

    def next_round(self, iterations: int, search_steps: int) -> None:
        """Send samples whose loss no longer falls on to their next c, and those at their last one out.

        The loss swings where the example crosses the boundary to and fro, so some end too early; the last
        descent makes up for it in fewer steps than waiting would take.
        """
        ended = ~(self.loss < 0.9999 * self.loss_before) | (self.steps >= iterations)
        self.loss_before = self.loss
        upper = self.smallest_constant()
        lower = torch.where(self.found, self.lower, torch.maximum(self.lower, self.constant))
        self.upper, self.lower = torch.where(ended, upper, self.upper), torch.where(ended, lower, self.lower)
        following = torch.where(self.upper.isinf(), self.constant * 10, (self.lower + self.upper) / 2)
        self.constant = torch.where(ended, following, self.constant)
        self.search_step = self.search_step + ended
        self.found = self.found & ~ended
        self.steps.masked_fill_(ended, 0)
        again = column(ended)
        self.variable = torch.where(again, self.start, self.variable)
        for moment in (self.first, self.second):
            moment.masked_fill_(again, 0.0)
        keep = (self.search_step < search_steps).nonzero().squeeze(1)
        if len(keep) < len(self.live):
            self._keep(keep)

    def _keep(self, rows: Tensor) -> None:
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[rows])
        self.goal = self.goal.select(rows)


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Attack):
    """Minimise ‖δ‖₂² + c·f(x + δ) with Adam in tanh variables, and search c (Eq. 5 to 8 of the paper).

    f = max(Z_other − Z_target + κ, 0) on the logits Z (without a target: Z_true − Z_other). c grows tenfold
    until it succeeds, and is then bisected, for each sample on its own. A sample leaves a search step as soon
    as its own loss stops falling. From the best example a last descent follows, whose steps shrink: Adam's
    first steps move all components by the learning rate, those that do not matter too, and a search with a
    constant rate keeps some of it. At the end, components on which f has a negligible gradient are set to zero
    where the example survives it, and the example is drawn back along its perturbation to the boundary.
    **A sample that never succeeds is returned as a failure.**

    Parameters
    ----------
    search_steps
        Values of c tried.
    iterations
        Largest number of Adam steps for each c; the loss is looked at up to 20 times on the way.
    learning_rate
        Of Adam, in tanh variables.
    first_constant
        First c.
    margin
        κ: by how much the logit must win.
    negligible_gradient
        Share of the largest gradient below which a component's perturbation is truncated to zero.
    last_descent
        Steps of the last descent as a share of `iterations`; 0: the example is the search's, as published.
    longest_first_step
        Length of the first step in multiples of the distance (L2) at which the linearised model meets the goal.
        Adam's first step moves every component by the learning rate. Where the boundary is nearer than that, it
        leaps over all that is near, and the search may end without success. A clip's rate is lowered so that its
        first step is no longer; a clip that ends without success is searched once more at the full rate. None: one
        rate for all clips, as published.
    """

    search_steps: int = 9
    iterations: int = 1000
    learning_rate: float = 0.01
    first_constant: float = 1e-3
    margin: float = 0.0
    negligible_gradient: float = 1e-3
    last_descent: float = 0.1
    longest_first_step: float | None = 1.0

    norm: ClassVar[Norm] = "l2"

    def __post_init__(self) -> None:
        above_zero(
            search_steps=self.search_steps,
            iterations=self.iterations,
            learning_rate=self.learning_rate,
            first_constant=self.first_constant,
        )
        if not 0 <= self.margin < math.inf or not 0 <= self.negligible_gradient < 1:
            raise AdvaudioError(
                f"CWA's margin ({self.margin}) must be 0 or more, "
                f"and negligible_gradient ({self.negligible_gradient}) from 0 to below 1."
            )
        if not 0 <= self.last_descent <= 1:
            raise AdvaudioError(f"CWA's last_descent is {self.last_descent}; it must lie from 0 to 1.")
        if self.longest_first_step is not None:
            above_zero(longest_first_step=self.longest_first_step)

    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        model = problem.model
        rates = self._rates(problem)
        best, best_norm, constant = self._search_constants(problem, rates)
        again = (best_norm.isinf() & (rates < self.learning_rate)).nonzero().squeeze(1)
        if len(again):
            full = torch.full_like(rates[again], self.learning_rate)
            found_now = self._search_constants(problem.select(again), full)
            best[again], best_norm[again], constant[again] = found_now
        found = best_norm.isfinite()
        rows = found.nonzero().squeeze(1)
        if len(rows):
            won = problem.select(rows)
            walk = _Walk(won, self.first_constant)
            walk.go_on_from(best[rows], best_norm[rows], ABOVE_SMALLEST_CONSTANT * constant[rows])
            steps = round(self.last_descent * self.iterations)
            self._descend(model, walk, steps)
            won.meter.add(forwards=steps, backwards=steps, iterations=steps)
            best[rows] = self._finish(won, walk.best)
        return best, found

    def _rates(self, problem: Problem) -> Tensor:
        """Adam's learning rate for each clip (N,), in tanh variables."""
        walk = _Walk(problem, self.first_constant)
        rate = torch.full_like(walk.constant, self.learning_rate)
        if self.longest_first_step is None:
            return rate
        _, gradient, excess = self._loss(problem.model, walk.centre, walk.goal, torch.ones_like(rate))
        problem.meter.add(forwards=1, backwards=1)
        distance = excess.clamp_min(0) / perturbation_norm(gradient, "l2").clamp_min(1e-30)
        length = perturbation_norm(walk.half * (1 - torch.tanh(walk.start).square()), "l2")
        return torch.where(excess > 0, torch.minimum(rate, self.longest_first_step * distance / length), rate)

    def _search_constants(self, problem: Problem, rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best pictures, their L2 norms (∞: none), and the smallest c that succeeded, all with these rates (N,)."""
        best = problem.pictures.clone()
        best_norm = rates.new_full((len(best),), math.inf)
        constant = torch.zeros_like(best_norm)
        block = self.iterations // max(1, min(CHECKS, self.iterations // FEWEST_BETWEEN_CHECKS))
        walk = _Walk(problem, self.first_constant)
        walk.rate = rates
        while len(walk.live):
            for _ in range(block):
                self._step(problem.model, walk, walk.rate)
            problem.meter.add(walk.live, forwards=block, backwards=block, iterations=block)
            best[walk.live], best_norm[walk.live] = walk.best, walk.best_norm
            constant[walk.live] = walk.smallest_constant()
            walk.next_round(self.iterations // block * block, self.search_steps)
        return best, best_norm, constant

    def _descend(self, model: Model, walk: _Walk, steps: int) -> None:
        """Steps that shrink along a cosine, from a tenth of an example's perturbation (root mean square) to nothing."""
        perturbation = walk.best_norm / math.sqrt(walk.clean[0].numel())
        largest = 0.1 * perturbation / walk.half
        for step in range(steps):
            self._step(model, walk, largest * (1 + math.cos(math.pi * step / steps)) / 2)

    def _step(self, model: Model, walk: _Walk, learning_rate: float | Tensor) -> None:
        """One forward and backward pass, and a step of Adam, for every sample at its own c."""
        squashed = torch.tanh(walk.variable)
        current = squashed * walk.half + walk.middle
        difference = current - walk.centre
        logits, gradient, excess = self._loss(model, current, walk.goal, walk.constant)
        walk.loss = difference.square().flatten(1).sum(1) + walk.constant * excess.clamp_min(0)
        walk.loss_before = torch.where(walk.steps == 0, walk.loss, walk.loss_before)
        size = perturbation_norm(current - walk.clean, "l2")
        reached = walk.goal.reached(logits) & (excess <= 0)
        walk.found = walk.found | reached
        closer = reached & (size < walk.best_norm)
        walk.best = torch.where(column(closer), current, walk.best)
        walk.best_norm = torch.where(closer, size, walk.best_norm)
        walk.steps = walk.steps + 1
        total = (gradient + 2 * difference) * (walk.half * (1 - squashed.square()))
        walk.first.mul_(FIRST_MOMENT).add_(total, alpha=1 - FIRST_MOMENT)
        walk.second.mul_(SECOND_MOMENT).addcmul_(total, total, value=1 - SECOND_MOMENT)
        scale = (1 - SECOND_MOMENT**walk.steps).sqrt()
        rate = learning_rate * scale / (1 - FIRST_MOMENT**walk.steps)
        slope = walk.second.sqrt().add_(column(TINY * scale)).reciprocal_().mul_(walk.first)
        walk.variable = walk.variable.sub_(slope.mul_(column(rate)))

    def _loss(
        self, model: Model, current: Tensor, goal: Goal, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, the gradient of weight·f, and f before it is cut at zero."""
        kept: list[Tensor] = []

        def weights_of_logits(logits: Tensor) -> Tensor:
            own = one_hot(goal.classes, logits)
            other = one_hot((logits - own * 1e30).argmax(1), logits)
            direction = other - own if goal.targeted else own - other
            excess = (logits * direction).sum(1) + self.margin
            kept.append(excess)
            return direction * (weight * (excess > 0))[:, None]

        logits, gradient = logits_and_gradient(model, current, weights_of_logits)
        return logits, gradient, kept[0]

    def _finish(self, problem: Problem, current: Tensor) -> Tensor:
        """Truncate negligible components, and draw the examples back to the boundary."""
        model, clean, goal = problem.model, problem.pictures, problem.goal

        def weights_of_logits(logits: Tensor) -> Tensor:
            own = one_hot(goal.classes, logits)
            return one_hot((logits - own * 1e30).argmax(1), logits) - own

        def wins(logits: Tensor) -> Tensor:
            own = one_hot(goal.classes, logits)
            gap = (logits * own).sum(1) - (logits - own * 1e30).amax(1)
            return goal.reached(logits) & ((gap if goal.targeted else -gap) >= self.margin)

        _, gradient = logits_and_gradient(model, current, weights_of_logits)
        strength = gradient.abs().flatten(1)
        negligible = strength < self.negligible_gradient * strength.amax(1, keepdim=True)
        truncated = torch.where(negligible.reshape(current.shape), clean, current)
        with torch.no_grad():
            survives = wins(model(truncated))
        problem.meter.add(forwards=2, backwards=1)
        current = torch.where(column(survives), truncated, current)
        return bisect_to_boundary(problem, current, wins, smallest=0.0, bisections=BISECTIONS)
