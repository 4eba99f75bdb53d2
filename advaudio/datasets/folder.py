"""A folder of the user's own: audio files in any formats and sub-folders, and a table that labels them.

The table is CSV in UTF-8 with the columns `file` (relative to the folder) and `label` (name of the class),
and if wanted `fold` (whole number from 1) and `source` (the recording that the clip was cut from).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from advaudio.core.errors import AdvaudioError
from advaudio.datasets.archive import Container
from advaudio.datasets.clip_table import read_metadata
from advaudio.datasets.source import Source

TABLE = "clips.csv"


def list_clips(container: Container, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of the table.

    Parameters
    ----------
    container
        The folder (or an archive of one).
    settings
        `table`: path of the CSV file; if empty, the `clips.csv` in the folder.

    Raises
    ------
    AdvaudioError
        If the table is missing or unsound.
    """
    content, name, root = _read_table(container, settings.get("table"))
    rows = read_metadata(content, {"file": str, "label": str}, name, {"fold": int, "source": str})
    rows["file"] = _as_on_disk(root + rows["file"].str.removeprefix("./"), container)
    if "fold" in rows and (rows["fold"] < 1).any():
        raise AdvaudioError(f"{name} has the fold {rows['fold'].min()}; folds are numbered from 1.")
    classes = sorted(rows["label"].unique(), key=_numbers_first)
    return pd.DataFrame(
        {
            "file": rows["file"],
            "clip": rows["file"].str.removeprefix(root),
            "label": rows["label"].map({label: number for number, label in enumerate(classes)}),
            "class_name": rows["label"],
            "fold": rows.get("fold", -1),
            "source": rows["source"] if "source" in rows else rows["file"].str.removeprefix(root),
        }
    )


def _read_table(container: Container, table: str | Path | None) -> tuple[bytes, str, str]:
    """Content and name of the table, and where in the container its files lie."""
    if not table:
        inside = [name for name in container.files if name == TABLE or name.endswith(f"/{TABLE}")]
        if TABLE not in inside and len(inside) != 1:
            raise AdvaudioError(
                f"{container.path} has {len(inside) or 'no'} {TABLE}. Name the CSV file with the columns file and "
                "label: datasets.folder.source.table."
            )
        name = TABLE if TABLE in inside else inside[0]
        return container.read(name), name, name.removesuffix(TABLE)
    try:
        return Path(table).read_bytes(), str(table), ""
    except OSError as error:
        raise AdvaudioError(
            f"Could not read the table of clips {table} (parameter datasets.folder.source.table): "
            f"{error.strerror or error}. Give the path of a CSV file with the columns file and label."
        ) from error


def _as_on_disk(names: pd.Series[Any], container: Container) -> pd.Series[Any]:
    """Spell each name as the file system does: accents may be one code point or two."""
    spelt = {unicodedata.normalize("NFC", name): name for name in container.files}
    return names.map(lambda name: name if name in container.files else _spelt(name, spelt))


def _spelt(name: str, spelt: Mapping[str, str]) -> str:
    return spelt.get(unicodedata.normalize("NFC", name), name)


def _numbers_first(label: str) -> tuple[int, int, str]:
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


SOURCE = Source(
    title="Own folder",
    licence="that of the files; nothing is known about it here",
    citation="",
    homepage="",
    settings=("path", "table"),
    list_clips=list_clips,
)
