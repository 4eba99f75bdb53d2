"""Numbers with 95 % intervals, and how intervals combine.

Three rules, the same in every table and verdict:

- A share of clips has Wilson's score interval (Wilson 1927).
- The interval of a mean over attacks or cells is the mean of their intervals' ends. The clips are the same,
  so errors go together; the result is never narrower than the true interval.
- The interval of a difference is Newcombe's (1998, method 10): the distances to the ends add in quadrature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import norm, t

COVERAGE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval; `low` and `high` are None where the interval is not known."""

    value: float
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float) -> Estimate:
        """Value and ends times a positive factor."""
        return Estimate(
            self.value * factor,
            None if self.low is None else self.low * factor,
            None if self.high is None else self.high * factor,
        )

    def beyond(self, limit: float) -> int:
        """1: the whole interval lies above `limit`; −1: the whole lies below; 0: neither, or not known."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > limit) - int(self.high < limit)


def share_of_clips(value: float, clips: int) -> Estimate:
    """Wilson's interval of a share (0 to 1) of `clips` clips."""
    quantile = float(norm.ppf(0.5 + COVERAGE / 2))
    weight = quantile**2 / clips
    centre = (value + weight / 2) / (1 + weight)
    half = quantile * sqrt(max(value * (1 - value), 0.0) / clips + weight / (4 * clips)) / (1 + weight)
    return Estimate(value, min(value, centre - half), max(value, centre + half))


def mean(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """Mean of the known estimates and of their ends; without an interval if one of them has none."""
    known = [estimate for estimate in estimates if estimate is not None]
    if not known:
        return None
    value = float(np.mean([estimate.value for estimate in known]))
    low = [estimate.low for estimate in known if estimate.low is not None]
    high = [estimate.high for estimate in known if estimate.high is not None]
    if len(low) < len(known) or len(high) < len(known):
        return Estimate(value)
    return Estimate(value, float(np.mean(low)), float(np.mean(high)))


def difference(first: Estimate | None, second: Estimate | None) -> Estimate | None:
    """`first` − `second`, with Newcombe's interval; None if one is not known."""
    if first is None or second is None:
        return None
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Estimate(value)
    below = sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    above = sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Estimate(value, value - below, value + above)


def over_seeds(estimates: Sequence[Estimate | None]) -> Estimate | None:
    """One estimate of repeats with other seeds: their mean with Student's interval; a single one is kept."""
    known = [estimate for estimate in estimates if estimate is not None]
    if len(known) < 2:
        return known[0] if known else None
    values = np.array([estimate.value for estimate in known])
    half = float(t.ppf(0.5 + COVERAGE / 2, len(values) - 1) * values.std(ddof=1) / sqrt(len(values)))
    return Estimate(float(values.mean()), float(values.mean()) - half, float(values.mean()) + half)
