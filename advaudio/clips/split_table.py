"""Reading `split.csv`: which pictures of each fold are for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_csv

PARTS = ("train", "validation", "test", "unused")

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """Rows of the pictures in each part of one fold, ascending."""

    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class Split:
    """The folds of a split, and the label of every picture row (−1 where the split names none)."""

    labels: Rows
    folds: tuple[Fold, ...]


def read_split(path: Path, classes: int, rows: int) -> Split:
    """Read `split.csv`.

    Parameters
    ----------
    path
        Columns `sample` (row of the pictures), `label`, `fold_0` … with train, validation, test, unused.
    classes
        Number of classes.
    rows
        Number of pictures.

    Raises
    ------
    AdvaudioError
        If columns or values are wrong, or a class has nothing to train on in some fold.
    """
    table = read_csv(path)
    columns = [column for column in table.columns if column.startswith("fold_")]
    missing = {"sample", "label", "fold_0"} - set(table.columns)
    if missing:
        raise AdvaudioError(
            f"The split {path} lacks the columns {', '.join(sorted(missing))}. Run `dvc repro split`."
        )
    if not all(pd.api.types.is_integer_dtype(table[column]) for column in ("sample", "label")):
        raise AdvaudioError(
            f"The split {path} has samples or labels that are no whole numbers. Run `dvc repro split`."
        )
    sample = table["sample"].to_numpy(np.int64)
    label = table["label"].to_numpy(np.int64)
    if len(sample) == 0 or sample.min() < 0 or sample.max() >= rows or len(np.unique(sample)) != len(sample):
        raise AdvaudioError(
            f"The split {path} does not fit the pictures: its samples must be different rows below {rows}. "
            "Run `dvc repro` so that both come from the same clips."
        )
    if label.min() < 0 or label.max() >= classes:
        raise AdvaudioError(
            f"The split {path} has labels from {label.min()} to {label.max()}, but {classes} classes."
        )
    labels = np.full(rows, -1, np.int64)
    labels[sample] = label
    folds = []
    for column in columns:
        unknown = sorted(set(table[column].astype(str)) - set(PARTS))
        if unknown:
            raise AdvaudioError(
                f"The split {path} has the part {unknown[0]!r} in {column}; there are {', '.join(PARTS)}."
            )
        parts = {part: np.sort(sample[(table[column] == part).to_numpy()]) for part in PARTS}
        for part in ("train", "validation", "test"):
            if len(parts[part]) == 0:
                raise AdvaudioError(
                    f"The split {path} has no {part} samples in {column}: there are too few clips. "
                    "Add clips, or lower `split.folds`."
                )
        absent = sorted(set(range(classes)) - set(labels[parts["train"]].tolist()))
        if absent:
            raise AdvaudioError(
                f"The split {path} has nothing to train the classes with labels {absent} on in {column}: "
                "they have too few clips, or too few source recordings. Add clips to them, drop them, lower "
                "`split.folds`, or set `split.by: clip`."
            )
        folds.append(Fold(parts["train"], parts["validation"], parts["test"]))
    return Split(labels, tuple(folds))
