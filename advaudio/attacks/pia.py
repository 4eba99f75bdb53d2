"""Partial-information attack: NES gradients from top-k scores (Ilyas et al. 2018, arXiv 1804.08598)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from advaudio.attack_interface.base import Attack, above_zero, column, perturbation_norm
from advaudio.attack_interface.oracle import TopKOracle
from advaudio.attack_interface.problem import Meter, Model, Norm, Problem
from advaudio.core.errors import AdvaudioError

PROPOSALS = 6
"""Most steps tried after one estimate, each half as large."""


@dataclass(frozen=True, kw_only=True)
class Pia(Attack):
    """Walk from a picture of the target class towards the clean one, holding the target in the top k.

    Each iteration estimates the gradient of the target's log-probability from antithetic Gaussian queries
    (NES, arXiv 1804.08598, section 2.2), takes a signed step with momentum, and shrinks the L∞ ball around
    the clean picture as far as the target stays the **best** label: by `shrink` of ε at first, halved until a
    proposal holds. A step that leaves the ball as it is needs the target among the top k only. The smallest
    perturbation at which the target was the best label counts.

    Beyond the paper: a query that loses the target is not left out, it counts as worse than all that keep it,
    which shows the way back from the boundary where the walk spends its time; the queries weigh by the normal
    scores of their ranks; the steps are a small share of ε; the start is first projected onto the smallest ball
    that holds it; the noise is smooth; its σ is found by a line search per sample, before the first iteration
    and again every `search_every`.

    The noise of an iteration is the same for every sample (common random numbers), so a sample's result
    does not depend on which others share its batch.

    Parameters
    ----------
    iterations
        Largest number of NES estimates (without those of the line search).
    samples
        Queries of one estimate, in antithetic pairs.
    top_k
        Labels and scores that the model returns.
    largest_epsilon
        The attack succeeds when the perturbation is at most this; a share of the bounds' range.
    learning_rate
        Size of the first signed steps, as a share of ε; multiplied by `decay` when no proposal holds.
    slowing
        Iterations after which the steps are half as large; after n times as many they are 1 / (n + 1). None: the
        steps keep their size. With few iterations, large steps that fall are the better ones.
    decay
        See `learning_rate`; the rate recovers as far when a proposal holds at once.
    momentum
        Share of the previous estimates in the direction.
    standard_deviations
        σ of the NES noise among which the line search chooses, as shares of the bounds' range.
    smoothing
        Passes of the noise through the binomial filter 1, 2, 1 along both axes; 0 leaves it white. The
        gradients of networks on spectrograms have more energy in low frequencies, where fewer queries find it.
    search_every
        Iterations between line searches.
    shrink
        Largest share of ε by which one proposal shrinks it.
    patience
        A sample stops when its best perturbation has not fallen by 1 % in so many iterations.
    seed
        Of the noise.
    """

    iterations: int = 500
    samples: int = 100
    top_k: int = 1
    largest_epsilon: float = 1.0
    learning_rate: float = 0.02
    slowing: float | None = None
    decay: float = 0.7
    momentum: float = 0.9
    standard_deviations: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03)
    smoothing: int = 1
    search_every: int = 100
    shrink: float = 0.25
    patience: int = 100
    seed: int = 0

    norm: ClassVar[Norm] = "linf"
    targeted_only: ClassVar[bool] = True
    needs_starting_points: ClassVar[bool] = True

    def __post_init__(self) -> None:
        above_zero(
            iterations=self.iterations,
            largest_epsilon=self.largest_epsilon,
            learning_rate=self.learning_rate,
            search_every=self.search_every,
            patience=self.patience,
        )
        if self.slowing is not None:
            above_zero(slowing=self.slowing)
        above_zero(**{f"standard_deviations[{i}]": sigma for i, sigma in enumerate(self.standard_deviations)})
        if self.samples < 2 or self.samples % 2:
            raise AdvaudioError(
                f"PIA's samples is {self.samples}; it must be an even number (antithetic pairs)."
            )
        if not (0 < self.shrink < 1 and 0 < self.decay < 1 and 0 <= self.momentum < 1):
            raise AdvaudioError(
                f"PIA's shrink ({self.shrink}) and decay ({self.decay}) must lie between 0 and 1, "
                f"momentum ({self.momentum}) from 0 to below 1."
            )
        if self.smoothing < 0:
            raise AdvaudioError(f"PIA's smoothing is {self.smoothing}; it must be 0 (white noise) or more.")
        if not self.standard_deviations:
            raise AdvaudioError("PIA's standard_deviations is empty; give at least one.")

    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        model, pictures, goal, bounds = problem.model, problem.pictures, problem.goal, problem.bounds
        meter, starting_points = problem.meter, problem.starting_points
        if starting_points is None:
            raise AssertionError("checked by Attack.search")
        walk = Walk(self, model, pictures, starting_points, goal.classes, bounds, meter)
        for iteration in range(self.iterations):
            if not len(walk.live):
                break
            walk.advance(iteration)
        return walk.best, walk.best_norm <= self.largest_epsilon

    def _verified(self, problem: Problem, adversarial: Tensor) -> Tensor:
        problem.meter.add(queries=1)
        return super()._verified(problem, adversarial)


def rows_of_one_pass(pictures: Tensor) -> int:
    """Pictures to send through the model at once: a cache's worth on a CPU, 256 MiB of them on a GPU."""
    if pictures.device.type == "cpu":
        return 256
    return max(1, min(16384, 2**26 // pictures[0].numel()))


def binomial_norm(passes: int) -> float:
    """L2 norm of the filter 1, 2, 1 applied so many times along one axis."""
    return math.sqrt(math.comb(4 * passes, 2 * passes))


class Walk:
    """State of a shrinking batch; `live` holds the indices of the samples still walking.

    Parameters
    ----------
    settings
        The attack.
    model
        Pictures to logits.
    clean, start
        (N, channels, height, width); NaN in `start` says that a sample has none.
    targets
        (N,) int64.
    bounds
        Lowest and highest value of a picture.
    meter
        Counts what each sample costs.

    Attributes
    ----------
    best, best_norm
        The smallest perturbation so far at which the target was the best label, and its L∞ norm (N,), ∞ where
        there is none.
    """

    halvings_of_start: ClassVar[int] = 5
    """Of the interval in which the smallest ball that holds the start is looked for."""

    def __init__(
        self,
        settings: Pia,
        model: Model,
        clean: Tensor,
        start: Tensor,
        targets: Tensor,
        bounds: tuple[float, float],
        meter: Meter,
    ) -> None:
        self.settings, self.bounds, self.meter = settings, bounds, meter
        self.oracle = TopKOracle(model, settings.top_k, rows_of_one_pass=rows_of_one_pass(clean))
        self.range = bounds[1] - bounds[0]
        self.original = clean
        self.best = clean.clone()
        self.best_norm = clean.new_full((len(clean),), math.inf)
        self.best_since = torch.zeros(len(clean), dtype=torch.int64, device=clean.device)
        self.patient_norm = self.best_norm.clone()
        self.live = torch.arange(len(clean), device=clean.device)
        has_start = ~start.isnan().flatten(1).any(1)
        self.clean, self.targets = clean, targets
        self.current = torch.where(column(has_start), start, clean)
        self.epsilon = perturbation_norm(self.current - clean, "linf")
        self.shrink = torch.full_like(self.epsilon, settings.shrink)
        self.rate = torch.full_like(self.epsilon, settings.learning_rate)
        self.direction = torch.zeros_like(clean)
        self.sigma = torch.full_like(self.epsilon, settings.standard_deviations[0] * self.range)
        self._begin(has_start)

    def _begin(self, has_start: Tensor) -> None:
        """Leave out the samples whose start the model does not take for the target; bring the others near."""
        _, best = self._ask(self.current, self.targets, self.live)
        self._record(self.live, self.current, best & has_start)
        self.keep(best & has_start)
        lower = torch.zeros_like(self.epsilon)
        for _ in range(self.halvings_of_start if len(self.live) else 0):
            middle = (lower + self.epsilon) / 2
            nearer = self._project(self.current, middle, self.clean)
            _, best = self._ask(nearer, self.targets, self.live)
            self._record(self.live, nearer, best)
            self.current = torch.where(column(best), nearer, self.current)
            self.epsilon = torch.where(best, middle, self.epsilon)
            lower = torch.where(best, lower, middle)

    def advance(self, iteration: int) -> None:
        """One iteration of every live sample; those that have come to a stand leave."""
        if iteration % self.settings.search_every == 0:
            self._choose_deviation(iteration)
        self._step(iteration)
        self._leave(iteration)

    def keep(self, mask: Tensor) -> None:
        """Go on with some of the live samples only: (live,) bool."""
        self.live, self.clean, self.current = self.live[mask], self.clean[mask], self.current[mask]
        self.targets, self.epsilon, self.shrink = self.targets[mask], self.epsilon[mask], self.shrink[mask]
        self.rate, self.direction, self.sigma = self.rate[mask], self.direction[mask], self.sigma[mask]

    def _choose_deviation(self, iteration: int) -> None:
        """Take for each sample the σ whose estimate allows the longest step that holds the target.

        Among equally long steps the one that raises the target's score most decides. An estimate that says
        nothing (every query alike) holds no step.
        """
        settings = self.settings
        if len(settings.standard_deviations) == 1:
            return
        fewest = torch.full_like(self.epsilon, math.inf)
        highest = torch.full_like(self.epsilon, -math.inf)
        for number, share in enumerate(settings.standard_deviations):
            sigma = torch.full_like(self.epsilon, share * self.range)
            estimate = self._estimate(sigma, (iteration, 1 + number))
            halvings, score = self._longest_step(estimate.sign())
            better = (halvings < fewest) | ((halvings == fewest) & (score > highest))
            fewest, highest = torch.where(better, halvings, fewest), torch.where(better, score, highest)
            self.sigma = torch.where(better, sigma, self.sigma)

    def _longest_step(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Halvings of the step after which it holds the target (∞: never), and the target's score there."""
        halvings = torch.full_like(self.epsilon, math.inf)
        scores = torch.full_like(self.epsilon, -math.inf)
        pending = direction.flatten(1).any(1).nonzero().squeeze(1)
        for count in range(PROPOSALS):
            if not len(pending):
                break
            step = column((self.rate * self.epsilon)[pending] / 2**count)
            moved = self._project(
                self.current[pending] + step * direction[pending], self.epsilon[pending], self.clean[pending]
            )
            score, best = self._ask(moved, self.targets[pending], self.live[pending])
            self._record(self.live[pending], moved, best)
            holds = score.isfinite()
            halvings[pending[holds]], scores[pending[holds]] = float(count), score[holds].to(scores.dtype)
            pending = pending[~holds]
        return halvings, scores

    def _step(self, iteration: int) -> None:
        """Estimate, then propose ever smaller steps until one holds the target."""
        settings = self.settings
        largest = settings.learning_rate
        if settings.slowing is not None:
            largest /= 1 + iteration / settings.slowing
        self.rate = self.rate.clamp_max(largest)
        estimate = self._estimate(self.sigma, (iteration, 0))
        # Scaled per sample, so that momentum does not favour the iterations with large scores.
        size = column(estimate.flatten(1).abs().amax(1)).clamp_min(1e-30)
        self.direction = settings.momentum * self.direction + (1 - settings.momentum) * estimate / size
        self.meter.add(self.live, iterations=1)
        pending = torch.arange(len(self.live), device=self.live.device)
        shrink, rate = self.shrink.clone(), self.rate.clone()
        for proposal in range(PROPOSALS):
            last = proposal == PROPOSALS - 1
            share = torch.zeros_like(shrink) if last else shrink
            epsilon = (self.epsilon * (1 - share))[pending]
            step = column((rate * self.epsilon)[pending])
            moved = self._project(
                self.current[pending] + step * self.direction[pending].sign(), epsilon, self.clean[pending]
            )
            rows = self.live[pending]
            score, best = self._ask(moved, self.targets[pending], rows)
            self._record(rows, moved, best)
            # The ball shrinks only around a picture whose best label is the target.
            holds = score.isfinite() if last else best
            self.current[pending] = torch.where(column(holds), moved, self.current[pending])
            held = pending[holds]
            norm = perturbation_norm(moved[holds] - self.clean[held], "linf")
            self.epsilon[held] = torch.where(best[holds], norm, self.epsilon[held])
            if proposal == 0:
                self.shrink[held] = (shrink[held] * 1.5).clamp_max(settings.shrink)
                self.rate[held] = (rate[held] / settings.decay).clamp_max(largest)
            else:
                self.shrink[held] = shrink[held].clamp_min(1e-3)
            pending = pending[~holds]
            if not len(pending):
                return
            shrink[pending] /= 2
            if last:
                self.rate[pending] = (rate[pending] * settings.decay).clamp_min(1e-3)
                self.shrink[pending] = shrink[pending].clamp_min(1e-3)

    def _leave(self, iteration: int) -> None:
        """Let the samples go that have come to a stand."""
        norm = self.best_norm[self.live]
        fell = norm < 0.99 * self.patient_norm[self.live]
        self.patient_norm[self.live] = torch.where(fell, norm, self.patient_norm[self.live])
        self.best_since[self.live] = torch.where(fell, iteration, self.best_since[self.live])
        waiting = iteration - self.best_since[self.live] < self.settings.patience
        if not bool(waiting.all()):
            self.keep(waiting)

    def weights(self, scores: Tensor) -> Tensor:
        """What each query counts in the estimate: the normal scores of the ranks, alike for alike queries.

        Queries that lost the target share the lowest ranks.

        Parameters
        ----------
        scores
            (clips, queries) log-probabilities of the target, -inf where it was lost.
        """
        above = (scores[:, :, None] > scores[:, None, :]).sum(2)
        alike = (scores[:, :, None] == scores[:, None, :]).sum(2)
        quantile = (above + alike.to(scores.dtype) / 2) / scores.shape[1]
        return torch.special.ndtri(quantile)

    def _estimate(self, sigma: Tensor, stream: tuple[int, int]) -> Tensor:
        """NES estimate of the gradient of each live sample's target score, up to a positive factor."""
        shape = self.clean.shape[1:]
        pairs = self.settings.samples // 2
        noise = self._noise(pairs, stream)
        estimates = []
        group = max(1, self.oracle.rows_of_one_pass // self.settings.samples)
        for start in range(0, len(self.live), group):
            part = slice(start, start + group)
            centre = self.current[part, None]
            offset = sigma[part, None, None, None, None] * noise
            queries = torch.cat((centre + offset, centre - offset), 1).clamp_(*self.bounds)
            count = len(queries)
            targets = self.targets[part].repeat_interleave(2 * pairs)
            score, _ = self.oracle.target_score(queries.reshape(-1, *shape), targets)
            weight = self.weights(score.reshape(count, 2 * pairs))
            signed = weight[:, :pairs] - weight[:, pairs:]
            estimates.append((signed @ noise.reshape(pairs, -1)).reshape(count, *shape))
        self.meter.add(self.live, forwards=2 * pairs, queries=2 * pairs)
        return torch.cat(estimates)

    def _noise(self, pairs: int, stream: tuple[int, int]) -> Tensor:
        seed = int(np.random.SeedSequence([self.settings.seed, *stream]).generate_state(1, np.uint64)[0] >> 1)
        generator = torch.Generator(device=self.clean.device).manual_seed(seed)
        noise = torch.randn(pairs, *self.clean.shape[1:], generator=generator, device=self.clean.device)
        for _ in range(self.settings.smoothing):
            for axis in (2, 3):
                noise = noise.roll(-1, axis) + 2 * noise + noise.roll(1, axis)
        return noise / binomial_norm(self.settings.smoothing) ** 2

    def _project(self, pictures: Tensor, epsilon: Tensor, clean: Tensor) -> Tensor:
        limit = column(epsilon)
        return torch.maximum(torch.minimum(pictures, clean + limit), clean - limit).clamp(*self.bounds)

    def _ask(self, pictures: Tensor, targets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        self.meter.add(rows, forwards=1, queries=1)
        return self.oracle.target_score(pictures, targets)

    def _record(self, rows: Tensor, pictures: Tensor, best: Tensor) -> None:
        norm = perturbation_norm(pictures - self.original[rows], "linf")
        better = best & (norm < self.best_norm[rows])
        self.best[rows] = torch.where(column(better), pictures, self.best[rows])
        self.best_norm[rows] = torch.where(better, norm, self.best_norm[rows])
