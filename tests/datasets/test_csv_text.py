"""Tables of clips as people and their programs write them."""

from __future__ import annotations

import codecs
import unicodedata

import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.datasets.clip_table import check_classes, read_metadata
from advaudio.datasets.csv_text import CONTROL

COLUMNS = {"file": str, "label": str}
ROWS = [("dogs/a.wav", "dog, small"), ("b.wav", "café"), ("c;d.wav", "5 | 6")]


def read(content: bytes) -> list[tuple[str, ...]]:
    return list(read_metadata(content, COLUMNS, "labels.csv").itertuples(index=False, name=None))


def table(separator: str = ",", end: str = "\n") -> str:
    rows = [("file", "label"), *ROWS]
    return "".join(separator.join(f'"{value}"' for value in row) + end for row in rows)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ,", ", ", " ; "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_separators_and_line_ends(separator: str, end: str) -> None:
    if separator.startswith(" "):
        text = table(separator.strip(), end).replace('"' + separator.strip(), '" ' + separator.strip())
        text = text.replace('" ', '"')
    else:
        text = table(separator, end)
    assert read(text.encode()) == ROWS


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["sep={}\n", "sep={}\r\n", '"sep={}"\r\n', "SEP={}\n", "sep={};\n"])
def test_stated_separator(separator: str, first: str) -> None:
    assert read((first.format(separator) + table(separator)).encode()) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + table().encode(),
        codecs.BOM_UTF16_LE + table("\t", "\r\n").encode("utf-16-le"),
        codecs.BOM_UTF16_BE + table().encode("utf-16-be"),
        codecs.BOM_UTF8 + b"sep=;\r\n" + table(";").encode(),
        ("\n\n" + table() + "\n\n").encode(),
        unicodedata.normalize("NFD", table()).encode(),
    ],
    ids=["UTF-8 mark", "Excel's Unicode text", "UTF-16 BE", "mark and sep", "blank lines", "decomposed"],
)
def test_encodings(content: bytes) -> None:
    assert read(content) == ROWS


def test_a_separator_that_is_a_value_of_the_first_line_is_not_taken() -> None:
    content = b"file,label,a;b\nx.wav,dog;cat,1\ny.wav,cow,2\n"
    assert read(content) == [("x.wav", "dog;cat"), ("y.wav", "cow")]


def test_optional_columns_and_quoted_separators() -> None:
    content = b'source;fold;label;file\n"a;b";2;dog;x.wav\n'
    row = read_metadata(content, COLUMNS, "labels.csv", {"fold": int, "source": str}).iloc[0]
    assert row.to_dict() == {"file": "x.wav", "label": "dog", "fold": 2, "source": "a;b"}


@pytest.mark.parametrize("label", ["car\rhorn", "car\nhorn", "car\thorn", "car\r\nhorn", "car\u2028horn"])
def test_control_characters_inside_a_label_are_refused(label: str) -> None:
    with pytest.raises(
        AdvaudioError, match=r"row 2: the column label has 'car.*'|line 3: .* control character"
    ):
        read(f'file,label\na.wav,dog\nb.wav,"{label}"\n'.encode())


@pytest.mark.parametrize("sign", ["\0", "\x07", "\x0b", "\x1a", "\x7f", "\x85", "\x9f"])
def test_control_characters_anywhere_are_refused_by_line(sign: str) -> None:
    with pytest.raises(AdvaudioError, match=r"labels.csv, line 3: it has the control character .* Remove it"):
        read(f"file,label\na.wav,dog\nb.wav,car{sign}horn\n".encode())
    assert CONTROL.match(sign)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            "file;label\na.wav;café\n".encode("latin-1"),
            r"UTF-8: .*\(byte 0xe9 in line 2\).*save it again as CSV UTF-8",
        ),
        (b"PK\x03\x04\x14\x00\xff", "no table of comma-separated values in UTF-8"),
        (b"file;name\na;b\n", "has no column 'label'; it needs file, label and has file, name"),
        (b"File;Label\na;b\n", "has a column 'File'; rename it 'file'"),
        (b"file\tlabel\na\tb\t\n", r"remove the separators \('\\t'\)"),
        (b"file label\na b\n", "no column 'file'; it needs file, label and has file label"),
        (b"sep=;\nfile,label\na,b\n", "no column 'file'"),
    ],
)
def test_messages(content: bytes, says: str) -> None:
    with pytest.raises(AdvaudioError, match=says) as caught:
        read(content)
    assert "\n" not in str(caught.value)


def test_a_label_in_two_unicode_forms_is_one_class() -> None:
    rows = read("file,label\na.wav,café\nb.wav,cafe\u0301\nc.wav,cafe\n".encode())
    assert [label for _, label in rows] == ["caf\u00e9", "caf\u00e9", "cafe"]


@pytest.mark.parametrize(
    ("one", "other"), [("car horn", "car\u00a0horn"), ("dog", "dog\u200b"), ("a b", "a  b")]
)
def test_labels_that_look_alike_are_never_merged_silently(one: str, other: str) -> None:
    rows = read_metadata(f"file,label\na.wav,{one}\nb.wav,{other}\n".encode(), COLUMNS, "labels.csv")
    classes = rows.assign(class_name=rows["label"], label=[0, 1])
    with pytest.raises(AdvaudioError, match="which look the same"):
        check_classes(classes, "labels.csv")
    check_classes(classes.assign(class_name=["Dog", "dog"]), "labels.csv")
