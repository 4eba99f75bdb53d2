"""A folder of the user's own: audio files in any formats and sub-folders, and a table that labels them.

The table is CSV in UTF-8 with the columns `file` (relative to the folder, slashes of either kind) and `label` (name
of the class), and if wanted `fold` (whole number from 1) and `source` (the recording that the clip was cut from).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from advaudio.core.errors import AdvaudioError
from advaudio.datasets.archive import Container
from advaudio.datasets.clip_table import read_metadata
from advaudio.datasets.inventory import plain_name
from advaudio.datasets.source import Source

TABLE = "clips.csv"
SHOWN = 5


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
    names = _Names(container, root, settings.get("table"))
    rows["file"] = rows["file"].map(names.find)
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
            others = [name for name in container.files if name.lower().endswith((".csv", ".tsv"))]
            raise AdvaudioError(
                f"{container.path} has {len(inside) or 'no'} {TABLE}. Name the CSV file with the columns file and "
                "label: datasets.folder.source.table."
                + (f" There is {', '.join(others[:SHOWN])}." if others else "")
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


class _Names:
    """Names of files as a table writes them, told by what is there.

    They are relative to the folder of the files. A path that leads from the table or the working folder to a file
    in that folder will do as well, and so will an absolute one.
    """

    def __init__(self, container: Container, root: str, table: str | Path | None) -> None:
        self.container = container
        self.root = root
        self.origins = [Path(table).parent, Path()] if table else [Path()]

    def find(self, written: str) -> str:
        """Name in the container; a name that is not there if the file is not."""
        name = plain_name(written)
        direct = posixpath.normpath(name if name.startswith("/") else self.root + name)
        if direct in self.container.files or not self.container.path.is_dir():
            return direct
        for origin in self.origins:
            path = origin / name
            for folder, file in (
                (self.container.path.absolute(), Path(os.path.normpath(path.absolute()))),
                (self.container.path.resolve(), path.resolve()),
            ):
                if file.is_relative_to(folder):
                    inside = plain_name(file.relative_to(folder).as_posix())
                    if inside in self.container.files:
                        return inside
        return direct


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
