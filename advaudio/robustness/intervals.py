"""Confidence intervals over the recordings that clips were cut from.

Clips of one recording are alike, so recordings are drawn, with all their clips (cluster bootstrap). Which interval
a figure has depends on its kind; `studies.interval_coverage` measures how often each holds the true value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, ndtr, stdtrit

from advaudio.core.errors import AdvaudioError
from advaudio.robustness.fooling_curve import Array, epsilon_at

Interval = tuple[float, float]

COVERAGE = 0.95
LARGEST_BLOCK = 4_000_000
"""Weights that are held at once."""
NO_SPREAD = 1e-9
"""A relative standard error that is rounding, and no spread."""


@dataclass(frozen=True)
class Recordings:
    """From which recording each clip was cut: `codes` (clips,) from 0, ascending, without gaps.

    Raises
    ------
    AdvaudioError
        If the codes are not like that.
    """

    codes: Array

    def __post_init__(self) -> None:
        codes = self.codes
        if len(codes) and (codes[0] != 0 or not np.isin(np.diff(codes), (0, 1)).all()):
            raise AdvaudioError("Recordings must be numbered from 0, and their clips must stand together.")

    @property
    def count(self) -> int:
        """Number of recordings."""
        return int(self.codes[-1]) + 1 if len(self.codes) else 0

    def draws(self, samples: int, seed: int) -> Iterator[Array]:
        """Weights of the clips, (draws, clips), of `samples` draws of the recordings with replacement, in blocks.

        Raises
        ------
        AdvaudioError
            Without a sample.
        """
        if samples < 1:
            raise AdvaudioError(f"The bootstrap needs at least one sample (got {samples}).")
        generator = np.random.default_rng(seed)
        for size in _blocks(samples, len(self.codes)):
            drawn = generator.integers(self.count, size=(size, self.count))
            places = drawn + self.count * np.arange(size)[:, None]
            times = np.bincount(places.ravel(), minlength=size * self.count).reshape(size, self.count)
            yield np.take(times.astype(float), self.codes, axis=1)

    def left_out(self) -> Iterator[Array]:
        """Weights of the clips, (recordings, clips), without each recording in turn, in blocks."""
        first = 0
        for size in _blocks(self.count, len(self.codes)):
            rows = np.arange(first, first + size)
            yield (rows[:, None] != self.codes).astype(float)
            first += size

    def standard_error(self, influence: Array, weights: Array) -> Array:
        """Standard error (draws,) of a figure from the influence of each clip, both (draws, clips)."""
        starts = np.searchsorted(self.codes, np.arange(self.count))
        moved = np.add.reduceat(influence, starts, axis=1)
        variance = (np.take(weights, starts, axis=1) * moved**2).sum(axis=1)
        return np.sqrt(variance * self.count / (self.count - 1))


def percentile_interval(drawn: Array, recordings: int) -> Interval | None:
    """Percentile interval, widened for few recordings (Hesterberg 2015, "expanded percentile").

    Parameters
    ----------
    drawn
        The figure of each draw, NaN where it is undefined.
    recordings
        How many there are.

    Returns
    -------
    tuple or None
        None if the figure is undefined in more than half of the draws, or an end is infinite.
    """
    known = drawn[~np.isnan(drawn)]
    if recordings < 2 or len(known) * 2 <= len(drawn):
        return None
    tail = _tail(recordings)
    if np.isfinite(known).all():
        low, high = np.quantile(known, [tail, 1 - tail])
    else:
        # Interpolation between a number and infinity has no meaning.
        low, high = np.quantile(known, [tail, 1 - tail], method="nearest")
    return _finite(low, high)


def rate_interval(rate: float, drawn: Array, clips: int, recordings: int) -> Interval | None:
    """Interval of a share of the clips (Korn and Graubard 1998): never a point, also not at 0 and 1.

    It is Clopper and Pearson's exact interval for as many independent clips as tell as much.

    Parameters
    ----------
    rate
        Share from 0 to 1.
    drawn
        The share in each draw.
    clips, recordings
        How many the share is of.
    """
    low, high = _shares(rate, drawn, clips, recordings)
    return None if np.isnan(low) else (low, high)


def quantile_interval(perturbations: Array, epsilon: float, drawn: Array, recordings: int) -> Interval | None:
    """Interval of a quantile ε of the fooling curve (Woodruff 1952): where the curve has the ends of its interval at ε.

    Parameters
    ----------
    perturbations
        Of the clips, (clips,), infinity where not fooled.
    drawn
        Fooling rate within `epsilon` in each draw.
    recordings
        How many the clips are of.

    Returns
    -------
    tuple or None
        None where these clips give no upper end: too few are fooled with more than ε.
    """
    rate = float(np.mean(perturbations <= epsilon))
    low, high = _shares(rate, drawn, len(perturbations), recordings)
    if np.isnan(low) or high >= 1:
        return None
    ends = epsilon_at(perturbations, low), epsilon_at(perturbations, high)
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def ratio_interval(
    value: float, drawn: Array, errors: Array, left_out: Array, recordings: int
) -> Interval | None:
    """Symmetric bootstrap-t interval of the logarithm of a positive figure (Efron and Tibshirani 1993, chapter 12).

    It is widened for few recordings as `percentile_interval` is.

    The standard error in front is the jackknife's over recordings. It is larger than the linear one where few clips
    carry a mean, and there the linear one makes intervals too short.

    Parameters
    ----------
    value
        The figure, positive.
    drawn, errors
        The figure of each draw, and the linear standard error of its logarithm; NaN where undefined.
    left_out
        The figure without each recording in turn.
    recordings
        How many the figure is of.

    Returns
    -------
    tuple or None
        None if the figure is undefined in more than half of the draws, or without some recording.
    """
    usable = np.isfinite(drawn) & (drawn > 0) & np.isfinite(errors)
    if recordings < 2 or usable.sum() * 2 <= len(drawn) or not (np.isfinite(left_out) & (left_out > 0)).all():
        return None
    logarithms = np.log(left_out)
    spread = np.square(logarithms - logarithms.mean()).sum() * (len(left_out) - 1) / len(left_out)
    error = float(np.sqrt(spread))
    if error < NO_SPREAD:
        return value, value
    usable &= errors > NO_SPREAD
    if not usable.any():
        return None
    distances = np.abs(np.log(drawn[usable] / value)) / errors[usable]
    half = float(np.quantile(distances, 1 - 2 * _tail(recordings))) * error
    return _finite(value * np.exp(-half), value * np.exp(half))


def _tail(recordings: int) -> float:
    """Share of the draws beyond each end: less than 2.5 % for few recordings, whose draws spread too little."""
    widened = np.sqrt(recordings / (recordings - 1)) * stdtrit(recordings - 1, (1 - COVERAGE) / 2)
    return float(ndtr(widened))


def _shares(rate: float, drawn: Array, clips: int, recordings: int) -> Interval:
    if recordings < 2:
        return np.nan, np.nan
    quantile = 0.5 + COVERAGE / 2
    variance = float(np.nanvar(drawn)) * recordings / (recordings - 1)
    # Where every draw says the same, recordings are all that is known to be independent.
    alone = rate * (1 - rate) / variance if variance > 0 and 0 < rate < 1 else float(recordings)
    alone *= (stdtrit(clips - 1, quantile) / stdtrit(recordings - 1, quantile)) ** 2
    alone = min(alone, float(clips))
    fooled, missed = rate * alone, (1 - rate) * alone
    low = float(betaincinv(fooled, missed + 1, 1 - quantile)) if fooled > 0 else 0.0
    high = float(betaincinv(fooled + 1, missed, quantile)) if missed > 0 else 1.0
    return low, high


def _finite(low: float, high: float) -> Interval | None:
    return (float(low), float(high)) if np.isfinite(low) and np.isfinite(high) else None


def _blocks(rows: int, columns: int) -> Iterator[int]:
    size = max(1, LARGEST_BLOCK // max(1, columns))
    for first in range(0, rows, size):
        yield min(size, rows - first)
