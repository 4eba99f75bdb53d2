"""The fooling curve of an attack on a model, and the figures read from it.

A *perturbations* array holds, for every correctly classified clip, the norm of the smallest perturbation that
fooled the model, and infinity where none did. The fooling curve is its empirical distribution function:
F(ε) = share of the clips with a perturbation of at most ε.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def fooling_rate(perturbations: Array, bound: float = np.inf) -> float | None:
    """Share (0 to 1) of the clips fooled by a perturbation of at most `bound`; None without clips.

    Without a bound, every finite perturbation counts.
    """
    if not len(perturbations):
        return None
    return float(np.mean((perturbations <= bound) & np.isfinite(perturbations)))


def epsilon_at(perturbations: Array, rate: float) -> float | None:
    """Smallest ε at which the fooling curve reaches `rate` (0 to 1), or None if it never does."""
    if not len(perturbations):
        return None
    ordered = np.sort(perturbations)
    # The tolerance keeps 0.9 · 30 clips at 27 although the product is a hair above it.
    needed = max(1, int(np.ceil(rate * len(ordered) - 1e-9)))
    epsilon = float(ordered[needed - 1])
    return epsilon if np.isfinite(epsilon) else None


def area_under_curve(perturbations: Array, largest_epsilon: float) -> float | None:
    """Area under the fooling curve over [0, `largest_epsilon`], divided by `largest_epsilon`: 0 to 1.

    The area under a step function is exact: a clip fooled at ε adds 1 − ε / `largest_epsilon`.
    """
    if not len(perturbations) or not largest_epsilon > 0:
        return None
    return float(np.mean(np.clip(1.0 - perturbations / largest_epsilon, 0.0, 1.0)))


def mean_perturbation(perturbations: Array) -> float | None:
    """Mean norm over the clips that were fooled, or None if none was."""
    fooled = perturbations[np.isfinite(perturbations)]
    return float(np.mean(fooled)) if len(fooled) else None


def mean_of_easiest(perturbations: Array, share: float) -> float | None:
    """Mean norm over the easiest `share` (0 to 1) of the clips, or None if less than that was fooled.

    The last clip counts in part where the share ends within it.
    """
    ordered = np.sort(perturbations)
    wanted = share * len(ordered)
    # The tolerance keeps a share of 4 of 5 clips at 4.
    taken = np.clip(wanted - np.arange(len(ordered)), 0.0, 1.0)
    part = taken > 1e-9
    if not part.any() or not np.isfinite(ordered[part]).all():
        return None
    return float(np.sum(taken[part] * ordered[part]) / wanted)


def curve(perturbations: Array) -> tuple[Array, Array]:
    """Corners of the fooling curve: increasing ε from 0, and the fooling rate from each ε on."""
    fooled = np.sort(perturbations[np.isfinite(perturbations)])
    epsilon, counts = np.unique(fooled, return_counts=True)
    rate = np.cumsum(counts) / max(1, len(perturbations))
    if not len(epsilon) or epsilon[0] > 0:
        epsilon, rate = np.concatenate(([0.0], epsilon)), np.concatenate(([0.0], rate))
    return epsilon, rate
