"""The figures of one attack: few for the tables, all of them for the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS, AttackResults
from advaudio.robustness.fooling_curve import (
    Array,
    area_under_curve,
    curve,
    epsilon_at,
    fooling_rate,
    mean_perturbation,
)
from advaudio.robustness.intervals import bootstrap_interval
from advaudio.robustness.rho import both_reach, perturbations, reaches, rho

Statistic = Callable[[Array, Array], float | None]

HEADLINE = {
    "fooling_rate": "fooling_rate",
    "auc": "auc",
    "epsilon_90": "epsilon_90",
    "perturbation": "mean_perturbation",
    "robust_fooling_rate": "robust_fooling_rate_under_bound",
    "rho": "rho",
}
"""Name in the metrics file → name in the details."""


@dataclass(frozen=True)
class StatisticsSettings:
    """How the figures of an attack are computed.

    Parameters
    ----------
    threshold
        Fooling rate that defines ε₉₀ and the bound.
    auc_epsilon_factor
        The area under the curves ends at the bound times this.
    bootstrap_samples
        Draws of the clips for the 95 % intervals.
    seed
        Seed of those draws.
    """

    threshold: float = 0.9
    auc_epsilon_factor: float = 2.0
    bootstrap_samples: int = 1000
    seed: int = 0


def bound_of(original: Array, threshold: float) -> float | None:
    """The bound of Tables I and II: the original model's ε at the threshold.

    Where the attack never reached the threshold: the largest perturbation that fooled it, or None.
    """
    epsilon = epsilon_at(original, threshold)
    if epsilon is None and np.isfinite(original).any():
        return float(original[np.isfinite(original)].max())
    return epsilon


def headline_metrics(table: pd.DataFrame, settings: StatisticsSettings) -> dict[str, float | None]:
    """The same few figures for every attack, None where one is undefined.

    Parameters
    ----------
    table
        See `advaudio.attack_interface.clip_results`.

    Returns
    -------
    dict
        `fooling_rate`, `auc`, `epsilon_90`, `mean_perturbation` of the original model;
        `robust_fooling_rate`, `robust_auc`, `robust_epsilon_90`, `robust_mean_perturbation` of the robust;
        `robust_fooling_rate_under_bound` (Table II) and `rho` (Eq. 14; None unless the attack reaches the
        threshold on both models). Rates from 0 to 1, perturbations in the attack's own norm.
    """
    original, robust = perturbations(table, "original"), perturbations(table, "robust")
    metrics = {name: value(original, robust) for name, value in _statistics(settings).items()}
    return metrics if both_reach(original, robust, settings.threshold) else {**metrics, "rho": None}


def detailed_metrics(results: AttackResults, settings: StatisticsSettings) -> dict[str, Any]:
    """Everything about one attack: intervals, cost, decibels, budget used, other norms, curves."""
    table, threshold = results.table, settings.threshold
    original, robust = perturbations(table, "original"), perturbations(table, "robust")
    intervals: dict[str, list[float] | None] = {}
    for name, value in _statistics(settings).items():
        interval = bootstrap_interval(
            _paired(table, value),
            table["sample"].nunique(),
            samples=settings.bootstrap_samples,
            seed=settings.seed,
        )
        intervals[name] = None if interval is None else list(interval)
    metrics = headline_metrics(table, settings)
    if metrics["rho"] is None:
        intervals["rho"] = None
    return {
        "norm": results.norm,
        "threshold": threshold,
        "threshold_reached": {
            "original": reaches(original, threshold),
            "robust": reaches(robust, threshold),
        },
        "bound": bound_of(original, threshold),
        "metrics": metrics,
        "intervals_95": intervals,
        "rho_l2": None
        if metrics["rho"] is None
        else rho(perturbations(table, "original", "l2"), perturbations(table, "robust", "l2")),
        "models": {model: _model_details(results, model) for model in MODELS},
    }


def _statistics(settings: StatisticsSettings) -> dict[str, Statistic]:
    threshold, factor = settings.threshold, settings.auc_epsilon_factor

    def area(which: int) -> Statistic:
        def value(original: Array, robust: Array) -> float | None:
            bound = bound_of(original, threshold)
            return None if bound is None else area_under_curve((original, robust)[which], bound * factor)

        return value

    def under_bound(original: Array, robust: Array) -> float | None:
        bound = bound_of(original, threshold)
        return None if bound is None else fooling_rate(robust, bound)

    return {
        "fooling_rate": lambda original, robust: fooling_rate(original),
        "auc": area(0),
        "epsilon_90": lambda original, robust: epsilon_at(original, threshold),
        "mean_perturbation": lambda original, robust: mean_perturbation(original),
        "robust_fooling_rate": lambda original, robust: fooling_rate(robust),
        "robust_auc": area(1),
        "robust_epsilon_90": lambda original, robust: epsilon_at(robust, threshold),
        "robust_mean_perturbation": lambda original, robust: mean_perturbation(robust),
        "robust_fooling_rate_under_bound": under_bound,
        "rho": rho,
    }


def _paired(table: pd.DataFrame, statistic: Statistic) -> Callable[[Array], float | None]:
    """The statistic of drawn clips: a clip brings its results on both models."""
    by_model = []
    order = table["sample"].drop_duplicates()
    for model in MODELS:
        rows = table[table["model"] == model].set_index("sample")["perturbation"]
        by_model.append(rows.reindex(order).to_numpy(dtype=float))

    def value(drawn: Array) -> float | None:
        original, robust = (values[drawn] for values in by_model)
        return statistic(original[~np.isnan(original)], robust[~np.isnan(robust)])

    return value


def _model_details(results: AttackResults, model: str) -> dict[str, Any]:
    table, schedule = results.table, results.budget_schedule
    rows = table[(table["model"] == model) & table["perturbation"].notna()]
    fooled = rows[np.isfinite(rows["perturbation"].to_numpy(dtype=float))]
    highest = int(rows["budget_step"].max()) if len(rows) else 0
    epsilon, rate = curve(rows["perturbation"].to_numpy(dtype=float))
    return {
        "clips": int((table["model"] == model).sum()),
        "clips_attacked": len(rows),
        "clips_fooled": len(fooled),
        "budget_used": dict(schedule[highest - 1]) if highest else None,
        "budget_steps_used": highest,
        "clips_by_budget_step": [
            int((rows["budget_step"] == step + 1).sum()) for step in range(len(schedule))
        ],
        "perturbation": {
            name: _summary(fooled[name])
            for name in ("perturbation", "linf", "l2", "l0", "decibels_peak", "decibels_rms")
        },
        "cost_per_clip": {
            name: _summary(rows[name]) for name in ("forwards", "backwards", "queries", "iterations")
        },
        "curve": {"epsilon": epsilon.tolist(), "fooling_rate": rate.tolist()},
    }


def _summary(values: pd.Series[Any]) -> dict[str, float] | None:
    known = values.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return None
    return {"mean": float(known.mean()), "median": float(np.median(known)), "largest": float(known.max())}
