"""The table of a data set's clips as its publisher or the user states it, read and checked."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from advaudio.core.errors import AdvaudioError
from advaudio.datasets.csv_text import read_texts, refuse_control_characters
from advaudio.datasets.source import Source

COLUMNS = ("file", "clip", "label", "class_name", "fold", "source")


def read_metadata(
    content: bytes, columns: Mapping[str, type], name: str, optional: Mapping[str, type] | None = None
) -> pd.DataFrame:
    """Read a CSV file whose `columns` have the types given (str, int, float or bool).

    Parameters
    ----------
    content
        Bytes of the file, as `read_texts` reads them.
    columns
        Columns that must be there, and their types; others are dropped. A text may hold anything but
        control characters and must not be empty; spaces around it are no part of it.
    name
        What messages call the file.
    optional
        Columns that may be there, and their types.

    Raises
    ------
    AdvaudioError
        If it is no CSV, has no row, lacks a column or spells it in other letters, or a value has another type:
        the row is named.
    """
    table = read_texts(content, columns, name)
    wanted = {**columns, **(optional or {})}
    for column in table.columns:
        if column not in wanted and column.lower() in wanted:
            raise AdvaudioError(f"{name} has a column {column!r}; rename it {column.lower()!r}.")
    wanted = {column: kind for column, kind in wanted.items() if column in {*columns, *table.columns}}
    for column, kind in wanted.items():
        if column not in table.columns:
            raise AdvaudioError(
                f"{name} has no column {column!r}; it needs {', '.join(columns)} and has "
                f"{', '.join(map(str, table.columns))}. Add the column."
            )
        table[column] = _typed(table[column].astype(str).str.strip(), kind, name)
    if table.empty:
        raise AdvaudioError(f"{name} has no row. List at least one clip.")
    return table[list(wanted)]


def _typed(values: pd.Series[Any], kind: type, name: str) -> pd.Series[Any]:
    wrong: pd.Series[Any]
    typed: pd.Series[Any]
    if kind is str:
        refuse_control_characters(values, name)
        wrong = values == ""
        typed = values
    elif kind is bool:
        wrong = ~values.str.lower().isin(["true", "false"])
        typed = values.str.lower() == "true"
    else:
        numbers = pd.to_numeric(values, errors="coerce")
        wrong = numbers.isna() | (abs(numbers) > 1e9)
        if kind is int:
            wrong |= numbers != numbers.round()
        typed = numbers.where(~wrong, 0).astype(kind)
    if wrong.any():
        line = int(wrong.to_numpy().argmax())
        words = {str: "a text", int: "a whole number", float: "a number", bool: "True or False"}[kind]
        raise AdvaudioError(
            f"{name}, row {line + 1}: the column {values.name} has {values.iloc[line]!r}; {words} is "
            "expected. Correct the row."
        )
    return typed


def check_table(table: pd.DataFrame, source: Source, *, complete: bool, name: str) -> pd.DataFrame:
    """Check the rows that a source listed; give those that belong to the data set, with all `COLUMNS`.

    Parameters
    ----------
    table
        As `Source.list_clips` describes it.
    source
        The published numbers.
    complete
        Whether all published clips must be listed, as in a fresh download; an archive or folder of the
        user's own may hold fewer clips.
    name
        What messages call the table.

    Raises
    ------
    AdvaudioError
        If a clip or file is listed twice, a class number has two names, numbers are not 0, 1, 2…, a fold is
        not among the published, or classes (with `complete` also clips and folds) are missing.
    """
    for column in ("file", "clip"):
        twice = table[column][table[column].duplicated()]
        if len(twice):
            raise AdvaudioError(f"{name} lists the {column} {twice.iloc[0]!r} twice. Remove one of the rows.")
    if "wanted" in table.columns:
        table = table[table["wanted"]]
    table = table[list(COLUMNS)].reset_index(drop=True)
    classes = table["label"].nunique()
    if source.classes is not None and classes != source.classes:
        raise AdvaudioError(
            f"{name} has {classes} classes where {source.title} has {source.classes}. Is it of another data "
            "set? Check the parameters `dataset` and `archive`."
        )
    check_classes(table, name)
    folds = sorted(table["fold"].unique())
    if source.folds is not None and not set(folds) <= set(range(1, source.folds + 1)):
        raise AdvaudioError(
            f"{name} has the folds {', '.join(map(str, folds))} where {source.title} has 1 to "
            f"{source.folds}. Correct the rows."
        )
    if complete and source.clips is not None and len(table) != source.clips:
        raise AdvaudioError(
            f"{name} lists {len(table)} clips where {source.title} has {source.clips}. The download is not the "
            "published archive: remove it from the folder of downloads, and it is fetched again."
        )
    if complete and source.folds is not None and len(folds) != source.folds:
        raise AdvaudioError(
            f"{name} has {len(folds)} folds where {source.title} has {source.folds}. The download is not the "
            "published archive: remove it from the folder of downloads, and it is fetched again."
        )
    return table


def check_classes(table: pd.DataFrame, name: str) -> None:
    """Check that class numbers are 0, 1, 2…, and that each has one name of its own.

    Raises
    ------
    AdvaudioError
        If not, or if two names look the same (they differ in spaces or invisible characters only).
    """
    pairs = table[["label", "class_name"]].drop_duplicates().sort_values(["label", "class_name"])
    for column in ("label", "class_name"):
        twice = pairs[pairs[column].duplicated(keep=False)]
        if len(twice):
            first = "; ".join(f"{row.label} is {row.class_name!r}" for row in twice.head(2).itertuples())
            raise AdvaudioError(f"{name} numbers its classes in two ways: {first}. Correct the rows.")
    seen: dict[str, str] = {}
    for label in pairs["class_name"]:
        other = seen.setdefault(_visible(label), label)
        if other != label:
            raise AdvaudioError(
                f"{name} has the labels {other!a} and {label!a}, which look the same: they differ in "
                "spaces or invisible characters only. Write them alike."
            )
    labels: Sequence[int] = pairs["label"].tolist()
    if labels != list(range(len(labels))):
        missing = next(number for number in range(len(labels) + 1) if number not in labels)
        raise AdvaudioError(
            f"{name} has no clip of class {missing}; class numbers must be 0, 1, 2… without a gap. Its classes "
            f"are {', '.join(f'{row.label} ({row.class_name})' for row in pairs.head(5).itertuples())}. Correct "
            "the rows."
        )


def check_two_classes(table: pd.DataFrame, name: str) -> None:
    """Refuse a data set of one class, before anything is decoded.

    Raises
    ------
    AdvaudioError
        If all clips have the same class.
    """
    if table["label"].nunique() < 2:
        raise AdvaudioError(
            f"{name} has one class only, {table['class_name'].iloc[0]!r}; telling sounds apart takes two or more. "
            "Add clips of another class."
        )


def _visible(label: str) -> str:
    """What is seen of a label: without format characters, its spaces alike."""
    return " ".join("".join(sign for sign in label if unicodedata.category(sign) != "Cf").split())
