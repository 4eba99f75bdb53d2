"""Read the files of an archive or a folder by name, treating everything in an archive as hostile input.

Nothing is unpacked into separate files: a zip is read member by member, a plain tar by offset, and a
compressed tar (which has no random access) is copied once, its files back to back, into one scratch file.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import relative_hint
from advaudio.core.progress import Progress, silent
from advaudio.datasets.inventory import MEBIBYTE, Inventory, plain_name, refusal

LARGEST_HEADER = 16 * MEBIBYTE
UTF_8_NAME = 0x800
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}

# NotImplementedError is what zipfile raises for a compression method that it does not know.
READ_ERRORS = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, NotImplementedError)


@dataclass(frozen=True)
class Located:
    """Where the bytes of one file are, readable from any process.

    Attributes
    ----------
    path
        The file on disk: the file itself, a zip, or a file of many files back to back.
    member
        Name in the zip, or None.
    offset, size
        Bytes; for a zip `size` is the uncompressed size and `offset` is unused.
    """

    path: Path
    member: str | None
    offset: int
    size: int

    def read(self) -> bytes:
        """Read the whole file.

        Raises
        ------
        OSError, zipfile.BadZipFile, zlib.error, NotImplementedError
            If it is damaged or shorter than stated (one of `READ_ERRORS`).
        """
        if self.member is None:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                content = file.read(self.size)
        else:
            # One byte more than stated shows a member that lies about its size, without reading it all.
            with _zip(self.path).open(self.member) as member:
                content = member.read(self.size + 1)
        if len(content) != self.size:
            raise OSError(f"{len(content)} bytes where {self.size} were expected")
        return content


@lru_cache(maxsize=2)
def _zip(path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


class Container:
    """Files by name, in the order in which they lie in the archive or folder.

    Attributes
    ----------
    path
        The archive or folder.
    files
        Where each regular file is, by its name with forward slashes and composed letters (Unicode's NFC),
        however the disk or the archive spells it.
    """

    def __init__(self, path: Path, files: dict[str, Located]) -> None:
        self.path = path
        self.files = files

    def read(self, name: str) -> bytes:
        """Read one file whole.

        Raises
        ------
        AdvaudioError
            If it is damaged.
        """
        try:
            return self.files[name].read()
        except READ_ERRORS as error:
            raise AdvaudioError(
                f"The file {name} in {self.path} is damaged: {error}. Get the archive again."
            ) from error


@contextmanager
def open_container(
    path: Path, scratch: Path, progress: Progress = silent, *, ours: bool = False
) -> Iterator[Container]:
    """Open a folder, a zip, or a tar (plain or compressed with gzip).

    Parameters
    ----------
    path
        Its kind is told by its content, not by its name.
    scratch
        Name of the file that takes the content of a compressed tar; removed at the end.
    progress
        Called with (MiB read, MiB in total, description) while a compressed tar is read.
    ours
        Whether this program downloaded it: then messages may advise to delete it.

    Raises
    ------
    AdvaudioError
        If it is missing, is no archive, is truncated, or holds anything but plain files with harmless names:
        absolute names, `..`, links, devices, sparse files, names that occur twice, encrypted files, more than
        1 GiB in one file, or more than 200 times the size of the archive.
    """
    path = Path(path)
    try:
        folder = Container(path, _folder_files(path)) if path.is_dir() else None
        if folder is None:
            with path.open("rb") as file:
                start = file.read(4)
    except OSError as error:
        raise AdvaudioError(
            f"Could not open {path}: {error.strerror or error}. Give the path of an archive or folder that "
            f"is there, or leave `archive` empty to download.{relative_hint(path)}"
        ) from error
    if folder is not None:
        yield folder
    elif start[:2] == b"PK":
        files = _readable(path, _zip_files, ours)
        try:
            yield Container(path, files)
        finally:
            _zip.cache_clear()
    elif start[:2] == b"\x1f\x8b":
        try:
            yield Container(path, _unpack(path, scratch, progress, ours))
        finally:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
    else:
        yield Container(path, _readable(path, _tar_files, ours))


def _readable(path: Path, read: Callable[[Path], dict[str, Located]], ours: bool) -> dict[str, Located]:
    try:
        return read(path)
    except READ_ERRORS as error:
        raise _damaged(path, error, ours) from error


def _damaged(path: Path, error: BaseException, ours: bool) -> AdvaudioError:
    with path.open("rb") as file:
        start = file.read(6)
    other = next((kind for magic, kind in OTHER_ARCHIVES.items() if start.startswith(magic)), None)
    if other:
        return AdvaudioError(
            f"{path} is an archive of the kind {other}, which is not read here. Unpack it and give the path of "
            "the folder."
        )
    advice = (
        "Delete it and run the same command again: it is downloaded once more."
        if ours
        else "Give the path of a whole zip or tar, or of the folder that it unpacks to; if it came over a network, "
        "get it once more."
    )
    return AdvaudioError(
        f"{path} cannot be read: {error or type(error).__name__}. It is no zip or tar archive, or it is "
        f"truncated or damaged. {advice}"
    )


def _folder_files(folder: Path) -> dict[str, Located]:
    files = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            key = path.relative_to(folder).as_posix()
            if not path.is_file():
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise AdvaudioError(
                    f"The file {key} in {folder} is a link to a file outside that folder; nothing outside it is "
                    "read. Copy the file into the folder, or name the folder that holds all files."
                )
            if not key.isprintable():
                raise AdvaudioError(f"The file {key!r} in {folder} has an unprintable name; rename it.")
            key = plain_name(key)
            if key in files:
                raise AdvaudioError(
                    f"The folder {folder} has two files that read {key}: they differ in how an accent or a slash is "
                    "written. Rename one of them."
                )
            files[key] = Located(path, None, 0, path.stat().st_size)
    return files


def _zip_files(path: Path) -> dict[str, Located]:
    inventory = Inventory(path)
    files = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refusal(path, entry.filename, "is a link or a device")
            stored = _zip_name(entry)
            if stored.endswith(("/", "\\")):
                inventory.check_name(stored)
                continue
            if entry.flag_bits & 1:
                raise refusal(path, stored, "is encrypted")
            if entry.compress_type not in ZIP_METHODS:
                raise AdvaudioError(
                    f"{path} is packed by a method that is not read here (number {entry.compress_type}; 9 is Deflate64 "
                    "of Windows). Unpack it and give the path of the folder."
                )
            name = inventory.add(stored, entry.file_size)
            files[name] = Located(path, entry.filename, 0, entry.file_size)
    return files


def _zip_name(entry: zipfile.ZipInfo) -> str:
    """Name of an entry: macOS writes UTF-8 without saying so, and Python then takes it for an old code page."""
    if not entry.flag_bits & UTF_8_NAME:
        with suppress(UnicodeError):
            return entry.filename.encode("cp437").decode("utf-8")
    return entry.filename


def _tar_entries(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, tarfile.TarInfo]]:
    inventory = Inventory(path)
    for entry in archive:
        if entry.isdir():
            if entry.name not in (".", ""):
                inventory.check_name(entry.name)
            continue
        if not entry.isreg() or entry.issparse():
            raise refusal(path, entry.name, "is a link, a device or a sparse file")
        yield inventory.add(entry.name, entry.size), entry


def _tar_files(path: Path) -> dict[str, Located]:
    with path.open("rb") as file, _open_tar(file) as archive:
        files = {
            name: Located(path, None, entry.offset_data, entry.size)
            for name, entry in _tar_entries(archive, path)
        }
        length = path.stat().st_size
    for name, located in files.items():
        if located.offset + located.size > length:
            raise EOFError(f"the archive ends inside {name}")
    return files


class _Cautious:
    """A stream that refuses to read much at once: `tarfile` reads an extended header of any size whole."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes."""
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"it has a header of {size / 1e6:.0f} MB")
        return self._stream.read(size)

    def seek(self, offset: int) -> int:
        """Go to a byte."""
        return self._stream.seek(offset)

    def tell(self) -> int:
        """Tell the byte that is read next."""
        return self._stream.tell()


