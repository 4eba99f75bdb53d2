"""Jacobian-based saliency map attack (Papernot et al. 2016, arXiv 1511.07528), batched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advaudio.attack_interface.base import (
    Attack,
    above_zero,
    column,
    compaction_due,
    logits_and_gradient,
    one_hot,
)
from advaudio.attack_interface.problem import Norm, Problem
from advaudio.core.errors import AdvaudioError

Direction = Literal["raise", "lower", "both"]


@dataclass(frozen=True, kw_only=True)
class Jsma(Attack):
    """Change the most salient pair of features at a time until the target class is reached (L0).

    The saliency of a pair of features is that of Papernot's map on the **softmax** outputs F (Eq. 2 and 3 of
    the paper): (∂F_t/∂x)·|Σ_{j≠t} ∂F_j/∂x|, zero where the target would not gain or the rest would not lose.
    Softmax outputs sum to one, so the second factor is the first: the best pair is the two largest entries of
    ∂F_t, exactly, at the cost of one backward pass instead of one per class, and of no table of all pairs.
    ∂F_t = F_t·∂log F_t, so the gradient of log F_t orders the features alike and cannot underflow.

    A greedy walk changes features that it could do without. So at the end features are set back to their clean
    value, those first that matter least to the target by the gradient, as many as the target survives.

    Parameters
    ----------
    theta
        Change of a feature in one step, as a share of the bounds' range. A feature may be chosen again
        until it reaches a bound. The default reads the paper's "displacement of 50" as 50 of 255 grey levels.
    gamma
        Largest share of the features that may be changed (0 to 1).
    direction
        "raise" features, "lower" them (the mirrored map), or "both": for each feature the better of the two.
    iterations
        Largest number of pairs chosen.
    restorations
        How often to set features back at the end, each time by a new gradient; 0: as published.
    """

    theta: float = 50 / 255
    gamma: float = 1.0
    direction: Direction = "both"
    iterations: int = 1000
    restorations: int = 4

    norm: ClassVar[Norm] = "l0"
    targeted_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        above_zero(theta=self.theta, gamma=self.gamma, iterations=self.iterations)
        if self.direction not in ("raise", "lower", "both"):
            raise AdvaudioError(f"JSMA's direction is {self.direction!r}; choose raise, lower or both.")
        if self.restorations < 0:
            raise AdvaudioError(f"JSMA's restorations is {self.restorations}; it must be 0 or more.")

    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        model, pictures, bounds = problem.model, problem.pictures, problem.bounds
        device = pictures.device
        step = self.theta * (bounds[1] - bounds[0])
        most_changed = int(self.gamma * pictures[0].numel())
        result = pictures.clone()
        found = torch.zeros(len(pictures), dtype=torch.bool, device=device)
        live = torch.arange(len(pictures), device=device)
        clean, current, wanted = pictures, pictures, problem.goal
        succeeded = found.clone()
        stuck = found.clone()
        unsettled = 0
        for iteration in range(self.iterations + 1):
            targets = wanted.classes
            logits, gradient = logits_and_gradient(model, current, _log_probability(targets))
            unsettled += 1
            succeeded = succeeded | (wanted.reached(logits) & ~stuck)
            due = compaction_due(iteration, device) or iteration == self.iterations
            if due:
                finished = succeeded | stuck
                keep = (~finished).nonzero().squeeze(1)
                if len(keep) < len(live) or iteration == self.iterations:
                    result[live], found[live] = current, succeeded
                    problem.meter.add(live, forwards=unsettled, backwards=unsettled, iterations=unsettled)
                    unsettled = 0
                    live, clean, current = live[keep], clean[keep], current[keep]
                    wanted, succeeded, stuck = wanted.select(keep), succeeded[keep], stuck[keep]
                    gradient = gradient[keep]
                if not len(live) or iteration == self.iterations:
                    break
            moved, possible = saliency_step(
                current, gradient, clean, step=step, direction=self.direction, bounds=bounds
            )
            allowed = possible & ((moved != clean).flatten(1).sum(1) <= most_changed)
            current = torch.where(column(allowed & ~succeeded), moved, current)
            stuck = stuck | (~allowed & ~succeeded)
        rows = found.nonzero().squeeze(1)
        for _ in range(self.restorations):
            if not len(rows):
                break
            result[rows], fewer = restore(problem.select(rows), result[rows])
            rows = rows[fewer]
        return result, found


def restore(problem: Problem, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Set as many changed features back to their clean value as the goal survives, those that matter least first.

    How much a feature matters is read from the gradient at the example: what the target's log-probability loses to
    first order without the change. How many can go is bisected.

    Parameters
    ----------
    adversarial
        (N, channels, height, width): examples that reach the problem's targets.

    Returns
    -------
    tuple
        Examples that still reach them, and (N,) bool: whether a feature was set back.
    """
    clean, goal = problem.pictures, problem.goal
    _, gradient = logits_and_gradient(problem.model, adversarial, _log_probability(goal.classes))
    problem.meter.add(forwards=1, backwards=1)
    change = (adversarial - clean).flatten(1)
    loss = torch.where(change != 0, gradient.flatten(1) * change, math.inf)
    place = loss.argsort(dim=1, stable=True).argsort(dim=1)
    result = adversarial
    fewest, most = torch.zeros_like(goal.classes), (change != 0).sum(1)
    for _ in range(int(most.max()).bit_length()):
        number = (fewest + most + 1) // 2
        tried = torch.where((place < number[:, None]).reshape(clean.shape), clean, adversarial)
        with torch.no_grad():
            survives = goal.reached(problem.model(tried))
        problem.meter.add(forwards=1)
        result = torch.where(column(survives & (number > fewest)), tried, result)
        fewest, most = torch.where(survives, number, fewest), torch.where(survives, most, number - 1)
    return result, fewest > 0


def saliency_step(
    pictures: Tensor,
    gradient: Tensor,
    clean: Tensor,
    *,
    step: float,
    direction: Direction = "both",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[Tensor, Tensor]:
    """Move the most salient pair of features of each sample.

    Parameters
    ----------
    pictures
        (N, channels, height, width) within `bounds`.
    gradient
        Of the target's log-probability, same shape.
    clean
        The pictures that the attack began with: a feature that was raised is not lowered again, nor the
        reverse, so that no pair is moved to and fro.
    step
        Change of each chosen feature, in units of the picture.
    direction
        Which features may be chosen; see `Jsma`.

    Returns
    -------
    tuple
        The moved pictures, and (N,) bool: False where no pair is left that raises the target.
    """
    flat, slope, before = pictures.flatten(1), gradient.flatten(1), clean.flatten(1)
    never = slope.new_tensor(-math.inf)
    up = torch.where((flat < bounds[1]) & (flat >= before), slope, never)
    down = torch.where((flat > bounds[0]) & (flat <= before), -slope, never)
    if direction == "raise":
        down = torch.full_like(down, -math.inf)
    elif direction == "lower":
        up = torch.full_like(up, -math.inf)
    saliency = torch.maximum(up, down)
    best, chosen = saliency.topk(min(2, saliency.shape[1]), dim=1)
    possible = best.sum(1) > 0
    change = torch.where(up >= down, step, -step).gather(1, chosen)
    moved = flat.scatter_add(1, chosen, change.to(flat.dtype)).clamp(*bounds)
    return moved.reshape(pictures.shape), possible


def _log_probability(targets: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda logits: one_hot(targets, logits) - logits.softmax(1)
