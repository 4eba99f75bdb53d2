"""The peers of PIA, each run against a record of what was reached at how many queries."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import foolbox
import torch
from foolbox.criteria import TargetedMisclassification
from torch import Tensor, nn

from advaudio.attack_interface.base import column, perturbation_norm

ROUNDING = 1e-6
"""By how much clean + ε − clean may exceed ε in float32."""


class Stopped(Exception):
    """The budget is spent, the time is over, or there is nothing left to reach."""


@dataclass(frozen=True)
class Case:
    """A model (pictures to logits), clips and starts (N, 1, height, width) in [0, 1], targets (N,)."""

    model: nn.Module
    clean: Tensor
    starts: Tensor
    targets: Tensor


class Record:
    """The smallest L∞ norm of each clip against the queries that it cost.

    Parameters
    ----------
    clips
        How many.
    budget
        Queries of a clip; what is found beyond does not count.
    bounds
        Norms of which the first query within is kept.
    marks
        Queries at which the smallest norm is kept.
    deadline
        Of `time.monotonic`.
    enough
        Norm below which a clip needs no more queries.
    """

    def __init__(
        self,
        clips: int,
        *,
        budget: int,
        bounds: Sequence[float],
        marks: Sequence[int],
        deadline: float = math.inf,
        enough: float = 0.0,
    ) -> None:
        self.budget, self.deadline, self.enough = budget, deadline, enough
        self.best = torch.full((clips,), math.inf, dtype=torch.float64)
        self.queries = torch.zeros(clips, dtype=torch.int64)
        self.reached = {bound: torch.full((clips,), -1, dtype=torch.int64) for bound in bounds}
        self.at = {mark: self.best.clone() for mark in marks}
        self.out_of_time = False

    @property
    def done(self) -> Tensor:
        """(N,) bool: clips that have reached enough, or spent the budget."""
        return (self.best <= self.enough + ROUNDING) | (self.queries >= self.budget)

    def note(self, queries: Tensor, best: Tensor) -> None:
        """Take down the queries so far and the smallest norms (N,); a clip that is done stays as it is.

        Raises
        ------
        Stopped
            See there.
        """
        queries, best = queries.cpu(), best.detach().cpu().double()
        before = self.done
        counts = ~before & (queries <= self.budget)
        self.best = torch.where(counts & (best < self.best), best, self.best)
        self.queries = torch.where(before, self.queries, queries.clamp_max(self.budget))
        for bound, first in self.reached.items():
            within = counts & (first < 0) & (best <= bound + ROUNDING)
            first[within] = queries[within]
        for mark, norms in self.at.items():
            within = counts & (queries <= mark) & (best < norms)
            norms[within] = best[within]
        self.out_of_time = time.monotonic() > self.deadline
        if self.out_of_time or bool(self.done.all()):
            raise Stopped


Run = Callable[[Case, Record, int], None]
"""Attack a case and note the progress, with a seed, until `Stopped`."""


def published_partial_information(
    case: Case,
    record: Record,
    seed: int,
    *,
    samples: int = 100,
    sigma: float = 1e-5,
    momentum: float = 0.9,
    largest_rate: float = 1e-2,
    smallest_rate: float = 1e-3,
    adversarial_threshold: float = 0.2,
    plateau_length: int = 20,
    plateau_drop: float = 2.0,
    first_epsilon: float = 1.0,
    goal_epsilon: float = 0.05,
    first_cut: float = 0.5,
    smallest_next_cut: float = 0.1,
    smallest_cut: float = 2e-3,
    conservative: float = 2.0,
) -> None:
    """Ilyas et al. 2018 (arXiv 1804.08598), algorithm 1, with the settings of the authors' code, k = 1.

    ε is cut only while the mean loss of the queries that kept the target is below the threshold. A candidate
    must hold at the full cut; ε then falls by `1 / conservative` of it. The step is halved down to the smallest
    rate before the cut is halved; a clip of which no step holds even without a cut has failed. Unlike theirs,
    the queries of the line search count, many clips run at once, and an estimate of which no query kept the
    target is zero (theirs is no number).
    """
    clean, current, targets, model = case.clean, case.starts.clone(), case.targets, case.model
    count, shape, device = len(clean), clean.shape[1:], clean.device
    generator = torch.Generator(device).manual_seed(seed)
    epsilon, cut = clean.new_full((count,), first_epsilon), clean.new_full((count,), first_cut)
    top_rate = clean.new_full((count,), largest_rate)
    direction = torch.zeros_like(clean)
    recent = clean.new_full((count, plateau_length), math.nan)
    queries = torch.zeros(count, dtype=torch.int64, device=device)
    best = clean.new_full((count,), math.inf)
    failed = torch.zeros(count, dtype=torch.bool, device=device)
    while True:
        record.note(queries, best)
        alive = (~record.done.to(device) & ~failed).nonzero().squeeze(1)
        if not len(alive):
            raise Stopped
        half = torch.randn(samples // 2, *shape, generator=generator, device=device)
        noise = torch.cat((half, -half))
        loss = clean.new_full((count,), math.nan)
        for part in alive.split(max(1, 16384 // samples if device.type == "cuda" else 4)):
            asked = (current[part, None] + sigma * noise).reshape(-1, *shape)
            logits = model(asked).reshape(len(part), samples, -1)
            kept = logits.argmax(2) == targets[part, None]
            losses = -logits.log_softmax(2)[torch.arange(len(part), device=device), :, targets[part]]
            losses, share = losses.masked_fill(~kept, 0.0), kept.sum(1)
            estimate = (losses @ noise.reshape(samples, -1)).reshape(-1, *shape)
            estimate = estimate / column(share.clamp_min(1)) / sigma
            direction[part] = momentum * direction[part] + (1 - momentum) * estimate
            loss[part] = losses.sum(1) / share
        queries[alive] += samples
        recent[alive] = torch.cat((recent[alive, 1:], loss[alive, None]), 1)
        risen = recent[:, -1] > recent[:, 0]
        top_rate = torch.where(risen, (top_rate / plateau_drop).clamp_min(smallest_rate), top_rate)
        recent[risen] = math.nan
        proposed = torch.where((loss < adversarial_threshold) & (epsilon > goal_epsilon), cut, 0.0)
        rate, pending = top_rate.clone(), alive
        while len(pending):
            narrower = column((epsilon[pending] - proposed[pending]).clamp_min(goal_epsilon))
            lower, upper = (clean[pending] - narrower).clamp(0, 1), (clean[pending] + narrower).clamp(0, 1)
            moved = current[pending] - column(rate[pending]) * direction[pending].sign()
            moved = torch.minimum(torch.maximum(moved, lower), upper)
            holds = model(moved).argmax(1) == targets[pending]
            queries[pending] += 1
            held = pending[holds]
            current[held] = moved[holds]
            best[held] = torch.minimum(best[held], perturbation_norm(moved[holds] - clean[held], "linf"))
            cutting = held[proposed[held] > 0]
            cut[cutting] = proposed[cutting].clamp_min(smallest_next_cut)
            recent[cutting] = math.nan
            epsilon[held] = (epsilon[held] - proposed[held] / conservative).clamp_min(goal_epsilon)
            pending = pending[~holds]
            halve = rate[pending] >= 2 * smallest_rate
            rate[pending[halve]] /= 2
            rest = pending[~halve]
            failed[rest[proposed[rest] == 0]] = True
            smaller = proposed[rest] / 2
            proposed[rest] = torch.where(smaller < smallest_cut, 0.0, smaller)
            rate[rest] = top_rate[rest]
            pending = pending[~failed[pending] & (queries[pending] < record.budget)]


def sign_flip(case: Case, record: Record, seed: int, *, shrinking: float = 4.0) -> None:
    """Chen et al. 2020 (ECCV, "Random Sign Flip"), which sees the best label alone.

    The start is bisected to the boundary; then a projection onto a smaller ball, with a random sign of its
    shrinking α on a coarse grid, and a random flip of the signs of a few values take turns. α and the
    probabilities of the flips follow their success, as in the authors' code, and so does the coarse grid, which
    is `shrinking` times smaller than the picture.
    """
    clean, targets, model = case.clean, case.targets, case.model
    count, device, size = len(clean), clean.device, clean.shape[2:]
    coarse = [max(1, int(length // shrinking)) for length in size]
    generator = torch.Generator(device).manual_seed(seed)
    used = 0
    best = clean.new_full((count,), math.inf)

    def stretched(values: Tensor) -> Tensor:
        return nn.functional.interpolate(values, size=size, mode="bilinear", align_corners=False)

    def within(difference: Tensor, limit: Tensor) -> Tensor:
        return torch.maximum(torch.minimum(difference, column(limit)), -column(limit))

    def holds(difference: Tensor) -> Tensor:
        nonlocal used, best
        used += 1
        asked = (clean + difference).clamp(0, 1)
        held = model(asked).argmax(1) == targets
        norm = perturbation_norm(asked - clean, "linf")
        best = torch.where(held & (norm < best), norm, best)
        return held

    delta = case.starts - clean
    holds(delta)
    low, high = clean.new_zeros(count), perturbation_norm(delta, "linf")
    for _ in range(10):
        middle = (low + high) / 2
        held = holds(within(delta, middle))
        low, high = torch.where(held, low, middle), torch.where(held, middle, high)
    delta = within(delta, high)
    alpha = clean.new_full((count,), 0.004)
    keep = clean.new_full((count, clean.shape[1], *coarse), 0.999)
    projected, flipped, rounds = clean.new_zeros(count), clean.new_zeros(count), 0
    while True:
        if used % 20 < 2:
            record.note(torch.full((count,), used), best)
        rounds += 1
        sign = torch.randn(keep.shape, generator=generator, device=device).sign()
        limit = (perturbation_norm(delta, "linf") - alpha).clamp_min(0)
        smaller = within(delta + stretched(sign * column(alpha)), limit)
        held = holds(smaller)
        delta = torch.where(column(held), smaller, delta)
        projected += held
        kept = torch.bernoulli(keep, generator=generator) * 2 - 1
        turned = delta * stretched(kept).sign()
        held = holds(turned)
        delta = torch.where(column(held), turned, delta)
        keep = torch.where(column(held), keep - 1e-4 * kept, keep).clamp(0.99, 0.9999)
        flipped += held
        if rounds == 10:
            alpha = torch.where(projected > 7, alpha * 1.5, torch.where(projected < 3, alpha / 1.5, alpha))
            change = torch.where(flipped > 7, -0.001, torch.where(flipped < 3, 0.001, 0.0))
            keep = (keep + column(change)).clamp(0.99, 0.9999)
            projected, flipped, rounds = torch.zeros_like(alpha), torch.zeros_like(alpha), 0


class _Observed(nn.Module):
    """A model that takes down what an attack asks about all clips at once."""

    def __init__(self, case: Case, record: Record) -> None:
        super().__init__()
        self.case, self.record, self.used = case, record, 0
        self.best = case.clean.new_full((len(case.clean),), math.inf)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.case.model(pictures)
        if len(pictures) != len(self.case.clean):
            raise ValueError(f"the attack asked about {len(pictures)} pictures at once")
        self.used += 1
        norm = perturbation_norm(pictures - self.case.clean, "linf")
        held = logits.argmax(1) == self.case.targets
        self.best = torch.where(held & (norm < self.best), norm, self.best)
        if self.used % 20 == 1:
            self.record.note(torch.full((len(pictures),), self.used), self.best)
        return logits


def hop_skip_jump(case: Case, record: Record, seed: int) -> None:
    """Foolbox's HopSkipJump (Chen et al. 2020), L∞, which sees the best label alone."""
    torch.manual_seed(seed)
    attack = foolbox.attacks.HopSkipJumpAttack(steps=10**6, constraint="linf")
    model: Any = foolbox.PyTorchModel(_Observed(case, record).eval(), (0, 1), device=case.clean.device)
    attack.run(model, case.clean, TargetedMisclassification(case.targets), starting_points=case.starts)
