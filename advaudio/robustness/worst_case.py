"""The worst case over the attacks: a clip is lost if any attack wins it.

The *strongest bound known* of a clip in a norm is the smallest perturbation that any attack of that norm found. It is
an upper bound of the true smallest one. Any wrong class counts: an attack that reached its target class has also found
a wrong class, so attacks with and without a target count alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS
from advaudio.robustness.fooling_curve import curve, epsilon_at, fooling_rate
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


def strongest_bounds(
    tables: Mapping[str, pd.DataFrame], norms: Mapping[str, str]
) -> dict[str, tuple[list[str], pd.DataFrame]]:
    """The strongest bound known of every clip, in each norm; see the module.

    Parameters
    ----------
    tables
        Name of each attack to its table of clips.
    norms
        Name of each attack to its norm.

    Returns
    -------
    dict
        Norm → the attacks of it, and a table of `model`, `sample`, `perturbation` (infinity: no attack fooled the
        model) with the clips that all of these attacks attacked.
    """
    found = {}
    for norm in dict.fromkeys(norms[name] for name in tables):
        names = [name for name in tables if norms[name] == norm]
        parts = []
        for model in MODELS:
            rows = [tables[name].loc[tables[name]["model"] == model] for name in names]
            own = [
                part.loc[part["perturbation"].notna()].set_index("sample")["perturbation"] for part in rows
            ]
            smallest = pd.concat(own, axis=1, join="inner").min(axis=1)
            parts.append(
                pd.DataFrame(
                    {"model": model, "sample": smallest.index, "perturbation": smallest.to_numpy(dtype=float)}
                )
            )
        found[norm] = (names, pd.concat(parts, ignore_index=True))
    return found


def summary_of_bounds(
    bounds: Mapping[str, tuple[list[str], pd.DataFrame]], *, threshold: float = 0.9
) -> dict[str, dict[str, Any]]:
    """What the record keeps of `strongest_bounds`.

    Returns
    -------
    dict
        Norm → `attacks`, their names, and `models`: model → `clips` (attacked), `fooling_rate` (0 to 1, by any
        attack of the norm), `epsilon_90` (at `threshold`), and `curve`, the corners of the fooling curve.
    """
    return {
        norm: {"attacks": names, "models": {model: _bound(table, model, threshold) for model in MODELS}}
        for norm, (names, table) in bounds.items()
    }


def _bound(table: pd.DataFrame, model: str, threshold: float) -> dict[str, Any]:
    found = perturbations(table, model)
    epsilon, rate = curve(found)
    return {
        "clips": len(found),
        "fooling_rate": fooling_rate(found),
        "epsilon_90": epsilon_at(found, threshold),
        "curve": {"epsilon": epsilon.tolist(), "fooling_rate": rate.tolist()},
    }
