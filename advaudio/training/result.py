"""What a training in folds found: scores of every fold, learning curves, and which model is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advaudio.models.pretrained import Pretrained

FoldResult = dict[str, Any]
"""JSON values of one fold: its row of `TrainingResult.folds`, and `confusion` and `curves`."""


_PROBED = ("probe_accuracy", "probe_single_step_accuracy")
_OF_COLLAPSE = {
    "probe_accuracy": "Float64",
    "collapsed_epoch": "Int64",
    "collapsed": "boolean",
    "collapse_epsilon": "Float64",
    "collapse_clips": "Int64",
    "fooled_by_one_step": "Float64",
    "fooled_by_iterations": "Float64",
}


@dataclass(frozen=True)
class TrainingResult:
    """What `train_folds` found; nothing in it depends on the machine's cores, and nothing is a time.

    Parameters
    ----------
    folds
        One row per repeat and fold: `repeat`, `fold`, `epochs` (run), `best_epoch`, `validation_loss`,
        `validation_accuracy`, `validation_balanced_accuracy`, `test_loss`, `test_accuracy`,
        `test_balanced_accuracy`, `probe_accuracy` (the best epoch's), `collapsed_epoch` (the first that the probe
        found collapsed), `collapsed` with `collapse_epsilon`, `collapse_clips`, `fooled_by_one_step` and
        `fooled_by_iterations` (`SingleStepGap` of the kept epoch's network on validation clips), all empty where there
        is none, and `pgd_accuracy_at_<255·ε>` for each bound of the job.
    curves
        One row per epoch, as `Epoch`.
    confusion
        (classes, classes) counts of the picked model on its test clips; row = true class.
    picked_repeat, picked_fold
        Repeat and fold of the published model: the highest validation accuracy, then the lowest validation loss.
    pretrained
        Layers that came from pretrained weights, and layers that started random.
    test_clips
        Number of different clips in the test parts of all folds together: what the mean accuracy is of.
    """

    folds: pd.DataFrame
    curves: pd.DataFrame
    confusion: NDArray[np.int64]
    picked_repeat: int
    picked_fold: int
    pretrained: Pretrained
    test_clips: int

    @property
    def collapsed_folds(self) -> int | None:
        """Number of folds whose adversarial training collapsed; None for clean training, or where no fold can tell."""
        told = self.folds["collapsed"].dropna()
        return int(told.sum()) if len(told) else None

    def collapse_by_fold(self) -> dict[str, dict[str, Any]]:
        """Of each fold, by a name such as `repeat0-fold2`, as JSON values.

        `collapsed` (None: too few clips), the radius `epsilon` (L∞), the number of `clips`, and the shares of them
        `fooled_by_one_step` and `fooled_by_iterations`; empty for clean training.
        """
        watched = self.folds[self.folds["collapse_epsilon"].notna()]
        return {
            f"repeat{row['repeat']}-fold{row['fold']}": {
                "collapsed": None if pd.isna(row["collapsed"]) else bool(row["collapsed"]),
                "epsilon": float(row["collapse_epsilon"]),
                "clips": int(row["collapse_clips"]),
                **{
                    name: None if pd.isna(row[name]) else float(row[name])
                    for name in ("fooled_by_one_step", "fooled_by_iterations")
                },
            }
            for row in watched.to_dict("records")
        }

    def summary(self) -> dict[str, Any]:
        """Scores as JSON values: means over all folds, spreads, and the picked model's own."""
        table = self.folds
        picked = table[(table["repeat"] == self.picked_repeat) & (table["fold"] == self.picked_fold)].iloc[0]
        measures = [
            f"{part}_{kind}" for part in ("validation", "test") for kind in ("accuracy", "balanced_accuracy")
        ]
        out: dict[str, Any] = {name: float(table[name].mean()) for name in measures}
        out["test_accuracy_fold_spread"] = float(table["test_accuracy"].std(ddof=0))
        if table["repeat"].nunique() > 1:
            by_repeat = table.groupby("repeat")["test_accuracy"].mean()
            out["test_accuracy_repeat_spread"] = float(by_repeat.std(ddof=1))
        if table["probe_accuracy"].notna().any():
            out["probe_accuracy"] = float(table["probe_accuracy"].mean())
        if self.collapsed_folds is not None:
            out["collapsed_folds"] = self.collapsed_folds
        out["picked"] = {
            "repeat": self.picked_repeat,
            "fold": self.picked_fold,
            "best_epoch": int(picked["best_epoch"]),
            **{name: float(picked[name]) for name in measures},
        }
        return out


def gather(
    results: Sequence[FoldResult], picked: FoldResult, start: Pretrained, test_clips: int
) -> TrainingResult:
    """The folds' results as tables; see `TrainingResult`."""
    curves = pd.DataFrame([row for result in results for row in result["curves"]])
    folds = pd.DataFrame(results).drop(columns=["confusion", "curves"])
    # A column without a value has no type of its own, and would be written otherwise than with values.
    curves = curves.astype({**dict.fromkeys(_PROBED, "Float64"), "probe_collapsed": "boolean"})
    folds = folds.astype(_OF_COLLAPSE)
    confusion = np.array(picked["confusion"], np.int64)
    return TrainingResult(folds, curves, confusion, picked["repeat"], picked["fold"], start, test_clips)
