"""ρ (Eq. 14 of the paper): how much farther an adversary must go on the adversarially trained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advaudio.robustness.fooling_curve import Array, fooling_rate, mean_perturbation


def rho(original: Array, robust: Array) -> float | None:
    """Mean perturbation of the successful attacks on the robust model over that on the original one.

    Parameters
    ----------
    original, robust
        Perturbations of the correctly classified clips of each model, in the same norm, infinity where the
        attack failed.

    Returns
    -------
    float or None
        Above 1: the attack got costlier. None if one of the models was never fooled, or at no cost.
    """
    before, after = mean_perturbation(original), mean_perturbation(robust)
    if before is None or after is None or before == 0:
        return None
    return after / before


@dataclass(frozen=True)
class RhoSummary:
    """ρ of each attack, and their means.

    Parameters
    ----------
    by_attack
        ρ in the attack's own norm; None where the attack is not comparable.
    by_attack_l2
        The same with the L2 norm for every attack.
    comparable
        Attacks whose fooling rate reached the threshold on both models, as Eq. 14 asks: otherwise the mean
        perturbations are of different shares of the clips.
    mean, mean_l2
        Averages over the comparable attacks; None without any.
    """

    by_attack: dict[str, float | None]
    by_attack_l2: dict[str, float | None]
    comparable: list[str]
    mean: float | None
    mean_l2: float | None


def rho_over_attacks(tables: Mapping[str, pd.DataFrame], *, threshold: float = 0.9) -> RhoSummary:
    """ρ of each attack in its own norm, then averaged over the attacks, since norms do not mix.

    Parameters
    ----------
    tables
        Name of each attack to its table of clips (see `advaudio.attack_interface.clip_results`).
    threshold
        Fooling rate that both models must reach for an attack to be `comparable`.
    """
    own: dict[str, float | None] = {}
    in_l2: dict[str, float | None] = {}
    comparable = []
    for name, table in tables.items():
        original, robust = perturbations(table, "original"), perturbations(table, "robust")
        own[name] = in_l2[name] = None
        if both_reach(original, robust, threshold):
            comparable.append(name)
            own[name] = rho(original, robust)
            in_l2[name] = rho(perturbations(table, "original", "l2"), perturbations(table, "robust", "l2"))
    return RhoSummary(own, in_l2, comparable, _mean(own), _mean(in_l2))


def both_reach(original: Array, robust: Array, threshold: float) -> bool:
    """Whether an attack fools the threshold's share of both models' clips, as Eq. 14 asks."""
    return reaches(original, threshold) and reaches(robust, threshold)


def reaches(found: Array, threshold: float) -> bool:
    """Whether an attack with these perturbations of a model's clips fools the threshold's share of them."""
    rate = fooling_rate(found)
    return rate is not None and rate >= threshold - 1e-9


def perturbations(table: pd.DataFrame, model: str, column: str = "perturbation") -> Array:
    """One norm of a model's correctly classified clips, in the table's order; infinity where not fooled."""
    rows = table[(table["model"] == model) & table["perturbation"].notna()]
    values = rows[column].to_numpy(dtype=float)
    return np.where(np.isfinite(rows["perturbation"].to_numpy(dtype=float)), values, np.inf)


def aligned(tables: Mapping[str, pd.DataFrame], model: str, column: str = "perturbation") -> Array:
    """`perturbations` of several attacks, (attacks, clips): of the clips that all of them attacked.

    Attacks that ran on different devices can differ by a clip whose two best scores are nearly equal.
    """
    series = []
    for table in tables.values():
        rows = table[(table["model"] == model) & table["perturbation"].notna()]
        series.append(pd.Series(perturbations(table, model, column), index=rows["sample"].to_numpy()))
    joined = pd.concat(series, axis=1, join="inner") if series else pd.DataFrame()
    values: Array = joined.to_numpy(dtype=float).T
    return values


def _mean(values: Mapping[str, float | None]) -> float | None:
    known = [value for value in values.values() if value is not None]
    return float(np.mean(known)) if known else None
