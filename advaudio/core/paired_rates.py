"""Rates on the same clips: whether one is higher than another, or than a few, beyond chance and by an amount that matters.

A difference of rates alone is no sign: of 32 clips, two that changed sides are 6 points. Each comparison here asks for
both, a difference above a tolerance and an exact one-sided test at `SIGNIFICANCE`. Where several pairs are compared,
each is tested at that level.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGNIFICANCE = 0.01
TOLERANCE = 0.05
"""Our choice: a rate that is wrong by less does not change what is said of a model."""
FEW = 0.01
"""Share of clips that may be exceptions."""
WIDE_GAP = 0.3
"""By how much iterations fool more clips than one step where adversarial training has collapsed: our choice. Models trained
with one step lie either below it or, most of them, far above."""
FEWEST_CLIPS = math.ceil(math.log2(1 / SIGNIFICANCE))
"""With fewer clips no paired comparison can be significant."""


def mcnemar(first_alone: int, second_alone: int) -> float:
    """P-value of McNemar's exact test, one-sided: that the first of two rates on the same clips is the higher one.

    P(X ≥ `first_alone`) for X ~ Binomial(`first_alone` + `second_alone`, ½); McNemar 1947.

    Parameters
    ----------
    first_alone, second_alone
        Number of clips that are fooled in the first case and not in the second, and the reverse.
    """
    return _upper_tail(first_alone, first_alone + second_alone, 0.5)


def more_often(first: NDArray[Any], second: NDArray[Any], *, tolerance: float = TOLERANCE) -> bool:
    """Whether `first` holds for more of the same clips than `second`, both (N,) bool.

    Its share must be higher by more than `tolerance`, and McNemar's test must be significant.
    """
    alone, reverse = _alone(first, second)
    # The last term keeps 3 of 60 clips from exceeding 0.05 by rounding.
    if not len(first) or alone - reverse <= tolerance * len(first) + 1e-9:
        return False
    return mcnemar(alone, reverse) < SIGNIFICANCE


def far_more_often(first: NDArray[Any], second: NDArray[Any]) -> bool | None:
    """Whether `first` holds for at least `WIDE_GAP` more of the same clips than `second`, beyond chance.

    Both are (N,) bool. None with fewer than `FEWEST_CLIPS` clips, which can tell nothing.
    """
    if len(first) < FEWEST_CLIPS:
        return None
    alone, reverse = _alone(first, second)
    return alone - reverse >= WIDE_GAP * len(first) - 1e-9 and mcnemar(alone, reverse) < SIGNIFICANCE


def more_than_few(count: int, clips: int, *, tolerance: float = TOLERANCE) -> bool:
    """Whether `count` of `clips` is more than some exceptions.

    It must be more than the share `tolerance`, and significantly more than the share `FEW` (exact binomial test).
    """
    return count > tolerance * clips + 1e-9 and _upper_tail(count, clips, FEW) < SIGNIFICANCE


def _alone(first: NDArray[Any], second: NDArray[Any]) -> tuple[int, int]:
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    return int((first & ~second).sum()), int((second & ~first).sum())


def _upper_tail(count: int, trials: int, chance: float) -> float:
    return math.fsum(
        math.comb(trials, hits) * chance**hits * (1 - chance) ** (trials - hits)
        for hits in range(count, trials + 1)
    )
