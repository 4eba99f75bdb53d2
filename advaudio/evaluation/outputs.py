"""What an attack leaves behind for the report, the plots and the metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from advaudio.core.files import write_csv, write_json
from advaudio.evaluation.attack_evaluation import AttackEvaluation
from advaudio.robustness.clip_results import MODELS, write_clip_results
from advaudio.robustness.fooling_curve import fooling_rate
from advaudio.robustness.headline import HEADLINE, detailed_metrics
from advaudio.robustness.rho import perturbations

CLIPS = "clips.csv"
DETAILS = "details.json"
FOOLING_CURVE = "fooling_curve.csv"
EXAMPLES = "examples"
CURVE_POINTS = 101


def write_attack(
    evaluation: AttackEvaluation,
    folder: Path,
    metrics: Path,
    *,
    threshold: float,
    auc_epsilon_factor: float,
    bootstrap_samples: int,
    seed: int,
) -> None:
    """Write the results of an attack.

    - `clips.csv`: one row per model and clip (see `clip_results`).
    - `details.json`: every figure with its interval, costs, budgets (see `headline.detailed_metrics`).
    - `fooling_curve.csv`: fooling rates of both models on a grid of perturbations, for plots.
    - `examples/`: a few clean and adversarial pictures.
    - `metrics`: the headline figures, the same names for every attack.
    """
    details = detailed_metrics(
        evaluation.table,
        norm=evaluation.norm,
        ladder=evaluation.ladder,
        threshold=threshold,
        auc_epsilon_factor=auc_epsilon_factor,
        bootstrap_samples=bootstrap_samples,
        seed=seed,
    )
    write_clip_results(folder / CLIPS, evaluation.table)
    write_json(folder / DETAILS, details)
    write_csv(folder / FOOLING_CURVE, curve_on_grid(evaluation.table))
    evaluation.write_examples(folder / EXAMPLES)
    write_json(metrics, {name: details["metrics"][key] for name, key in HEADLINE.items()})


def curve_on_grid(table: pd.DataFrame) -> pd.DataFrame:
    """Fooling rates (0 to 1) of both models on an even grid from 0 to the largest perturbation found."""
    found = {model: perturbations(table, model) for model in MODELS}
    finite = np.concatenate([values[np.isfinite(values)] for values in found.values()])
    grid = np.linspace(0.0, float(finite.max()) if len(finite) else 1.0, CURVE_POINTS)
    columns: dict[str, list[float | None]] = {"perturbation": grid.tolist()}
    for model in MODELS:
        columns[model] = [fooling_rate(found[model], bound) for bound in grid]
    return pd.DataFrame(columns)
