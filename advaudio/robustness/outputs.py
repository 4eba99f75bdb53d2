"""The statistics of all attacks, in files: for the metrics, the plots and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS, AttackResults
from advaudio.core.files import write_csv, write_json
from advaudio.core.metrics_file import write_metrics
from advaudio.robustness.black_box import white_box_beats_black_box
from advaudio.robustness.fooling_curve import fooling_rate
from advaudio.robustness.headline import HEADLINE, StatisticsSettings, detailed_metrics
from advaudio.robustness.likeness import changes_in_decibels
from advaudio.robustness.recordings import clips_of
from advaudio.robustness.rho import READINGS, perturbations, rho_over_attacks
from advaudio.robustness.worst_case import (
    strongest_bounds,
    summary_of_bounds,
    worst_case,
)

DETAILS = "details.json"
FOOLING_CURVES = "fooling_curves"
STRONGEST = "strongest_bounds"
RHO = "rho.json"
CLIPS = "clips.json"
CURVE_POINTS = 101

SHOWN = ("fooling_rate", "epsilon_90", "robust_fooling_rate", "rho")
"""Those that DVC shows: as many as fit a screen of 120 columns."""


def write_statistics(
    attacks: Mapping[str, AttackResults],
    settings: StatisticsSettings,
    *,
    folder: Path,
    metrics: Path,
    mean_rho: Path,
) -> None:
    """Compute and write everything that is known of finished attacks.

    - `<name>/details.json`: every figure with its interval, costs, budgets (see `headline.detailed_metrics`).
    - `fooling_curves/<name>.csv`: fooling rates of both models on a grid of perturbations, for plots.
    - `strongest_bounds/<norm>.csv`: the same of each clip's smallest perturbation by any attack of that norm.
    - `clips.json`: what a record keeps of each clip (see `recordings.clips_of`).
    - `rho.json`: ρ of each attack and over all, the worst case, the strongest bounds, the clips' changes in dB, and
      the comparison with black-box attacks.

    Parameters
    ----------
    attacks
        Name of each attack to what it found, with recordings (see `recordings.with_recordings`) if they are known.
    folder
        Where those go.
    metrics
        Folder of one file for each attack: the headline figures, the same names for every attack.
    mean_rho
        File of ρ, the mean over the attacks, in each of its readings.
    """
    for name, results in attacks.items():
        details = detailed_metrics(results, settings)
        write_json(folder / name / DETAILS, details)
        write_csv(folder / FOOLING_CURVES / f"{name}.csv", curve_on_grid(results.table))
        headline = {short: details["metrics"][key] for short, key in HEADLINE.items()}
        write_metrics(metrics / f"{name}.json", headline, shown=SHOWN)
    tables = {name: results.table for name, results in attacks.items()}
    summary = rho_over_attacks(tables, threshold=settings.threshold)
    bounds = strongest_bounds(tables, {name: results.norm for name, results in attacks.items()})
    for norm, (_, table) in bounds.items():
        write_csv(folder / STRONGEST / f"{norm}.csv", curve_on_grid(table))
    together = {
        "worst_case": worst_case(tables, threshold=settings.threshold),
        "strongest_bounds": summary_of_bounds(bounds, threshold=settings.threshold),
        "decibels_rms": changes_in_decibels(tables),
        "white_box_beats_black_box": white_box_beats_black_box(tables),
    }
    write_json(folder / RHO, {**asdict(summary), **together})
    write_json(folder / CLIPS, clips_of(tables))
    others = {name: getattr(summary, name).mean for name in READINGS}
    write_metrics(mean_rho, {"rho": summary.mean, **others}, shown=["rho"])


def curve_on_grid(table: pd.DataFrame) -> pd.DataFrame:
    """Fooling rates (0 to 1) of both models on an even grid from 0 to the largest perturbation found."""
    found = {model: perturbations(table, model) for model in MODELS}
    finite = np.concatenate([values[np.isfinite(values)] for values in found.values()])
    grid = np.linspace(0.0, float(finite.max()) if len(finite) else 1.0, CURVE_POINTS)
    columns: dict[str, list[float | None]] = {"perturbation": grid.tolist()}
    for model in MODELS:
        columns[model] = [fooling_rate(found[model], bound) for bound in grid]
    return pd.DataFrame(columns)
