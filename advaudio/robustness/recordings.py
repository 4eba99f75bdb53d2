"""From which recording each attacked clip was cut, and every clip's perturbations in one compact file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_csv
from advaudio.robustness.fooling_curve import Array

RECORDING = "recording"
"""Column that `with_recordings` adds to a table of clips."""
NOT_FOOLED = -1
DIGITS = 7
"""Significant digits of a norm in a record: as many as single precision has."""


def read_recordings(path: Path) -> pd.Series[Any]:
    """Source recording, a text, of each picture (index: its sample number), from the table of augmented clips.

    Raises
    ------
    AdvaudioError
        If the table is missing or damaged, or has no column `source`.
    """
    return read_csv(path, "source", usecols=["source"], dtype=str, keep_default_na=False)["source"]


def with_recordings(table: pd.DataFrame, sources: pd.Series[Any], origin: object) -> pd.DataFrame:
    """A table of clips (see `advaudio.attack_interface.clip_results`) with a column `recording`: numbers from 0.

    Raises
    ------
    AdvaudioError
        If a clip has no source: `origin`, where the sources come from, is of other clips.
    """
    unknown = table.loc[~table["sample"].isin(sources.index), "sample"]
    if len(unknown):
        raise AdvaudioError(
            f"{origin} has no sample {unknown.iloc[0]}, which was attacked. Run `dvc repro`, so that both come from the "
            "same clips."
        )
    codes = pd.factorize(sources.loc[table["sample"]])[0]
    return table.assign(**{RECORDING: codes})


def clips_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What a record keeps of each clip.

    Returns
    -------
    dict
        `sample`, and `recording` (None if it is not known), lists over all clips; `perturbations`: attack to
        model to a list in the same order, of norms in the attack's own norm with 7 significant digits, −1: not fooled,
        None: not attacked, since the model does not classify the clip correctly.
    """
    every = pd.concat(tables.values()).drop_duplicates("sample").sort_values("sample")
    samples = every["sample"]
    return {
        "sample": samples.tolist(),
        "recording": every[RECORDING].tolist() if RECORDING in every else None,
        "perturbations": {
            name: {
                model: _compact(
                    table[table["model"] == model]
                    .set_index("sample")["perturbation"]
                    .reindex(samples)
                    .to_numpy()
                )
                for model in MODELS
            }
            for name, table in tables.items()
        },
    }


def perturbations_of(kept: list[float | None]) -> Array:
    """The array (clips,) of what `clips_of` keeps: infinity where not fooled, NaN where not attacked."""
    values = np.array([np.nan if value is None else value for value in kept], dtype=float)
    return np.where(values == NOT_FOOLED, np.inf, values)


def _compact(values: Array) -> list[float | int | None]:
    return [
        None if np.isnan(value) else NOT_FOOLED if np.isinf(value) else float(f"{value:.{DIGITS}g}")
        for value in values
    ]
