"""Numbers with 95 % intervals, how intervals combine, and what they say against a limit.

Rules, the same in every table and verdict:

- A share of clips has Wilson's score interval (Wilson 1927).
- The interval of a mean over attacks or cells is the mean of their intervals' ends. The clips are the same,
  so errors go together; the result is never narrower than the true interval.
- The interval of a difference is Newcombe's (1998, method 10): the distances to the ends add in quadrature.
- The interval of a median lies between two of the ordered values, by the binomial distribution.
- Several looks at one claim are corrected by Holm (1979).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import erfc, inf, isfinite, log, sqrt

import numpy as np
from scipy.stats import binom, norm, t

COVERAGE = 0.95
QUANTILE = float(norm.ppf(0.5 + COVERAGE / 2))


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


@dataclass(frozen=True)
class Tally:
    """How many of so many clips agree with a statement that asks for a share (0 to 1) of them."""

    agreeing: int
    clips: int
    share: float

    @property
    def chance(self) -> float:
        """Probability of so few or fewer if each clip agrees with probability `share`, exactly.

        Not by the normal approximation: with 50 clips and a share of 0.9 that is wrong by a factor of three where
        a correction for many cases looks.
        """
        return float(binom.cdf(self.agreeing, self.clips, self.share))

    @property
    def with_one_more(self) -> Tally:
        """The same if one more of the clips agreed."""
        return Tally(min(self.agreeing + 1, self.clips), self.clips, self.share)


def chance_below(margin: Estimate, *, ratio: bool = False) -> float | None:
    """Probability of a margin so low or lower if the true one is 0; None where its interval is not known.

    From the 95 % interval by a normal approximation, with the half of the interval that lies on the side of 0, so
    that it is below 2.5 % exactly where the whole interval lies below 0.

    Parameters
    ----------
    ratio
        Whether the margin is a ratio minus 1: then on the scale of the ratio's logarithm.
    """
    if margin.low is None or margin.high is None:
        return None

    def on_scale(value: float) -> float:
        if not ratio:
            return value
        return log(1 + value) if value > -1 else -inf

    value = on_scale(margin.value)
    half = abs(value - on_scale(margin.high if margin.value < 0 else margin.low))
    if half == 0 or not isfinite(value):
        return 0.5 if value == 0 else float(value > 0)
    return erfc(-value * QUANTILE / half / sqrt(2)) / 2


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979, Scand. J. Statist. 6:65), in the order given.

    Those below 0.05 are together wrong with a probability of at most 5 %, however the tests depend on each other.
    """
    adjusted = [0.0] * len(chances)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[position]))
        adjusted[position] = largest
    return adjusted


def median_of(values: Sequence[float]) -> Estimate:
    """Median of one value or more, with the interval between two ordered values that covers 95 % or more.

    Without an interval below six values: there the smallest and the largest cover less.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    # The largest rank with P(Binomial(n, 1/2) < rank) of at most 2.5 %.
    rank = int(binom.ppf((1 - COVERAGE) / 2, len(ordered), 0.5))
    if binom.cdf(rank, len(ordered), 0.5) <= (1 - COVERAGE) / 2:
        rank += 1
    middle = float(np.median(ordered))
    return Estimate(middle) if rank < 1 else Estimate(middle, float(ordered[rank - 1]), float(ordered[-rank]))


def share_of_clips(value: float, clips: int) -> Estimate:
    """Wilson's interval of a share (0 to 1) of `clips` clips."""
    weight = QUANTILE**2 / clips
    centre = (value + weight / 2) / (1 + weight)
    half = QUANTILE * sqrt(max(value * (1 - value), 0.0) / clips + weight / (4 * clips)) / (1 + weight)
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
