"""The worst case over the attacks: a clip is lost if any attack wins it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from advaudio.evaluation.clip_results import MODELS
from advaudio.evaluation.headline import bound_of
from advaudio.evaluation.rho import perturbations


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
        still classified correctly then), `mean_l2` (of each fooled clip's smallest).
    """
    result: dict[str, dict[str, float | None]] = {}
    bounds = {name: bound_of(perturbations(table, "original"), threshold) for name, table in tables.items()}
    for model in MODELS:
        own = [perturbations(table, model) for table in tables.values()]
        l2 = [perturbations(table, model, "l2") for table in tables.values()]
        if not own or not len(own[0]):
            result[model] = dict.fromkeys(
                ("fooling_rate", "fooling_rate_under_bound", "accuracy_under_bound", "mean_l2")
            )
            continue
        fooled = np.any([np.isfinite(values) for values in own], axis=0)
        within = np.any(
            [values <= (bounds[name] or 0.0) for name, values in zip(tables, own, strict=True)], axis=0
        )
        smallest = np.min(l2, axis=0)
        clips = int((next(iter(tables.values()))["model"] == model).sum())
        result[model] = {
            "fooling_rate": float(fooled.mean()),
            "fooling_rate_under_bound": float(within.mean()),
            "accuracy_under_bound": float((~within).sum() / clips),
            "mean_l2": float(smallest[np.isfinite(smallest)].mean()) if fooled.any() else None,
        }
    return result
