"""The figures of `fooling_curve` and `rho` for many draws of the same clips at once.

A draw gives every clip a weight: how often it was drawn. A figure with weights is the figure of an array in which
each clip is repeated so often.
"""

from __future__ import annotations

import numpy as np

from advaudio.robustness.fooling_curve import Array

TOLERANCE = 1e-9
"""Keeps 0.9 · 30 clips at 27 although the product is a hair above it."""


class Draws:
    """One model's clips in several draws; every figure is an array (draws,), NaN where it is undefined.

    Parameters
    ----------
    perturbations
        Perturbation of each clip, (clips,), infinity where the attack failed.
    weights
        How often each draw has each clip, (draws, clips).
    """

    def __init__(self, perturbations: Array, weights: Array) -> None:
        order = np.argsort(perturbations, kind="stable")
        self._order, self._values = order, perturbations[order]
        self._weights = np.take(weights, order, axis=1)
        fooled = int(np.isfinite(perturbations).sum())
        self._counts = _sums_before(self._weights)
        self._sums = _sums_before(self._weights[:, :fooled] * self._values[:fooled])
        self._fooled = fooled
        self._rows = np.arange(len(weights))
        self._total = self._counts[:, -1]

    def fooling_rate(self, bound: Array | float = np.inf) -> Array:
        """Share (0 to 1) of the clips fooled by at most `bound`, one for all draws or (draws,)."""
        within = self._within(bound)
        return _ratio(self._counts[self._rows, within], self._total)

    def epsilon_at(self, rate: float) -> Array:
        """Smallest ε at which `rate` (above 0) is fooled; infinity where the draw never gets there."""
        return self._value_at(rate * self._total - TOLERANCE)

    def area_under_curve(self, largest_epsilon: Array) -> Array:
        """Area under the fooling curve up to `largest_epsilon` (draws,), divided by it."""
        within = self._within(largest_epsilon)
        known = np.isfinite(largest_epsilon) & (largest_epsilon > 0)
        divisor = np.where(known, largest_epsilon, 1.0)
        area = self._counts[self._rows, within] - self._sums[self._rows, within] / divisor
        return np.where(known, _ratio(area, self._total), np.nan)

    def mean_perturbation(self) -> Array:
        """Mean over the clips that were fooled."""
        return _ratio(self._sums[:, -1], self._counts[:, self._fooled])

    def mean_of_easiest(self, share: Array) -> Array:
        """Mean over the easiest `share` (draws,) of the clips; the last one counts in part."""
        wanted = share * self._total
        if not self._fooled:
            return np.full(len(self._rows), np.nan)
        whole = self._last_of(wanted)
        part = wanted - self._counts[self._rows, whole]
        return _ratio(self._sums[self._rows, whole] + part * self._values[whole], wanted)

    def influence(self, share: Array | None = None) -> Array:
        """How much each clip moves the logarithm of a mean, (draws, clips) in the order of the perturbations.

        Of `mean_perturbation`, or of `mean_of_easiest` with this share: then harder clips count as the hardest one
        in it (the influence function of a trimmed mean, Huber 1981, section 3.3). To be multiplied by the weights.
        """
        if share is None:
            mean, known = self.mean_perturbation(), np.isfinite(self._values)
            clipped = np.where(known, self._values, 0.0)
            ordered = np.where(known, clipped - mean[:, None], 0.0)
            divisor = self._counts[:, self._fooled] * mean
        else:
            wanted = share * self._total
            hardest = self._values[self._last_of(wanted)] if self._fooled else np.full(len(share), np.nan)
            clipped = np.minimum(self._values, hardest[:, None])
            average = _ratio((self._weights * clipped).sum(axis=1), self._total)
            ordered = clipped - average[:, None]
            divisor = wanted * self.mean_of_easiest(share)
        result = np.empty_like(ordered)
        result[:, self._order] = ordered / np.where(divisor > 0, divisor, np.nan)[:, None]
        return result

    def median(self) -> Array:
        """Median over all clips; infinity where half of them or more were not fooled."""
        half = self._total / 2
        return (self._value_at(half - TOLERANCE) + self._value_at(half + TOLERANCE)) / 2

    def _last_of(self, wanted: Array) -> Array:
        """Place of the fooled clip with which the count of clips reaches `wanted` (draws,)."""
        place = (self._counts[:, 1:] < wanted[:, None] - TOLERANCE).sum(axis=1)
        return np.minimum(place, self._fooled - 1)

    def _within(self, bound: Array | float) -> Array:
        bounds = np.broadcast_to(np.asarray(bound, dtype=float), self._rows.shape)
        return np.searchsorted(self._values[: self._fooled], bounds, side="right")

    def _value_at(self, wanted: Array) -> Array:
        """Perturbation of the clip with which the count of clips reaches `wanted` (draws,)."""
        if not len(self._values):
            return np.full(len(self._rows), np.nan)
        place = (self._counts[:, 1:] < np.maximum(wanted, TOLERANCE)[:, None]).sum(axis=1)
        values = self._values[np.minimum(place, len(self._values) - 1)]
        return np.where(self._total > 0, values, np.nan)


def _sums_before(columns: Array) -> Array:
    """Sums of the first 0, 1, … all columns of (rows, columns)."""
    sums = np.zeros((columns.shape[0], columns.shape[1] + 1))
    np.cumsum(columns, axis=1, out=sums[:, 1:])
    return sums


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Quotient of finite arrays, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(len(denominator), np.nan), where=denominator > 0)
