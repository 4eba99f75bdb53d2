"""The table of an attack: one row per model and clip, from which every figure is computed.

| column | meaning |
|---|---|
| `model` | `original` or `robust` |
| `sample` | number of the picture |
| `label`, `predicted` | true class, class the model gives the clean picture |
| `target` | wrong class to reach, −1 for an attack without a target |
| `perturbation` | smallest perturbation that fooled the model, in the attack's own norm; infinity: never fooled; empty: not classified correctly, so not attacked |
| `linf`, `l2`, `l0` | the same perturbation in each norm (L0: changed pixels); empty where there is none |
| `decibels_peak`, `decibels_rms` | largest and root-mean-square change of the spectrogram in dB; empty where there is none |
| `adversarial_label` | class the model gives the adversarial picture, −1 where there is none |
| `forwards`, `backwards`, `queries`, `iterations` | work spent on the clip, over all rungs of the budget |
| `rung` | last rung of the budget ladder that the clip was attacked with, from 1; 0: not attacked |
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from advaudio.core.files import read_csv, write_csv

MODELS = ("original", "robust")
COLUMNS = (
    "model",
    "sample",
    "label",
    "predicted",
    "target",
    "perturbation",
    "linf",
    "l2",
    "l0",
    "decibels_peak",
    "decibels_rms",
    "adversarial_label",
    "forwards",
    "backwards",
    "queries",
    "iterations",
    "rung",
)


def write_clip_results(path: Path, table: pd.DataFrame) -> None:
    """Write the table of an attack as CSV; floats keep their exact value."""
    write_csv(path, table[list(COLUMNS)])


def read_clip_results(path: Path) -> pd.DataFrame:
    """Read the table of an attack.

    Raises
    ------
    AdvaudioError
        If the file is missing or has other columns.
    """
    # The default parser of older pandas does not return the very float that was written.
    return read_csv(path, *COLUMNS, engine="python")
