"""Cells for tests: controlled perturbations of each clip, everything else by the pipeline's own code."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from advaudio.attack_interface.clip_results import COLUMNS, AttackResults
from advaudio.attack_interface.problem import Norm
from advaudio.core.files import write_json
from advaudio.evaluation.attack_evaluation import AttackEvaluation
from advaudio.report.cells.cell import Cell, cell_of
from advaudio.robustness.headline import StatisticsSettings, detailed_metrics
from advaudio.robustness.likeness import changes_in_decibels
from advaudio.robustness.outputs import write_statistics
from advaudio.robustness.rho import rho_over_attacks
from advaudio.robustness.worst_case import worst_case

PARAMS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")
)
NORMS: dict[str, Norm] = {"bim_a": "linf", "cwa": "l2"}
CLIPS = 200
SIZE = (8, 10)
BUDGETS = [{"steps": 5}]
COLLAPSE = {
    "repeat0-fold0": {
        "collapsed": True,
        "epsilon": 0.0157,
        "clips": 160,
        "fooled_by_one_step": 0.25,
        "fooled_by_iterations": 0.95,
    },
    "repeat0-fold1": {
        "collapsed": None,
        "epsilon": 0.0314,
        "clips": 0,
        "fooled_by_one_step": None,
        "fooled_by_iterations": None,
    },
}
STATISTICS = StatisticsSettings(bootstrap_samples=25)


@dataclass(frozen=True)
class Settings:
    """What a made cell is like.

    Attributes
    ----------
    ratio
        The robust model's perturbations over the original's: ρ, where both are fooled on all clips.
    fooled, robust_fooled
        Share of the clips that each attack fools.
    decibels
        Root-mean-square change of every adversarial spectrogram.
    changes
        Other parameters, by dotted key.
    """

    dataset: str = "esc50"
    representation: str = "stft"
    model: str = "alexnet"
    seed: int = 0
    accuracy: float = 0.8
    robust_accuracy: float = 0.7
    ratio: float = 2.0
    fooled: float = 1.0
    robust_fooled: float = 1.0
    decibels: float = 1.0
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        """The content of params.yaml."""
        params = deepcopy(PARAMS)
        own = {name: getattr(self, name) for name in ("dataset", "representation", "model", "seed")}
        params.update(own, attacks={name: params["attacks"][name] for name in NORMS})
        for key, value in self.changes:
            *parents, last = key.split(".")
            section = params
            for parent in parents:
                section = section[parent]
            assert last in section, key
            section[last] = value
        return params

    @property
    def training(self) -> dict[str, dict[str, Any]]:
        """The content of metrics/train.json and metrics/train_fgsm.json."""
        original, robust = (
            {"accuracy": value, "accuracy_std": 0.02, "accuracy_best": value + 0.02}
            for value in (self.accuracy, self.robust_accuracy)
        )
        drop = 100 * (self.accuracy - self.robust_accuracy) / self.accuracy
        return {"original": original, "robust": {**robust, "drop_ratio": drop, "collapse": COLLAPSE}}

    def evaluations(self) -> Iterator[AttackEvaluation]:
        """What the attack stages found."""
        for number, (name, norm) in enumerate(NORMS.items()):
            generator = np.random.default_rng([self.seed, number])
            smallest = generator.uniform(0.01, 0.03, CLIPS)
            tables = [
                _table("original", smallest, self.fooled, self.decibels),
                _table("robust", smallest * self.ratio, self.robust_fooled, self.decibels),
            ]
            pictures = generator.uniform(size=(2, *SIZE)).astype(np.float32)
            yield AttackEvaluation(
                name=name,
                results=AttackResults(pd.concat(tables, ignore_index=True), norm, BUDGETS, "c0de"),
                examples=np.array([0, 1]),
                clean=pictures,
                adversarial={
                    "original": np.clip(pictures + np.float32(0.01), 0, 1),
                    "robust": np.clip(pictures + np.float32(0.02), 0, 1),
                },
            )


def made_cell(**settings: Any) -> Cell:
    """A cell with these `Settings`, without files."""
    made = Settings(**settings)
    results = {found.name: found.results for found in made.evaluations()}
    tables = {name: found.table for name, found in results.items()}
    record = {
        "params": made.params,
        "training": made.training,
        "attacks": {name: detailed_metrics(found, STATISTICS) for name, found in results.items()},
        "rho": {
            **asdict(rho_over_attacks(tables)),
            "worst_case": worst_case(tables),
            "decibels_rms": changes_in_decibels(tables),
        },
    }
    return cell_of(record, "-".join(str(value) for value in settings.values()) or "cell")


def write_cell(folder: Path, **settings: Any) -> Path:
    """Write params.yaml, metrics/ and outputs/ of a cell with these `Settings` as the stages do."""
    made = Settings(**settings)
    outputs, metrics = folder / "outputs", folder / "metrics"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(made.params), encoding="utf-8")
    write_json(metrics / "train.json", made.training["original"])
    write_json(metrics / "train_fgsm.json", made.training["robust"])
    results = {}
    for found in made.evaluations():
        found.write(outputs / "attacks" / found.name)
        results[found.name] = found.results
    write_statistics(
        results,
        STATISTICS,
        folder=outputs / "robustness",
        metrics=metrics / "attacks",
        mean_rho=metrics / "rho.json",
    )
    return folder


def _table(model: str, smallest: np.ndarray[Any, Any], fooled: float, decibels: float) -> pd.DataFrame:
    found = np.arange(len(smallest)) < round(fooled * len(smallest))
    known = np.where(found, smallest, np.nan)
    labels = np.arange(len(smallest)) % 2
    columns: dict[str, Any] = {
        "model": model,
        "sample": np.arange(len(smallest)),
        "label": labels,
        "predicted": labels,
        "target": 1 - labels,
        "perturbation": np.where(found, smallest, np.inf),
        "linf": known,
        "l2": known,
        "l0": np.where(found, 80.0, np.nan),
        "decibels_peak": np.where(found, 2 * decibels, np.nan),
        "decibels_rms": np.where(found, decibels, np.nan),
        "adversarial_label": np.where(found, 1 - labels, -1),
        "budget_step": 1,
        **dict.fromkeys(("forwards", "backwards", "queries", "iterations"), 5),
    }
    return pd.DataFrame(columns)[list(COLUMNS)]
