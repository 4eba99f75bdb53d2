"""Archives and folders that are broken or want to do harm, each with the error that it must get."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 8_000
LABELS = {f"1-{number}-A-{label}": label for label in range(10) for number in (label, 100 + label)}


def wav(audio: np.ndarray[Any, Any] | None = None, subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    """Bytes of a wav file; half a second of noise if no audio is given."""
    if audio is None:
        audio = 0.1 * np.random.default_rng(0).standard_normal(RATE // 2)
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, subtype=subtype, format="WAV")
    return buffer.getvalue()


def table(rows: dict[str, int] | None = None, extra: str = "") -> bytes:
    """Bytes of an `esc50.csv` whose rows are all of ESC-10."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for clip, label in (LABELS if rows is None else rows).items():
        lines.append(f"{clip}.wav,{1 + label % 5},{label},class{label},True,{clip.split('-')[1]},A")
    return ("\n".join(lines) + "\n" + extra).encode()


def files() -> dict[str, bytes]:
    """A sound, small data set in ESC-50's layout."""
    made = {f"ESC-50-master/audio/{clip}.wav": wav() for clip in LABELS}
    return {"ESC-50-master/meta/esc50.csv": table(), **made}


FIRST = "ESC-50-master/audio/1-0-A-0.wav"