def _open_tar(stream: IO[bytes] | gzip.GzipFile) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", _Cautious(stream)), mode="r:")


def _unpack(path: Path, scratch: Path, progress: Progress, ours: bool) -> dict[str, Located]:
    """Copy the files of a compressed tar back to back into `scratch`."""
    size = path.stat().st_size
    scratch.parent.mkdir(parents=True, exist_ok=True)
    check_free_space(scratch.parent, size, f"read {path.name}")
    files: dict[str, Located] = {}
    offset = 0
    try:
        spool = scratch.open("wb")
    except OSError as error:
        raise AdvaudioError(f"Could not write {scratch}: {error.strerror or error}.") from error
    with spool, path.open("rb") as raw:
        try:
            with gzip.open(raw) as stream, _open_tar(stream) as archive:
                for name, entry in _tar_entries(archive, path):
                    _copy(archive.extractfile(entry), spool, entry.size)
                    files[name] = Located(scratch, None, offset, entry.size)
                    offset += entry.size
                    progress(raw.tell() // MEBIBYTE, size // MEBIBYTE + 1, f"reading {path.name}")
            spool.flush()
        except READ_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise AdvaudioError(
                    f"Could not copy the files of {path} to {scratch}: {error.strerror or error}. "
                    "Free some space and run the same command again."
                ) from error
            raise _damaged(path, error, ours) from error
    progress(size // MEBIBYTE + 1, size // MEBIBYTE + 1, f"reading {path.name}")
    return files


def _copy(source: IO[bytes] | None, target: IO[bytes], size: int) -> None:
    if source is None:
        raise tarfile.ReadError("an entry without content")
    for start in range(0, size, MEBIBYTE):
        block = source.read(min(MEBIBYTE, size - start))
        if not block:
            raise EOFError("the archive ends inside a file")
        target.write(block)


def check_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse to start what the disk cannot hold.

    Raises
    ------
    AdvaudioError
        If fewer than `needed` bytes are free where `folder` is.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise AdvaudioError(
            f"The disk of {folder} is too full to {purpose}: {needed / 1e6:,.0f} MB are needed, "
            f"{free / 1e6:,.0f} MB are free. Free some space and run the same command again."
        )
