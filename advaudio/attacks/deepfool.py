"""DeepFool: step to the nearest linearised class boundary (Moosavi-Dezfooli et al., arXiv 1511.04599)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from advaudio.attack_interface.base import Attack, above_zero, bisect_to_boundary, column
from advaudio.attack_interface.problem import Problem
from advaudio.core.errors import AdvaudioError

OVERSHOOT_BISECTIONS = 5
ROWS_OF_ONE_BACKWARD = 2048


@dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    """Leave the true class over the nearest boundary, without a target (Eq. 4 of the paper).

    All other classes are candidates. The batch shrinks as samples succeed. Features that already lie on a
    bound and would have to leave it do not count when the distance to a boundary is computed. The overshoot
    is only there to cross the boundary, so it is bisected to the smallest that does.

    Parameters
    ----------
    ball
        Norm to be small: "linf" (the paper) or "l2".
    iterations
        Largest number of steps.
    overshoot
        How far beyond the boundary to go, as a share of the perturbation.
    candidates
        How many of the classes most likely at the start to look at, the true one included, at least 2; None: all.
    followed
        How many boundaries, the nearest ones at the first step, to look at in the later steps; a step costs
        a backward pass for each.
    """

    ball: Literal["linf", "l2"] = "linf"
    iterations: int = 100
    overshoot: float = 0.02
    candidates: int | None = None
    followed: int = 10

    untargeted_only: ClassVar[bool] = True

    def __post_init__(self) -> None:
        above_zero(iterations=self.iterations, overshoot=self.overshoot, followed=self.followed)
        if self.candidates is not None and self.candidates < 2:
            raise AdvaudioError(
                f"DeepFool's candidates is {self.candidates}; it must be at least 2, or null."
            )

    @property
    def norm(self) -> Literal["linf", "l2"]:  # type: ignore[override]
        return self.ball

    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        pictures, goal, bounds, device = (
            problem.pictures,
            problem.goal,
            problem.bounds,
            problem.pictures.device,
        )
        total = torch.zeros_like(pictures)
        found = torch.zeros(len(pictures), dtype=torch.bool, device=device)
        live = torch.arange(len(pictures), device=device)
        clean, labels, shift = pictures, goal.classes, total
        others: Tensor | None = None
        for iteration in range(self.iterations + 1):
            current = (clean + (1 + self.overshoot) * shift).clamp(*bounds).detach().requires_grad_(True)
            with torch.enable_grad():
                logits = problem.model(current)
            if others is None:
                others = self._candidates(logits.detach(), labels)
            problem.meter.add(live, forwards=1, iterations=1)
            reached = goal.select(live).reached(logits.detach())
            # An iteration costs a backward pass per class; one wait for the device is nothing beside it.
            keep = (~reached).nonzero().squeeze(1)
            if len(keep) < len(live):
                won = reached.nonzero().squeeze(1)
                total[live[won]], found[live[won]] = shift[won], True
            if not len(keep) or iteration == self.iterations:
                break
            group = max(1, ROWS_OF_ONE_BACKWARD // len(live)) if device.type == "cuda" else 1
            gaps, slopes = boundaries(logits, current, labels, others, keep, group=group)
            problem.meter.add(live, backwards=others.shape[1])
            live, clean, labels = live[keep], clean[keep], labels[keep]
            shift, others = shift[keep], others[keep]
            step, distance = nearest_boundary_step(
                current.detach()[keep], gaps, slopes, ball=self.ball, bounds=bounds
            )
            shift = shift + step
            if others.shape[1] > self.followed:
                nearest = distance.topk(self.followed, dim=0, largest=False).indices
                others = others.gather(1, nearest.T)
            possible = distance.amin(0).isfinite()
            if not bool(possible.all()):
                open_ = possible.nonzero().squeeze(1)
                live, clean, labels = live[open_], clean[open_], labels[open_]
                shift, others = shift[open_], others[open_]
                if not len(live):
                    break
        return self._least_overshoot(problem, total, found), found

    def _candidates(self, logits: Tensor, labels: Tensor) -> Tensor:
        classes = logits.shape[1]
        without = logits.scatter(1, labels[:, None], -math.inf)
        return without.topk(min(self.candidates or classes, classes) - 1, dim=1).indices

    def _least_overshoot(self, problem: Problem, total: Tensor, found: Tensor) -> Tensor:
        rows = found.nonzero().squeeze(1)
        adversarial = problem.pictures.clone()
        if len(rows):
            won = problem.select(rows)
            adversarial[rows] = bisect_to_boundary(
                won,
                (won.pictures + (1 + self.overshoot) * total[rows]).clamp(*problem.bounds),
                won.goal.reached,
                smallest=1 / (1 + self.overshoot),
                bisections=OVERSHOOT_BISECTIONS,
            )
        return adversarial


def nearest_boundary_step(
    pictures: Tensor,
    gaps: Tensor,
    slopes: Tensor,
    *,
    ball: Literal["linf", "l2"],
    bounds: tuple[float, float] = (0.0, 1.0),
) -> tuple[Tensor, Tensor]:
    """Find the smallest step that reaches the nearest boundary of the linearised model.

    Parameters
    ----------
    pictures
        (N, channels, height, width).
    gaps
        (candidates, N): score of the true class above each candidate's.
    slopes
        (candidates, N, channels, height, width): gradient of candidate minus true class.

    Returns
    -------
    tuple
        The step of each sample, and the distance to each boundary (candidates, N), infinite where no feature
        that can move matters.
    """
    free = ~(((pictures <= bounds[0]) & (slopes < 0)) | ((pictures >= bounds[1]) & (slopes > 0)))
    slopes = slopes * free
    flat = slopes.flatten(2)
    size = flat.abs().sum(2) if ball == "linf" else flat.square().sum(2)
    tiny = torch.finfo(size.dtype).tiny
    scale = torch.where(size > tiny, gaps.abs() / size.clamp_min(tiny), math.inf)
    distance = scale if ball == "linf" else scale * size.sqrt()
    nearest = distance.argmin(0)
    samples = torch.arange(len(pictures), device=pictures.device)
    reachable = distance[nearest, samples].isfinite()
    direction = slopes[nearest, samples]
    if ball == "linf":
        direction = direction.sign()
    length = torch.where(reachable, scale[nearest, samples], 0.0)
    # A sample exactly on the boundary still has to move.
    return column(length.clamp_min(1e-7)) * direction, distance


def boundaries(
    logits: Tensor, pictures: Tensor, labels: Tensor, others: Tensor, keep: Tensor, *, group: int
) -> tuple[Tensor, Tensor]:
    """Backward passes for every candidate class.

    Parameters
    ----------
    logits, pictures
        (N, classes) with the graph back to (N, channels, height, width).
    labels, others
        True classes (N,) and candidates (N, candidates).
    keep
        Indices of the samples to return.
    group
        Candidates of one batched backward pass.

    Returns
    -------
    tuple
        Gaps (candidates, kept) and slopes (candidates, kept, channels, height, width), as
        `nearest_boundary_step` takes them.
    """
    samples, count = others.shape
    detached = logits.detach()
    gaps = detached.gather(1, labels[:, None]) - detached.gather(1, others)
    weights = logits.new_zeros(count, samples, logits.shape[1])
    weights.scatter_(2, others.T[:, :, None], 1.0)
    weights.scatter_add_(
        2, labels[None, :, None].expand(count, samples, 1), -weights.new_ones(count, samples, 1)
    )
    finished = torch.ones(samples, dtype=torch.bool, device=logits.device)
    finished[keep] = False
    weights[:, finished] = 0.0
    slopes = pictures.new_empty(count, len(keep), *pictures.shape[1:])
    for start in range(0, count, group):
        chunk = weights[start : start + group]
        last = start + group >= count
        if len(chunk) == 1:
            (gradient,) = torch.autograd.grad(logits, pictures, chunk[0], retain_graph=not last)
            slopes[start] = gradient[keep]
        else:
            (gradient,) = torch.autograd.grad(
                logits, pictures, chunk, retain_graph=not last, is_grads_batched=True
            )
            slopes[start : start + group] = gradient[:, keep]
    return gaps.T[:, keep], slopes
