"""Read a CSV file as people have them: any usual separator, spreadsheet habits, and one spelling of each text."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import pandas as pd

from advaudio.core.errors import AdvaudioError

SEPARATORS = (",", ";", "\t", "|")
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# What spreadsheets write above the first line to name the separator.
STATED_SEPARATOR = re.compile(r'"?sep=(.)"?[,;\t]*(?:\r\n?|\n)', re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
CONTROL_BETWEEN_VALUES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
SHOWN = 60


def read_texts(content: bytes, needed: Iterable[str], name: str) -> pd.DataFrame:
    """Read all values as texts, composed (Unicode's NFC) so that equal texts are equal strings.

    Parameters
    ----------
    content
        Bytes of the file: UTF-8 (a byte order mark is dropped), or UTF-16 with a byte order mark. Values are
        separated by the first of comma, semicolon, tab and bar whose first line has the `needed` columns, or by
        what a line `sep=` above it states.
    needed
        Columns that tell the separator.
    name
        What messages call the file.

    Raises
    ------
    AdvaudioError
        If it is no CSV, has a row longer than its first line, or a control character that no CSV has.
    """
    text = unicodedata.normalize("NFC", _decoded(content, name))
    stated = STATED_SEPARATOR.match(text)
    if stated:
        text = text[stated.end() :]
    odd = CONTROL_BETWEEN_VALUES.search(text)
    if odd:
        line = len(re.split(r"\r\n?|\n", text[: odd.start()])) + bool(stated)
        raise AdvaudioError(
            f"{name}, line {line}: it has the control character {odd[0]!r}, which no name or label can hold. "
            "Remove it."
        )
    try:
        separator = stated[1] if stated else _separator(text, set(needed))
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=object,
            keep_default_na=False,
            on_bad_lines="error",
            skipinitialspace=True,
        )
    except ValueError as error:
        raise _no_table(name, str(error).strip()) from error
    # pandas takes the first values of longer rows for names of the rows.
    if not isinstance(table.index, pd.RangeIndex):
        raise AdvaudioError(
            f"{name} has more values in its rows than columns in its first line. Name every column there, or "
            f"remove the separators ({separator!r}) at the ends of the rows."
        )
    table.columns = table.columns.str.strip()
    return table


def refuse_control_characters(values: pd.Series[str], name: str) -> None:
    """Refuse line breaks, tabs and other control characters inside texts.

    Raises
    ------
    AdvaudioError
        If there is one: the row is named.
    """
    # Not by pandas' own search: with pyarrow's strings it reads another dialect of expressions.
    wrong = np.array([CONTROL.search(str(value)) is not None for value in values], dtype=bool)
    if wrong.any():
        row = int(wrong.argmax())
        raise AdvaudioError(
            f"{name}, row {row + 1}: the column {values.name} has {values.iloc[row][:SHOWN]!r}, with a line break, "
            "a tab or another control character inside. Remove it, or put a space there."
        )


def _no_table(name: str, reason: str) -> AdvaudioError:
    return AdvaudioError(
        f"{name} is no table of comma-separated values in UTF-8: {reason}. Correct it, or save it again as "
        "CSV UTF-8."
    )


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-16" if content[:2] in UTF_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = len(re.split(rb"\r\n?|\n", before))
        raise _no_table(name, f"{error.reason} (byte {content[error.start]:#04x} in line {line})") from error


def _separator(text: str, needed: set[str]) -> str:
    """The separator by which the first line has the needed columns, or the most of them."""
    found = {}
    for separator in SEPARATORS:
        header = pd.read_csv(
            io.StringIO(text), sep=separator, nrows=0, skipinitialspace=True, index_col=False
        ).columns
        found[separator] = len(needed & {str(column).strip().lower() for column in header})
    return max(SEPARATORS, key=lambda separator: found[separator])
