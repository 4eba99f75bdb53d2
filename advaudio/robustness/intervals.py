"""Percentile bootstrap over clips (Efron 1979)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from advaudio.core.errors import AdvaudioError
from advaudio.robustness.fooling_curve import Array


def bootstrap_interval(
    statistic: Callable[[Array], float | None],
    clips: int,
    *,
    samples: int = 1000,
    coverage: float = 0.95,
    seed: int = 0,
) -> tuple[float, float] | None:
    """Interval of a statistic over draws of the clips with replacement.

    Parameters
    ----------
    statistic
        From the indices of the drawn clips (clips,) to a number, or None where it is undefined.
    clips
        How many clips there are.
    samples
        Number of draws.
    coverage
        Coverage of the interval, between 0 and 1.
    seed
        Seed of the draws.

    Returns
    -------
    tuple or None
        Lower and upper end; None if the statistic is undefined in more than half of the draws.
    """
    if samples < 1 or not 0 < coverage < 1:
        raise AdvaudioError(
            f"The bootstrap needs at least one sample (got {samples}) and a coverage between 0 and 1 "
            f"(got {coverage})."
        )
    if clips == 0:
        return None
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(clips, size=clips)) for _ in range(samples)]
    known = np.array([value for value in values if value is not None and np.isfinite(value)])
    if len(known) * 2 <= samples:
        return None
    low, high = np.quantile(known, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)
