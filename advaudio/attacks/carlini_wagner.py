"""Carlini and Wagner's L2 attack (2017, arXiv 1608.04644), with a batch that shrinks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from advaudio.attacks.base import (
    Attack,
    Goal,
    Meter,
    Model,
    Norm,
    above_zero,
    column,
    draw_back,
    logits_and_gradient,
    one_hot,
    perturbation_norm,
)
from advaudio.errors import AdvaudioError

SHRINK = 0.999999
BISECTIONS = 9
FEWEST_BETWEEN_CHECKS = 10  # Adam's first steps may raise the loss; ten steps tell.
FIRST_MOMENT, SECOND_MOMENT, TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Attack):
    """Minimise ‖δ‖₂² + c·f(x + δ) with Adam in tanh variables, and search c (Eq. 5 to 8 of the paper).

    f = max(Z_other − Z_target + κ, 0) on the logits Z (without a target: Z_true − Z_other). c grows tenfold
    until it succeeds, and is then bisected, for each sample on its own. A sample leaves a search step as soon
    as its own loss stops falling. At the end, components on which f has a negligible gradient are set to zero
    where the example survives it, and the example is drawn back along its perturbation to the boundary.
    **A sample that never succeeds is returned as a failure.**

    Parameters
    ----------
    search_steps
        Values of c tried.
    iterations
        Adam steps for each c.
    learning_rate
        Of Adam, in tanh variables.
    first_constant
        First c.
    margin
        κ: by how much the logit must win.
    negligible_gradient
        Share of the largest gradient below which a component's perturbation is truncated to zero.
    """

    search_steps: int = 9
    iterations: int = 1000
    learning_rate: float = 0.01
    first_constant: float = 1e-3
    margin: float = 0.0
    negligible_gradient: float = 1e-3

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

    def _search(
        self,
        model: Model,
        pictures: Tensor,
        goal: Goal,
        *,
        bounds: tuple[float, float],
        meter: Meter,
        starting_points: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        del starting_points
        samples = len(pictures)
        best = pictures.clone()
        best_norm = pictures.new_full((samples,), math.inf)
        constant = pictures.new_full((samples,), self.first_constant)
        lower, upper = torch.zeros_like(constant), torch.full_like(constant, math.inf)
        for _ in range(self.search_steps):
            found = self._minimise(model, pictures, goal, constant, best, best_norm, bounds, meter)
            upper = torch.where(found, torch.minimum(upper, constant), upper)
            lower = torch.where(found, lower, torch.maximum(lower, constant))
            constant = torch.where(upper.isinf(), constant * 10, (lower + upper) / 2)
        found = best_norm.isfinite()
        rows = found.nonzero().squeeze(1)
        if len(rows):
            best[rows] = self._finish(model, pictures[rows], goal.select(rows), best[rows], bounds)
            meter.add(rows, forwards=3 + BISECTIONS, backwards=1)
        return best, found

    def _minimise(
        self,
        model: Model,
        pictures: Tensor,
        goal: Goal,
        constant: Tensor,
        best: Tensor,
        best_norm: Tensor,
        bounds: tuple[float, float],
        meter: Meter,
    ) -> Tensor:
        """Run Adam once for every sample's c; update `best` and `best_norm`; return who succeeded."""
        middle, half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2
        device = pictures.device
        ever = torch.zeros(len(pictures), dtype=torch.bool, device=device)
        live = torch.arange(len(pictures), device=device)
        clean, weight, wanted = pictures, constant, goal
        variable = torch.atanh((pictures - middle) / half * SHRINK)
        centre = torch.tanh(variable) * half + middle
        first, second = torch.zeros_like(variable), torch.zeros_like(variable)
        found, nearest, shortest = ever.clone(), best, best_norm
        previous = torch.full_like(constant, math.inf)
        check_every = max(FEWEST_BETWEEN_CHECKS, math.ceil(self.iterations / 10))
        unsettled = 0
        for step in range(self.iterations):
            squashed = torch.tanh(variable)
            current = squashed * half + middle
            difference = current - centre
            logits, gradient, excess = self._loss(model, current, wanted, weight)
            unsettled += 1
            loss = difference.square().flatten(1).sum(1) + weight * excess.clamp_min(0)
            size = perturbation_norm(current - clean, "l2")
            reached = wanted.reached(logits) & (excess <= 0)
            found = found | reached
            closer = reached & (size < shortest)
            nearest = torch.where(column(closer), current, nearest)
            shortest = torch.where(closer, size, shortest)
            total = (gradient + 2 * difference) * (half * (1 - squashed.square()))
            first.mul_(FIRST_MOMENT).add_(total, alpha=1 - FIRST_MOMENT)
            second.mul_(SECOND_MOMENT).addcmul_(total, total, value=1 - SECOND_MOMENT)
            scale = math.sqrt(1 - SECOND_MOMENT ** (step + 1))
            rate = self.learning_rate * scale / (1 - FIRST_MOMENT ** (step + 1))
            variable = variable.addcdiv(first, second.sqrt().add_(TINY * scale), value=-rate)
            if step % check_every == 0 or step == self.iterations - 1:
                going = loss <= 0.9999 * previous
                previous = loss
                keep = going.nonzero().squeeze(1)
                last = step == self.iterations - 1
                if len(keep) < len(live) or last:
                    best[live], best_norm[live], ever[live] = nearest, shortest, found
                    meter.add(live, forwards=unsettled, backwards=unsettled, iterations=unsettled)
                    unsettled = 0
                    if last or not len(keep):
                        break
                    live, clean, weight, centre = live[keep], clean[keep], weight[keep], centre[keep]
                    variable, first, second = variable[keep], first[keep], second[keep]
                    found, nearest, shortest = found[keep], nearest[keep], shortest[keep]
                    previous, wanted = previous[keep], wanted.select(keep)
        return ever

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

    def _finish(
        self, model: Model, clean: Tensor, goal: Goal, current: Tensor, bounds: tuple[float, float]
    ) -> Tensor:
        """Truncate negligible components, and draw the examples back to the boundary."""

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
        current = torch.where(column(survives), truncated, current)
        return draw_back(model, clean, current, wins, smallest=0.0, bisections=BISECTIONS, bounds=bounds)
