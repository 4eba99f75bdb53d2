"""The table of an attack on one model, from the pictures before and after."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advaudio.attack_interface.clip_results import COLUMNS
from advaudio.attack_interface.problem import Norm
from advaudio.clips.picture_layout import Layout
from advaudio.evaluation.attacked_clips import AttackedClips

COUNTS = ("forwards", "backwards", "queries", "iterations")


class ModelResults(Protocol):
    """What an attack found on one model; arrays over all clips.

    Attributes
    ----------
    predicted, correct
        Class that the model gives the clean picture, and whether it is the true one.
    found, adversarial, labels
        Whether the model was fooled, the picture that fooled it (the clean one where none did), and the class
        that it gives that picture.
    counts
        (clips, 4): see `COUNTS`.
    budget_step
        Last step of the budget schedule that the clip was attacked with, from 1; 0: not attacked.
    """

    predicted: NDArray[Any]
    correct: NDArray[Any]
    found: NDArray[Any]
    adversarial: NDArray[Any]
    labels: NDArray[Any]
    counts: NDArray[Any]
    budget_step: NDArray[Any]


def clip_table(
    model: str,
    results: ModelResults,
    clips: AttackedClips,
    targets: NDArray[Any],
    *,
    norm: Norm,
    layout: Layout | None,
) -> pd.DataFrame:
    """One row per clip, with the columns of `advaudio.attack_interface.clip_results`.

    Parameters
    ----------
    norm
        The attack's own.
    layout
        Which rows of a picture are in decibels, and how many a difference of 1 is; None leaves those columns empty.
    """
    difference = results.adversarial.astype(np.float64) - np.asarray(clips.pictures, dtype=np.float64)
    flat = difference.reshape(len(difference), -1)
    norms = {
        "linf": np.abs(flat).max(1),
        "l2": np.sqrt(np.square(flat).sum(1)),
        "l0": (flat != 0).sum(1).astype(float),
    }
    missing = np.where(results.found, 0.0, np.nan)
    own = np.where(results.found, norms[norm], np.where(results.correct, np.inf, np.nan))
    spectrogram = difference[:, slice(*layout.spectrogram_rows) if layout else slice(None)]
    spectrogram = spectrogram.reshape(len(difference), -1)
    decibels = layout.decibels_per_unit if layout else np.nan
    columns: dict[str, Any] = {
        "model": np.full(len(difference), model, dtype=object),
        "sample": clips.samples,
        "label": clips.labels,
        "predicted": results.predicted,
        "target": targets,
        "perturbation": own,
        **{name: values + missing for name, values in norms.items()},
        "decibels_peak": np.abs(spectrogram).max(1) * decibels + missing,
        "decibels_rms": np.sqrt(np.square(spectrogram).mean(1)) * decibels + missing,
        "adversarial_label": results.labels,
        "budget_step": results.budget_step,
        **{name: results.counts[:, position] for position, name in enumerate(COUNTS)},
    }
    return pd.DataFrame(columns)[list(COLUMNS)]
