"""The figures of one attack: few for the tables, all of them for the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS, AttackResults
from advaudio.robustness.fooling_curve import (
    area_under_curve,
    curve,
    epsilon_at,
    fooling_rate,
    mean_perturbation,
)
from advaudio.robustness.intervals import Recordings
from advaudio.robustness.pair import Pair
from advaudio.robustness.recordings import RECORDING
from advaudio.robustness.rho import both_reach, paired, perturbations, reaches, readings, rho

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
        Draws of the recordings for the 95 % intervals.
    seed
        Seed of those draws.
    """

    threshold: float = 0.9
    auc_epsilon_factor: float = 2.0
    bootstrap_samples: int = 1000
    seed: int = 0


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
        threshold on both models), with its other readings (see `rho.readings`). Rates from 0 to 1, perturbations
        in the attack's own norm. An attack without ε₉₀ has no bound: areas, and the rate within it, are None.
    """
    original, robust = perturbations(table, "original"), perturbations(table, "robust")
    threshold, factor = settings.threshold, settings.auc_epsilon_factor
    bound = epsilon_at(original, threshold)
    both = both_reach(original, robust, threshold)
    return {
        "fooling_rate": fooling_rate(original),
        "auc": None if bound is None else area_under_curve(original, bound * factor),
        "epsilon_90": bound,
        "mean_perturbation": mean_perturbation(original),
        "robust_fooling_rate": fooling_rate(robust),
        "robust_auc": None if bound is None else area_under_curve(robust, bound * factor),
        "robust_epsilon_90": epsilon_at(robust, threshold),
        "robust_mean_perturbation": mean_perturbation(robust),
        "robust_fooling_rate_under_bound": None if bound is None else fooling_rate(robust, bound),
        "rho": rho(original, robust) if both else None,
        **readings(*paired(table), threshold),
    }


def detailed_metrics(results: AttackResults, settings: StatisticsSettings) -> dict[str, Any]:
    """Everything about one attack: intervals, cost, decibels, budget used, other norms, curves."""
    table, threshold = results.table, settings.threshold
    original, robust = perturbations(table, "original"), perturbations(table, "robust")
    metrics = headline_metrics(table, settings)
    pair = _pair(table, settings)
    intervals = pair.intervals(metrics, samples=settings.bootstrap_samples, seed=settings.seed)
    return {
        "norm": results.norm,
        "threshold": threshold,
        "threshold_reached": {
            "original": reaches(original, threshold),
            "robust": reaches(robust, threshold),
        },
        "metrics": metrics,
        "intervals_95": {name: None if ends is None else list(ends) for name, ends in intervals.items()},
        "intervals_over": {
            "unit": "recordings" if RECORDING in table else "clips",
            "count": pair.recordings.count,
        },
        "rho_l2": None
        if metrics["rho"] is None
        else rho(perturbations(table, "original", "l2"), perturbations(table, "robust", "l2")),
        "models": {model: _model_details(results, model) for model in MODELS},
    }


def _pair(table: pd.DataFrame, settings: StatisticsSettings) -> Pair:
    """Both models' clips, those of one recording together; without recordings each clip is its own."""
    if RECORDING in table:
        table = table.sort_values(RECORDING, kind="stable")
        clips = table.drop_duplicates("sample")[RECORDING].to_numpy()
        codes = np.unique(clips, return_inverse=True)[1]
    else:
        codes = np.arange(table["sample"].nunique())
    original, robust = paired(table)
    return Pair(original, robust, Recordings(codes), settings.threshold, settings.auc_epsilon_factor)


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
