"""Basic iterative method: signed gradient steps inside a ball (Kurakin et al. 2017, arXiv 1607.02533)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from advaudio.attack_interface.base import (
    Attack,
    above_zero,
    column,
    compaction_due,
    logits_and_gradient,
    one_hot,
    perturbation_norm,
)
from advaudio.attack_interface.problem import Problem
from advaudio.core.errors import AdvaudioError

FINEST = 1.0001


@dataclass(frozen=True, kw_only=True)
class Bim(Attack):
    """The smallest ε at which BIM meets the goal, found for each sample on its own.

    x_{k+1} = clip(x_k ∓ step·sign ∇J(x_k)), first into the ball of radius ε around x, then into the bounds
    (Eq. 1 of the paper). Every sample has its own ε: it grows by `growth` until the attack succeeds, shrinks
    until it fails, and is then bisected (geometrically) to `precision`. The norm that the example really
    has, never above ε, is the upper end of the bracket.

    Parameters
    ----------
    stop_early
        BIM-a: a sample stops at its first success. Otherwise BIM-b: all steps are taken, and the last
        iterate alone counts.
    steps
        Gradient steps for one ε.
    relative_step
        Step as a share of ε.
    step_decay
        Whether steps shrink linearly, from `relative_step` to nothing at the last; False: all alike, as published.
        Steps that stay large end beside the boundary, not at it.
    start
        Where each try begins: at the "clean" picture, as published, or at the "nearest" example so far, drawn into
        the ball, once there is one.
    ball
        Norm of the ball: "linf" (signed gradient) or "l2" (normalised gradient).
    first_epsilon, growth, largest_epsilon
        First ε tried, factor between tries, largest ε tried; both ε as shares of the bounds' range. None: 1/255 of the
        distance between opposite corners of the bounds in the ball's norm, and the whole of it, which is 1 in L∞
        and the root of the number of features in L2.
    precision
        Stop when the smallest success is within this factor of the largest failure (above 1).
    required_confidence
        Probability that the class reached must have (0: only be the highest).
    """

    stop_early: bool = True
    steps: int = 50
    relative_step: float = 0.1
    step_decay: bool = False
    start: Literal["clean", "nearest"] = "clean"
    ball: Literal["linf", "l2"] = "linf"
    first_epsilon: float | None = None
    growth: float = 2.0
    largest_epsilon: float | None = None
    precision: float = 1.05
    required_confidence: float = 0.0

    def __post_init__(self) -> None:
        above_zero(steps=self.steps, relative_step=self.relative_step)
        for name in ("first_epsilon", "largest_epsilon"):
            if vars(self)[name] is not None:
                above_zero(**{name: vars(self)[name]})
        # Neighbours in float32 are a factor of 1.0000001 apart, and a search would never end there.
        if self.precision < FINEST or self.growth < FINEST:
            raise AdvaudioError(
                f"BIM's precision ({self.precision}) and growth ({self.growth}) are factors of {FINEST} or more."
            )

    @property
    def norm(self) -> Literal["linf", "l2"]:  # type: ignore[override]
        return self.ball

    @property
    def confidence(self) -> float:
        return self.required_confidence

    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        pictures = problem.pictures
        samples = len(pictures)
        corner_to_corner = 1.0 if self.ball == "linf" else math.sqrt(pictures[0].numel())
        largest = self.largest_epsilon or corner_to_corner
        first = self.first_epsilon or corner_to_corner / 255
        best = pictures.clone()
        lower = pictures.new_zeros(samples)
        upper = pictures.new_full((samples,), math.inf)
        epsilon = pictures.new_full((samples,), min(first, largest))
        smallest = first * 2.0**-20
        rows = torch.arange(samples, device=pictures.device)
        while len(rows):
            part = problem.select(rows)
            start = None
            if self.start == "nearest":  # without an example yet, that is the clean picture
                start = self._inside(part, best[rows], epsilon[rows])
            adversarial, found = self.within(part, epsilon[rows], start=start)
            size = perturbation_norm(adversarial - pictures[rows], self.ball)
            size = torch.minimum(size, epsilon[rows])
            found = found & size.isfinite()  # a network whose gradient is no number spoils the picture
            better = found & (size < upper[rows])
            best[rows] = torch.where(column(better), adversarial, best[rows])
            upper[rows] = torch.where(better, size, upper[rows])
            lower[rows] = torch.where(found, lower[rows], torch.maximum(lower[rows], epsilon[rows]))
            low, high = lower[rows], upper[rows]
            following = torch.where(
                high.isinf(),
                (epsilon[rows] * self.growth).clamp_max(largest),
                torch.where(low == 0, high / self.growth, (low * high).sqrt()),
            )
            hopeless = high.isinf() & (low >= largest)
            settled = (high <= low * self.precision) | (high <= smallest)
            epsilon[rows] = following
            rows = rows[~(hopeless | settled)]
        return best, upper.isfinite()

    def within(
        self, problem: Problem, epsilon: Tensor, *, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run BIM once with a fixed ε for each sample.

        Parameters
        ----------
        epsilon
            (N,) radius of each sample's ball.
        start
            Where to begin, within the balls and the bounds; None: at the clean pictures.

        Returns
        -------
        tuple
            The last iterates (with `stop_early`: the first successful ones), and whether each meets the goal.
        """
        samples, device = len(problem.pictures), problem.pictures.device
        result = problem.pictures.clone()
        found = torch.zeros(samples, dtype=torch.bool, device=device)
        live = torch.arange(samples, device=device)
        part, radius = problem, epsilon
        current = problem.pictures if start is None else start
        done, kept = found.clone(), current
        unsettled = 0

        def settle() -> None:
            result[live] = torch.where(column(done), kept, current)
            found[live] = done
            part.meter.add(forwards=unsettled, backwards=unsettled, iterations=unsettled)

        for step in range(self.steps):
            logits, gradient = logits_and_gradient(problem.model, current, _cross_entropy(part.goal.classes))
            unsettled += 1
            if self.stop_early:
                newly = part.goal.reached(logits) & ~done
                kept = torch.where(column(newly), current, kept)
                done = done | newly
            share = self.relative_step * (1 - step / self.steps if self.step_decay else 1.0)
            current = self._moved(part, current, gradient, radius, share)
            if self.stop_early and compaction_due(step, device):
                open_ = (~done).nonzero().squeeze(1)
                if len(open_) < len(live):
                    settle()
                    unsettled = 0
                    live, part, current, radius = (
                        live[open_],
                        part.select(open_),
                        current[open_],
                        radius[open_],
                    )
                    done, kept = done[open_], kept[open_]
                if not len(live):
                    return result, found
        with torch.no_grad():
            reached = part.goal.reached(problem.model(current))
        part.meter.add(forwards=1)
        kept = torch.where(column(reached & ~done), current, kept)
        done = done | reached
        settle()
        return result, found

    def _moved(
        self, problem: Problem, current: Tensor, gradient: Tensor, radius: Tensor, share: float
    ) -> Tensor:
        """One step of a share of the radii (N,) from `current`, then into the balls and the bounds."""
        step = (-share if problem.goal.targeted else share) * column(radius)
        if self.ball == "linf":
            moved = current + step * gradient.sign()
        else:
            length = column(perturbation_norm(gradient, "l2")).clamp_min(1e-12)
            moved = current + step * gradient / length
        return self._inside(problem, moved, radius)

    def _inside(self, problem: Problem, pictures: Tensor, radius: Tensor) -> Tensor:
        """Draw pictures into the balls of these radii (N,) around the clean ones, then into the bounds."""
        clean, limit = problem.pictures, column(radius)
        change = pictures - clean
        if self.ball == "linf":
            inside = clean + torch.maximum(torch.minimum(change, limit), -limit)
        else:
            size = column(perturbation_norm(change, "l2")).clamp_min(1e-12)
            inside = clean + change * (limit / size).clamp_max(1.0)
        return inside.clamp(*problem.bounds)


def _cross_entropy(classes: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda logits: logits.softmax(1) - one_hot(classes, logits)
