"""Join a spectrogram and, if wanted, a tonnetz into the pictures that models see.

The tonnetz is brought to the spectrogram's width and stacked on top of it along the frequency axis (protocol,
section 2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advaudio.clips.picture_layout import layout, layout_path
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import ArrayWriter, open_array, read_json, write_json
from advaudio.core.progress import Progress, silent
from advaudio.representations.backend import Array, concatenate
from advaudio.representations.picture import unit_picture

ROWS_PER_CHUNK = 256
LAYOUT_KEYS = (
    "representation",
    "sections",
    "width",
    "clip_seconds",
    "first_column_seconds",
    "seconds_per_column",
    "settings",
)


def join(spectrogram: Array, tonnetz: Array) -> Array:
    """Stack (..., H, W) and (..., h, w) to (..., H + h, W): tonnetz on top, resized to the width W."""
    return concatenate([spectrogram, unit_picture(tonnetz, (tonnetz.shape[-2], spectrogram.shape[-1]))], -2)


def append(
    spectrogram_path: Path,
    tonnetz_path: Path | None,
    path: Path,
    *,
    progress: Progress = silent,
) -> None:
    """Write the pictures that a model is trained on, and their layout beside them.

    Parameters
    ----------
    spectrogram_path
        Pictures of `build_stft` or `build_dwt`, with their layout beside.
    tonnetz_path
        Pictures of `build_tonnetz` of the same clips, or None for the spectrogram alone.
    path
        Array to write: float32, shape (samples, height, width), in [0, 1].

    Raises
    ------
    AdvaudioError
        If the two do not belong to the same clips, a value lies outside [0, 1], or writing fails.
    """
    spectrogram = _open(spectrogram_path)
    description = read_json(layout_path(spectrogram_path), *LAYOUT_KEYS)
    tonnetz = None
    if tonnetz_path is not None:
        tonnetz = _open(tonnetz_path)
        description = _joined_layout(description, read_json(layout_path(tonnetz_path), *LAYOUT_KEYS))
        if len(tonnetz) != len(spectrogram):
            raise AdvaudioError(
                f"{spectrogram_path} holds {len(spectrogram)} pictures and {tonnetz_path} {len(tonnetz)}; "
                "they must be of the same clips. Run `dvc repro` to make both again."
            )
    height = spectrogram.shape[1] + (0 if tonnetz is None else tonnetz.shape[1])
    with ArrayWriter(Path(path), (len(spectrogram), height, spectrogram.shape[2]), "float32") as joined:
        for start in range(0, len(spectrogram), ROWS_PER_CHUNK):
            stop = min(start + ROWS_PER_CHUNK, len(spectrogram))
            batch = _checked(spectrogram, spectrogram_path, start, stop)
            if tonnetz is not None and tonnetz_path is not None:
                batch = join(batch, _checked(tonnetz, tonnetz_path, start, stop))
            joined[start:stop] = batch
            progress(stop, len(spectrogram), "append")
    write_json(layout_path(path), description)


def _open(path: Path) -> np.ndarray[Any, Any]:
    pictures = open_array(path)
    if pictures.ndim != 3 or pictures.dtype != np.float32 or pictures.size == 0:
        raise AdvaudioError(
            f"{path} holds {pictures.dtype} of shape {pictures.shape}; pictures are float32 of shape "
            "(samples, height, width). Delete the file and run `dvc repro`."
        )
    return pictures


def _checked(pictures: np.ndarray[Any, Any], path: Path, start: int, stop: int) -> np.ndarray[Any, Any]:
    batch = np.asarray(pictures[start:stop])
    # Written so that NaN fails too.
    if not (batch.min() >= 0 and batch.max() <= 1):
        raise AdvaudioError(
            f"{path} holds values outside [0, 1] in the pictures {start} to {stop - 1}. "
            "Delete the file and run `dvc repro`."
        )
    return batch


def _joined_layout(spectrogram: dict[str, Any], tonnetz: dict[str, Any]) -> dict[str, Any]:
    if spectrogram["clip_seconds"] != tonnetz["clip_seconds"]:
        raise AdvaudioError(
            f"The spectrogram spans {spectrogram['clip_seconds']} s and the tonnetz "
            f"{tonnetz['clip_seconds']} s; clip_seconds must be the same for both. "
            "Run `dvc repro` to make both again."
        )
    return layout(
        f"{spectrogram['representation']}_tonnetz",
        [*spectrogram["sections"], *tonnetz["sections"]],
        width=spectrogram["width"],
        clip_seconds=spectrogram["clip_seconds"],
        first_column=spectrogram["first_column_seconds"],
        column_step=spectrogram["seconds_per_column"],
        settings={"spectrogram": spectrogram["settings"], "tonnetz": tonnetz["settings"]},
    )
