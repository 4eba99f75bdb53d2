"""ρ: how much farther an adversary must go on the adversarially trained model.

Eq. 14 of the paper is `rho`. Where an attack fools 90 to 100 % of the clips, the hardest ones leave its means, and not
equally many on both sides. Three other readings of the same clips do not have that fault: `rho_equal_shares`,
`rho_median`, and `rho_common`, which is of the same clips on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS
from advaudio.robustness.fooling_curve import (
    Array,
    fooling_rate,
    mean_of_easiest,
    mean_perturbation,
)

READINGS = ("rho_equal_shares", "rho_median", "rho_common")
"""Readings of ρ beside the paper's."""


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


def rho_equal_shares(original: Array, robust: Array) -> float | None:
    """ρ over equal shares of each model's clips: the easiest ones, as many as the attack fools on both.

    The share is the smaller of both fooling rates. At 1 on both models this is `rho`. Parameters and None as there.
    """
    rates = fooling_rate(original), fooling_rate(robust)
    if rates[0] is None or rates[1] is None:
        return None
    before, after = (mean_of_easiest(values, min(rates[0], rates[1])) for values in (original, robust))
    return None if before is None or after is None or before == 0 else after / before


def rho_median(original: Array, robust: Array) -> float | None:
    """Ratio of the medians over all clips, a failure being infinite; otherwise as `rho`.

    None unless the attack fools more than half of the clips of each model.
    """
    rates = fooling_rate(original), fooling_rate(robust)
    if rates[0] is None or rates[1] is None or min(rates[0], rates[1]) <= 0.5:
        return None
    before, after = float(np.median(original)), float(np.median(robust))
    return None if before == 0 else after / before


def rho_common(original: Array, robust: Array) -> float | None:
    """`rho_equal_shares` of the clips that both models classify correctly.

    Parameters
    ----------
    original, robust
        Perturbations of the same clips in the same order, NaN where the model is wrong without an attack.
    """
    both = ~np.isnan(original) & ~np.isnan(robust)
    return rho_equal_shares(original[both], robust[both])


@dataclass(frozen=True)
class Reading:
    """Another reading of ρ: of each attack, None where it is undefined; and the mean over the comparable ones."""

    by_attack: dict[str, float | None]
    mean: float | None


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
    rho_equal_shares, rho_median, rho_common
        The other readings, each averaged over the same attacks. The median is of attacks below the threshold too.
    """

    by_attack: dict[str, float | None]
    by_attack_l2: dict[str, float | None]
    comparable: list[str]
    mean: float | None
    mean_l2: float | None
    rho_equal_shares: Reading
    rho_median: Reading
    rho_common: Reading


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
    others: dict[str, dict[str, float | None]] = {name: {} for name in READINGS}
    comparable = []
    for name, table in tables.items():
        original, robust = perturbations(table, "original"), perturbations(table, "robust")
        own[name] = in_l2[name] = None
        if both_reach(original, robust, threshold):
            comparable.append(name)
            own[name] = rho(original, robust)
            in_l2[name] = rho(perturbations(table, "original", "l2"), perturbations(table, "robust", "l2"))
        for reading, value in readings(*paired(table), threshold).items():
            others[reading][name] = value
    return RhoSummary(
        by_attack=own,
        by_attack_l2=in_l2,
        comparable=comparable,
        mean=_mean(own),
        mean_l2=_mean(in_l2),
        **{
            reading: Reading(values, _mean({name: values[name] for name in comparable}))
            for reading, values in others.items()
        },
    )


def readings(original: Array, robust: Array, threshold: float) -> dict[str, float | None]:
    """Each of `READINGS` beside Eq. 14 of one attack; see `rho_common` for the parameters.

    Those of means are None, as ρ is, unless the attack reaches the threshold on both models.
    """
    before, after = (values[~np.isnan(values)] for values in (original, robust))
    both = both_reach(before, after, threshold)
    return {
        "rho_equal_shares": rho_equal_shares(before, after) if both else None,
        "rho_median": rho_median(before, after),
        "rho_common": rho_common(original, robust) if both else None,
    }


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


def paired(table: pd.DataFrame) -> tuple[Array, Array]:
    """Perturbations of both models in the order of the clips' first rows; NaN where a clip was not attacked."""
    order = table["sample"].drop_duplicates()
    original, robust = (
        table[table["model"] == model]
        .set_index("sample")["perturbation"]
        .reindex(order)
        .to_numpy(dtype=float)
        for model in MODELS
    )
    return original, robust


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
