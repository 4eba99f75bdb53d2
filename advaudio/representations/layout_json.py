"""What the rows and columns of a picture mean: making the JSON that lies beside every array of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any


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
