"""What a training leaves behind for the report, the plots and the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from advaudio.core.files import write_csv, write_json
from advaudio.training.folds import TrainingResult

EPOCHS = "epochs.csv"
FOLDS = "folds.csv"
LEARNING_CURVES = "learning_curves.csv"
CONFUSION = "confusion.csv"
SUMMARY = "summary.json"


def write_outputs(result: TrainingResult, folder: Path, class_names: Sequence[str]) -> None:
    """Write the tables of a training into `folder`.

    - `epochs.csv`: one row per repeat, fold and epoch.
    - `folds.csv`: one row per repeat and fold.
    - `learning_curves.csv`: means over the folds, one row per epoch that every fold reached, for plots.
    - `confusion.csv`: columns `actual` and `predicted`, one row per test clip of the picked model.
    - `summary.json`: `TrainingResult.summary` and the layers that were pretrained.
    """
    write_csv(folder / EPOCHS, result.curves)
    write_csv(folder / FOLDS, result.folds)
    write_csv(folder / LEARNING_CURVES, mean_curves(result.curves))
    write_csv(folder / CONFUSION, confusion_rows(result.confusion, class_names))
    layers = {
        "loaded": list(result.pretrained.loaded_layers),
        "random": list(result.pretrained.random_layers),
    }
    write_json(folder / SUMMARY, {**result.summary(), "pretrained_layers": layers})


def mean_curves(epochs: pd.DataFrame) -> pd.DataFrame:
    """Means over repeats and folds of every epoch that all of them reached.

    A mean over the folds that happen to be left after some stopped early would jump.
    """
    runs = epochs.groupby(["repeat", "fold"]).ngroups
    reached = epochs.groupby("epoch")["fold"].size()
    whole = epochs[epochs["epoch"].isin(reached.index[reached == runs])]
    means = whole.drop(columns=["repeat", "fold"]).astype(float).groupby("epoch").mean()
    means = means.dropna(axis="columns", how="all").reset_index()
    return means.astype({"epoch": int})


def confusion_rows(confusion: NDArray[Any], class_names: Sequence[str]) -> pd.DataFrame:
    """A confusion matrix (counts, row = true class) as one row per clip, which DVC's plot counts again."""
    rows = [
        (class_names[actual], class_names[predicted])
        for actual in range(len(class_names))
        for predicted in range(len(class_names))
        for _ in range(int(confusion[actual, predicted]))
    ]
    return pd.DataFrame(rows, columns=["actual", "predicted"])
