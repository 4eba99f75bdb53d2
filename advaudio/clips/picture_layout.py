"""What the rows and columns of a picture mean: the JSON that lies beside every array of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json


@dataclass(frozen=True)
class Layout:
    """A picture's axes.

    Attributes
    ----------
    representation
        Such as `dwt_tonnetz`.
    height, width
        In pixels.
    clip_seconds
        What the width spans.
    frequencies
        Hz of each row of the spectrogram, from row 0 (bottom).
    centroids
        Name of each row of the tonnetz, above the spectrogram; empty without one.
    decibels_per_unit
        dB that a difference of 1 stands for, in the rows of the spectrogram.
    """

    representation: str
    height: int
    width: int
    clip_seconds: float
    frequencies: Sequence[float]
    centroids: Sequence[str]
    decibels_per_unit: float

    @property
    def spectrogram_rows(self) -> tuple[int, int]:
        """First row of the spectrogram, and the row after its last."""
        return 0, len(self.frequencies)


def read_layout(pictures: Path) -> Layout:
    """Read the layout beside an array of pictures (the same name, ending in .json).

    Raises
    ------
    AdvaudioError
        If it is missing or no JSON.
    """
    path = layout_path(pictures)
    content: dict[str, Any] = read_json(path)
    try:
        sections = {section["name"]: section for section in content["sections"]}
        spectrogram = sections["spectrogram"]
        return Layout(
            representation=content["representation"],
            height=content["height"],
            width=content["width"],
            clip_seconds=content["clip_seconds"],
            frequencies=spectrogram["row_values"],
            centroids=sections["tonnetz"]["row_values"] if "tonnetz" in sections else (),
            decibels_per_unit=spectrogram["decibels_per_unit"],
        )
    except (KeyError, TypeError) as error:
        raise AdvaudioError(
            f"{path} is no layout of pictures ({error}). Delete it and run `dvc repro` to make it again."
        ) from error


def layout_path(path: Path) -> Path:
    """Where the layout of the pictures at `path` lies: the same name, ending in .json."""
    return Path(path).with_suffix(".json")


def layout(
    representation: str,
    sections: list[dict[str, Any]],
    *,
    width: int,
    clip_seconds: float,
    first_column: float,
    column_step: float,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """What the rows and columns of a picture mean, as the JSON beside it says.

    Parameters
    ----------
    sections
        Bands of rows from row 0 (bottom) up, each with `name`, `rows`, and what its values mean.
    first_column, column_step
        Seconds from the clip's start to the centre of the first column, and between columns.
    """
    row = 0
    placed = []
    for section in sections:
        placed.append({**section, "first_row": row})
        row += section["rows"]
    return {
        "representation": representation,
        "height": row,
        "width": width,
        "clip_seconds": clip_seconds,
        "first_column_seconds": first_column,
        "seconds_per_column": column_step,
        "sections": placed,
        "settings": settings,
    }
