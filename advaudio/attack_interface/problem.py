"""What an attack is given and what it returns: its problem with a goal, the meter of its work, its outcome."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Model = Callable[[Tensor], Tensor]
"""Pictures (N, channels, height, width) to logits (N, classes): a `torch.nn.Module` or a Foolbox model."""

Norm = Literal["linf", "l2", "l0"]

FORWARDS, BACKWARDS, QUERIES, ITERATIONS = range(4)


@dataclass(frozen=True)
class Goal:
    """What counts as success for each sample of a batch.

    Parameters
    ----------
    classes
        (N,) int64: the classes to reach if `targeted`, otherwise the true labels to leave.
    targeted
        Whether a sample must be taken for its class or for any other.
    confidence
        Probability (0 to 1) that the class taken for must have; 0 asks for the highest score alone.
    """

    classes: Tensor
    targeted: bool
    confidence: float = 0.0

    def reached(self, logits: Tensor) -> Tensor:
        """Whether the goal is met for each row of `logits` (N, classes): (N,) bool."""
        predicted = logits.argmax(1)
        reached = predicted == self.classes if self.targeted else predicted != self.classes
        if self.confidence > 0:
            reached = reached & (logits.softmax(1).amax(1) >= self.confidence)
        return reached

    def select(self, rows: Tensor) -> Goal:
        """Return the goal of some of the samples: `rows` is an index or a mask over (N,)."""
        return Goal(self.classes[rows], self.targeted, self.confidence)


class Meter:
    """Counts the work spent on each sample without ever waiting for the device."""

    def __init__(self, samples: int, device: torch.device) -> None:
        self.counts = torch.zeros(samples, 4, dtype=torch.int64, device=device)
        self.rows = torch.arange(samples, device=device)

    def add(
        self,
        rows: Tensor | None = None,
        *,
        forwards: int = 0,
        backwards: int = 0,
        queries: int = 0,
        iterations: int = 0,
    ) -> None:
        """Add to the counts of the samples `rows` (indices, each at most once), or of all."""
        own = self.rows if rows is None else self.rows[rows]
        for column, count in enumerate((forwards, backwards, queries, iterations)):
            if count:
                self.counts[own, column] += count

    def select(self, rows: Tensor) -> Meter:
        """A meter of some of the samples (indices) that counts into this one."""
        part = copy.copy(self)
        part.rows = self.rows[rows]
        return part


@dataclass(frozen=True)
class Problem:
    """What an attack is to solve.

    Parameters
    ----------
    model
        Callable from pictures to logits.
    pictures
        (N, channels, height, width) float within `bounds`: the clean ones.
    goal
        What to reach.
    meter
        Where the attack counts the work that it spends on each sample.
    bounds
        Lowest and highest value of a picture.
    starting_points
        For attacks that start elsewhere: pictures that already meet the goal; a row of NaN says that there is
        none.
    """

    model: Model
    pictures: Tensor
    goal: Goal
    meter: Meter
    bounds: tuple[float, float] = (0.0, 1.0)
    starting_points: Tensor | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        pictures: Tensor,
        goal: Goal,
        *,
        bounds: tuple[float, float] = (0.0, 1.0),
        starting_points: Tensor | None = None,
    ) -> Problem:
        """A problem with a meter of its own."""
        meter = Meter(len(pictures), pictures.device)
        return cls(model, pictures, goal, meter, bounds, starting_points)

    def select(self, rows: Tensor) -> Problem:
        """The problem of some of the samples (indices); work on it counts for them."""
        starts = None if self.starting_points is None else self.starting_points[rows]
        part = self.pictures[rows], self.goal.select(rows), self.meter.select(rows)
        return Problem(self.model, *part, self.bounds, starts)


@dataclass(frozen=True)
class Outcome:
    """What an attack found.

    Parameters
    ----------
    adversarial
        Pictures like the clean ones; **the clean picture itself where nothing was found**.
    found
        (N,) bool: the goal is met, checked by a fresh forward pass.
    counts
        (N, 4) int64: forward passes, backward passes, queries of an oracle, iterations of each sample.
        A query is also a forward pass.
    """

    adversarial: Tensor
    found: Tensor
    counts: Tensor
