"""The worst case over the attacks: a clip is lost if any attack wins it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS
from advaudio.robustness.fooling_curve import epsilon_at
from advaudio.robustness.rho import aligned, perturbations


def worst_case(
    tables: Mapping[str, pd.DataFrame], *, threshold: float = 0.9
) -> dict[str, dict[str, float | None]]:
    """Rates over the correctly classified clips when the adversary picks the best attack for each clip.

    Parameters
    ----------
    tables
        Name of each attack to its table of clips; all of the same clips and models.
    threshold
        Fooling rate on the original model that defines each attack's bound.

    Returns
    -------
    dict
        For each model: `fooling_rate` (by any attack), `fooling_rate_under_bound` (by any attack within the
        bound that the original model needs of that attack), `accuracy_under_bound` (share of *all* clips
        still classified correctly then), `mean_l2` (of each fooled clip's smallest). An attack that misses
        the threshold on the original model has no bound, and the rates within it count the others alone;
        None where there is no such attack.
    """
    result: dict[str, dict[str, float | None]] = {}
    bounds = {name: epsilon_at(perturbations(table, "original"), threshold) for name, table in tables.items()}
    bounded = {name: bound for name, bound in bounds.items() if bound is not None}
    for model in MODELS:
        own, l2 = aligned(tables, model), aligned(tables, model, "l2")
        if not own.size:
            result[model] = dict.fromkeys(
                ("fooling_rate", "fooling_rate_under_bound", "accuracy_under_bound", "mean_l2")
            )
            continue
        fooled, smallest = np.isfinite(own).any(axis=0), l2.min(axis=0)
        limits = np.array([bounded.get(name, -np.inf) for name in tables])
        within = (own <= limits[:, None]).any(axis=0)
        clips = int((next(iter(tables.values()))["model"] == model).sum())
        result[model] = {
            "fooling_rate": float(fooled.mean()),
            "fooling_rate_under_bound": float(within.mean()) if bounded else None,
            "accuracy_under_bound": float((~within).sum() / clips) if bounded else None,
            "mean_l2": float(smallest[np.isfinite(smallest)].mean()) if fooled.any() else None,
        }
    return result