def make_zip(path: Path, content: dict[str, bytes]) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, content: dict[str, bytes], mode: str = "w:gz") -> Path:
    """Write a tar."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def _zip_with(name: str, data: bytes = b"x", mode: int = 0) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = make_zip(folder / "a.zip", files())
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, data)
        return path

    return make


def _tar_with(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = make_tar(folder / "a.tar", files(), "w")
        with tarfile.open(path, "a") as archive:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            entry.linkname = target
            archive.addfile(entry, io.BytesIO())
        zipped = folder / "a.tar.gz"
        zipped.write_bytes(gzip.compress(path.read_bytes(), 1))
        return zipped

    return make


def _content(change: Callable[[dict[str, bytes]], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        content = files()
        change(content)
        return make_zip(folder / "a.zip", content)

    return make


def _audio(data: bytes) -> Callable[[Path], Path]:
    return _content(lambda content: content.update({FIRST: data}))


def _table(data: bytes) -> Callable[[Path], Path]:
    return _content(lambda content: content.update({"ESC-50-master/meta/esc50.csv": data}))


def _truncated(
    make: Callable[[Path, dict[str, bytes]], Path], name: str, share: float
) -> Callable[[Path], Path]:
    def cut(folder: Path) -> Path:
        path = make(folder / name, files())
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return path

    return cut


def _zip_stating(size: int, zeros: int = 2**24) -> Callable[[Path], Path]:
    """A zip whose first clip unpacks to `zeros` zeros and states `size`."""

    def make(folder: Path) -> Path:
        path = make_zip(folder / "a.zip", files() | {FIRST: bytes(zeros)})
        data = path.read_bytes()
        path.write_bytes(data.replace(zeros.to_bytes(4, "little"), size.to_bytes(4, "little")))
        return path

    return make


def _zip_of_many_zeros(folder: Path) -> Path:
    return make_zip(folder / "a.zip", files() | {f"z{number}": bytes(2**25) for number in range(5)})


def _tar_header_bomb(folder: Path) -> Path:
    """An extended header that states 8 GB, which a naive reader takes into memory whole."""
    entry = tarfile.TarInfo("x")
    entry.type = tarfile.XHDTYPE
    entry.size = 2**33 - 1
    path = folder / "a.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(entry.tobuf(tarfile.PAX_FORMAT))
        for _ in range(64):
            file.write(bytes(2**20))
    return path


def _damaged_zip(folder: Path) -> Path:
    path = make_zip(folder / "a.zip", files())
    data = bytearray(path.read_bytes())
    place = data.index(FIRST.encode()) + len(FIRST) + 2_000
    data[place : place + 50] = bytes(50)
    path.write_bytes(data)
    return path


def _encrypted_zip(folder: Path) -> Path:
    path = make_zip(folder / "a.zip", files())
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    path.write_bytes(data)
    return path


def _empty(folder: Path) -> Path:
    path = folder / "a.zip"
    path.write_bytes(b"")
    return path


def _page(folder: Path) -> Path:
    path = folder / "a.zip"
    path.write_text("<!DOCTYPE html><title>Please sign in</title>" * 50)
    return path


def _long_table(data: bytes) -> bytes:
    return table() + data


@dataclass(frozen=True)
class Case:
    """An input, and what its error must say."""

    name: str
    make: Callable[[Path], Path]
    says: str


LINK = stat.S_IFLNK | 0o777
SILENCE = np.zeros(RATE)
WRONG_FOLD = b"1-0-A-0.wav,1,0,class0,True,0,A"

ARCHIVES = [
    Case("zip: ../ in a name", _zip_with("../evil.wav"), r"'../evil.wav' has `..` in its name"),
    Case("zip: ..\\ in a name", _zip_with("a\\..\\evil.wav"), "has `..` in its name"),
    Case("zip: absolute name", _zip_with("/etc/evil"), "has an absolute name"),
    Case("zip: drive letter", _zip_with("C:evil.wav"), "has an absolute name"),
    Case("zip: symbolic link", _zip_with("link", b"/etc/passwd", LINK), "'link' is a link or a device"),
    Case("zip: control character in a name", _zip_with("a\nb.wav"), "unprintable name"),
    Case("zip: name twice", _zip_with(FIRST), "occurs twice"),
    Case("zip: bomb of one file", _zip_stating(3 * 10**9), "unpacks to 3.0 GB, more than 1 GiB"),
    Case("zip: bomb of many files", _zip_of_many_zeros, "more than 200 times the archive"),
    Case("zip: member larger than it states", _zip_stating(1000), "bad file.*1-0-A-0.wav"),
    Case("zip: encrypted", _encrypted_zip, "is encrypted"),
    Case("zip: truncated", _truncated(make_zip, "a.zip", 0.6), "truncated or damaged"),
    Case("zip: flipped bytes in a member", _damaged_zip, r"1 bad file .*1-0-A-0.wav: it cannot be read"),
    Case("empty file", _empty, "no zip or tar archive"),
    Case("a web page instead of an archive", _page, "no zip or tar archive"),
    Case("tar: ../ in a name", _tar_with("a/../../evil"), "has `..` in its name"),
    Case("tar: absolute name", _tar_with("/etc/evil"), "has an absolute name"),
    Case("tar: symbolic link", _tar_with("l", tarfile.SYMTYPE, "/etc/passwd"), "'l' is a link, a device"),
    Case("tar: hard link", _tar_with("l", tarfile.LNKTYPE, FIRST), "is a link, a device"),
    Case("tar: device", _tar_with("null", tarfile.CHRTYPE), "'null' is a link, a device"),
    Case("tar: named pipe", _tar_with("pipe", tarfile.FIFOTYPE), "'pipe' is a link, a device"),
    Case("tar: name twice", _tar_with(FIRST), "occurs twice"),
    Case("tar: header of 8 GB", _tar_header_bomb, "a header of 8590 MB"),
    Case("tar.gz: truncated", _truncated(make_tar, "a.tar.gz", 0.6), "truncated or damaged"),
    Case(
        "tar: truncated", _truncated(lambda p, c: make_tar(p, c, "w"), "a.tar", 0.6), "truncated or damaged"
    ),
]

CONTENTS = [
    Case(
        "no table of clips",
        _content(lambda c: c.pop("ESC-50-master/meta/esc50.csv")),
        "has no file meta/esc50.csv",
    ),
    Case(
        "two tables of clips",
        _content(lambda c: c.update({"b/meta/esc50.csv": b""})),
        "2 files meta/esc50.csv",
    ),
    Case("table: empty", _table(b""), "no table of comma-separated values"),
    Case("table: no row", _table(table({})), "has no row"),
    Case("table: not UTF-8", _table(b"\xff\xfe\x00"), "no table of comma-separated values in UTF-8"),
    Case("table: a column missing", _table(b"filename,fold\na.wav,1\n"), "has no column 'target'"),
    Case(
        "table: fold is no number",
        _table(table().replace(b".wav,1,0,", b".wav,one,0,", 1)),
        "row 1: the column fold",
    ),
    Case("table: fold 6 of 5", _table(table().replace(b".wav,1,0,", b".wav,6,0,", 1)), "has the folds .*6"),
    Case(
        "table: a clip twice", _table(_long_table(WRONG_FOLD + b"\n")), "lists the file .*1-0-A-0.wav' twice"
    ),
    Case(
        "table: two names for a class",
        _table(table().replace(b"class0", b"dog", 1)),
        "0 is 'class0'; 0 is 'dog'",
    ),
    Case(
        "table: nine classes",
        _table(table({c: n for c, n in LABELS.items() if n})),
        "has 9 classes .* has 10",
    ),
    Case("audio missing for a row", _content(lambda c: c.pop(FIRST)), "1-0-A-0.wav: it is not there"),
    Case(
        "audio without a row",
        _content(lambda c: c.update({"ESC-50-master/audio/x.wav": b"x"})),
        "no row of the table",
    ),
    Case("audio: 0 bytes", _audio(b""), "it is empty"),
    Case("audio: no sample", _audio(wav(np.zeros(0))), "it has no samples"),
    Case("audio: text", _audio(b"not audio at all" * 99), "it cannot be decoded"),
    Case("audio: silent", _audio(wav(SILENCE)), "it is silent"),
    Case(
        "audio: stereo that cancels out",
        _audio(wav(np.outer(np.sin(np.arange(RATE)), [0.5, -0.5]))),
        "once its channels",
    ),
    Case("audio: NaN", _audio(wav(np.full(RATE, np.nan), "FLOAT")), "NaN or infinity"),
    Case("audio: infinity", _audio(wav(np.full(RATE, np.inf), "FLOAT")), "NaN or infinity"),
    Case("audio: truncated", _audio(wav()[:3000]), "it is truncated: 2956 of the 8000 bytes"),
    Case(
        "audio: six minutes",
        _audio(wav(np.ones(360 * 1000) * 0.1, rate=1000)),
        "it lasts 360 s, more than 300 s",
    ),
    Case("audio: rate of 100 Hz", _audio(wav(rate=100)), "its sample rate is 100 Hz"),
]
