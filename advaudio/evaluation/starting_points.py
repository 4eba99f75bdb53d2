"""Where attacks start that walk from a picture of the target class: the choice among all parts of the data.

Protocol, section 5: PIA starts from a clip of the target class, of any part of the data (Ilyas et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advaudio.clips.split_table import read_split
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array
from advaudio.evaluation.model_source import ModelSource
from advaudio.evaluation.preflight import predict
from advaudio.models.model_file import read_metadata

Array = NDArray[Any]
BLOCK = 512
"""Candidates in memory at a time."""


@dataclass(frozen=True)
class Candidates:
    """Pictures that an attack may start from.

    Parameters
    ----------
    pictures
        (M, height, width) float32 in [0, 1]; a memory-mapped array is read block by block.
    labels
        (K,) int.
    rows
        (K,) int: row of each label in `pictures`; by default all.
    """

    pictures: Array
    labels: Array
    rows: Array | None = None

    def read(self, candidates: Array) -> Array:
        """The pictures of some candidates (numbers below K): (n, height, width) float32."""
        rows = candidates if self.rows is None else self.rows[candidates]
        return np.asarray(self.pictures[rows], dtype=np.float32)

    def blocks(self, candidates: Array) -> Iterator[Array]:
        """The candidates, few enough at a time to be read into memory."""
        for start in range(0, len(candidates), BLOCK):
            yield candidates[start : start + BLOCK]


def read_candidates(pictures: Path, split: Path, model: Path) -> Candidates:
    """The training, validation and test clips of the model's fold, opened and not yet read.

    Raises
    ------
    AdvaudioError
        If the split lacks the model's fold, or a file is unreadable.
    """
    about = read_metadata(model)
    whole = open_array(pictures)
    parts = read_split(split, about["classes"], len(whole))
    if about.get("fold") not in range(len(parts.folds)):
        raise AdvaudioError(f"{split} has no fold {about.get('fold')}, the one of {model}. Run `dvc repro`.")
    fold = parts.folds[about["fold"]]
    rows = np.sort(np.concatenate((fold.train, fold.validation, fold.test)))
    return Candidates(whole, np.asarray(parts.labels)[rows], rows)


def starting_points(
    source: ModelSource, pictures: Array, targets: Array, candidates: Candidates, *, device: str = "cpu"
) -> Array:
    """For each clip the nearest candidate (L2) that the model takes for its target.

    Candidates of the target class come first; others stand in only where the model takes none of these for
    it. Candidates are asked nearest first, so few of them are.

    Parameters
    ----------
    source
        The model.
    pictures
        (N, height, width) float32 in [0, 1]: the attacked clips.
    targets
        (N,) int.
    candidates
        What to choose from.
    device
        Where the model computes.

    Returns
    -------
    ndarray
        Like `pictures`, NaN where the model takes no candidate for the target.
    """
    asked = _Predictions(source, candidates, device)
    starts = np.full(np.shape(pictures), np.nan, dtype=np.float32)
    for target in np.unique(targets):
        clips = np.flatnonzero(targets == target)
        own = np.flatnonzero(candidates.labels == target)
        clips = _choose(starts, pictures, clips, own, int(target), asked)
        if len(clips):
            others = np.flatnonzero(asked(np.arange(len(candidates.labels))) == target)
            _choose(starts, pictures, clips, others, int(target), asked)
    return starts


class _Predictions:
    """The model's labels of the candidates, each asked for once."""

    def __init__(self, source: ModelSource, candidates: Candidates, device: str) -> None:
        self.source, self.candidates, self.device = source, candidates, device
        self.labels = np.full(len(candidates.labels), -1)

    def __call__(self, candidates: Array) -> Array:
        unknown = np.unique(candidates[self.labels[candidates] < 0])
        for block in self.candidates.blocks(unknown):
            logits = predict(self.source, self.candidates.read(block), self.device)
            self.labels[block] = logits.argmax(1)
        return self.labels[candidates]


def _choose(
    starts: Array, pictures: Array, clips: Array, among: Array, target: int, asked: _Predictions
) -> Array:
    """Fill in the starts of `clips` from the candidates `among`, and return the clips that found none."""
    order = among[_distances(pictures[clips], among, asked.candidates).argsort(axis=1, kind="stable")]
    seen, count = 0, 1
    while len(clips) and seen < len(among):
        # Nearly always the nearest will do; where it does not, ever more are asked at once.
        nearest = order[:, seen : seen + count]
        taken = asked(nearest.reshape(-1)).reshape(nearest.shape) == target
        done = taken.any(1)
        starts[clips[done]] = asked.candidates.read(nearest[done, taken[done].argmax(1)])
        clips, order = clips[~done], order[~done]
        seen, count = seen + count, 2 * count
    return clips


def _distances(pictures: Array, among: Array, candidates: Candidates) -> Array:
    """Squared L2 distances, up to a constant for each picture: (pictures, candidates) float64."""
    flat = np.asarray(pictures, dtype=np.float64).reshape(len(pictures), -1)
    parts = [np.zeros((len(flat), 0))]
    for block in candidates.blocks(among):
        other = candidates.read(block).reshape(len(block), -1).astype(np.float64)
        parts.append(np.square(other).sum(1) - 2 * flat @ other.T)
    return np.concatenate(parts, axis=1)
