"""The clips that attacks are measured on: the test part of the fold whose models are attacked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advaudio.clips.split_table import read_split
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array
from advaudio.models.model_file import read_metadata


@dataclass(frozen=True)
class AttackedClips:
    """Pictures (N, height, width) float32 in [0, 1], labels (N,), and rows (N,) in the array of pictures.

    Raises
    ------
    AdvaudioError
        If there is no clip, not one label and row for each, or the same row twice.
    """

    pictures: NDArray[np.float32]
    labels: NDArray[np.int64]
    samples: NDArray[np.int64]

    def __post_init__(self) -> None:
        clips = len(self.pictures)
        if self.pictures.ndim != 3 or not clips or not clips == len(self.labels) == len(self.samples):
            raise AdvaudioError(
                "An attack needs test pictures (clips, height, width) and one label and sample number for each, "
                f"got shapes {self.pictures.shape}, {self.labels.shape} and {self.samples.shape}."
            )
        if len(np.unique(self.samples)) != clips:
            raise AdvaudioError("An attack got two pictures with the same sample number.")


def read_attacked_clips(
    pictures: Path, split: Path, original: Path, robust: Path, *, at_most: int | None = None, seed: int = 0
) -> AttackedClips:
    """Read the test clips of two models of the same fold: all, or `at_most` so many, drawn with the seed.

    Raises
    ------
    AdvaudioError
        If the models are not of the same fold, repeat, classes and picture size, or a file is unreadable.
    """
    about: dict[str, Any] = read_metadata(original)
    other: dict[str, Any] = read_metadata(robust)
    for key in ("model", "classes", "size", "repeat", "fold", "seed"):
        if about.get(key) is None or about[key] != other.get(key):
            raise AdvaudioError(
                f"{original} and {robust} cannot be compared: `{key}` is {about.get(key)} and {other.get(key)}. "
                "Run `dvc repro` to train both on the same folds."
            )
    whole = open_array(pictures)
    if whole.ndim != 3 or whole.dtype != np.float32:
        raise AdvaudioError(
            f"{pictures} holds {whole.dtype} of shape {whole.shape}; pictures are float32 of shape (samples, "
            "height, width). Delete the file and run `dvc repro`."
        )
    if list(whole.shape[1:]) != list(about["size"]):
        raise AdvaudioError(
            f"{pictures} holds pictures of {whole.shape[1]} × {whole.shape[2]}, but {original} was trained on "
            f"{about['size'][0]} × {about['size'][1]}. Run `dvc repro` to make both from the same parameters."
        )
    parts = read_split(split, about["classes"], len(whole))
    if about["fold"] not in range(len(parts.folds)):
        raise AdvaudioError(f"{split} has no fold {about['fold']}, the one of {original}. Run `dvc repro`.")
    rows = np.asarray(parts.folds[about["fold"]].test, dtype=np.int64)
    if not len(rows):
        raise AdvaudioError(f"{split} has no test clip in fold {about['fold']}; raise split.test_share.")
    if at_most is not None:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:at_most])
    labels = np.asarray(parts.labels)[rows].astype(np.int64)
    return AttackedClips(np.asarray(whole[rows], dtype=np.float32), labels, rows)
