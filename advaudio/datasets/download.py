"""Download one large file over a bad connection: resumed, retried, checked, and published in one step."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import requests

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import write_json
from advaudio.core.progress import Progress, silent
from advaudio.datasets.archive import check_free_space
from advaudio.datasets.digest import file_digest
from advaudio.datasets.source import Remote

BLOCK = 2**18
MEBIBYTE = 2**20
CONNECT_SECONDS = 20.0
HEADERS = {"User-Agent": "advaudio", "Accept-Encoding": "identity"}


class _Retry(Exception):
    """Something that may pass: a broken connection, a stalled or overloaded server."""


class _NextAddress(Exception):
    """Something that will not pass at this address."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes
    ----------
    stall
        Seconds without a byte after which a connection counts as broken.
    first_rests
        Seconds to rest before the second, third… try at an address that has given nothing yet.
    rests
        The same once a part of the file is here. Tries that bring new bytes do not count.
    """

    stall: float = 60.0
    first_rests: tuple[float, ...] = (1.0, 2.0, 4.0)
    rests: tuple[float, ...] = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)


def fetch(
    remote: Remote,
    folder: Path,
    *,
    patience: Patience | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress = silent,
) -> Path:
    """Give the path of a remote archive in `folder`, downloading what is not yet there.

    A download that breaks off leaves `<name>.part` and `<name>.part.json`; the next call goes on from there
    if the server still has the same file (same ETag, date and length; at another address the same length, and
    the digest decides). The file gets its name once it is whole and its digest is right, so that a file with
    the name needs no second look.

    Parameters
    ----------
    remote
        What to download.
    folder
        Where downloads are kept; made if missing.
    patience
        When to give up.
    sleep
        Waits so many seconds between tries.
    progress
        Called with (MiB here, MiB in total, description); the description carries the rate and the time left.

    Raises
    ------
    AdvaudioError
        If no address gives the file, its digest is wrong, or the disk is too full.
    """
    folder = Path(folder)
    target = folder / remote.file_name
    if target.is_file():
        return target
    with working_alone(folder / f"{remote.file_name}.lock", progress):
        if target.is_file():
            return target
        _Download(remote, target, patience or Patience(), sleep, progress).run()
    return target


@contextmanager
def working_alone(lock: Path, progress: Progress = silent) -> Iterator[None]:
    """Hold `lock` against other runs, waiting for one that holds it; a lock ends with its process.

    Raises
    ------
    AdvaudioError
        If the lock file cannot be made.
    """
    holder = filelock.FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                holder.acquire(timeout=1.0)
                break
            except filelock.Timeout:
                progress(0, 0, f"waiting for another run that uses {lock.stem}")
    except OSError as error:
        raise AdvaudioError(
            f"Could not write {lock}: {error.strerror or error}. Check the permissions of its folder."
        ) from error
    try:
        yield
    finally:
        holder.release()


class _Download:
    """One file on its way: tries the addresses in turn, each several times."""

    def __init__(
        self,
        remote: Remote,
        target: Path,
        patience: Patience,
        sleep: Callable[[float], None],
        progress: Progress,
    ) -> None:
        self.remote = remote
        self.target = target
        self.part = target.with_name(f"{target.name}.part")
        self.notes = target.with_name(f"{target.name}.part.json")
        self.patience = patience
        self.sleep = sleep
        self.progress = progress
        self.resumed = False

    def run(self) -> None:
        """Download, check, publish."""
        problems = []
        for address in self.remote.addresses:
            try:
                self._from_address(address)
                if self.resumed and self._wrong_digest():
                    self._forget()
                    self._from_address(address)
                self._publish()
                return
            except _NextAddress as problem:
                problems.append(f"{address}: {problem}")
            except OSError as error:
                raise AdvaudioError(
                    f"Could not write {self.part}: {error.strerror or error}. Free some space and run the "
                    "same command again; the download goes on where it stopped."
                ) from error
        raise AdvaudioError(
            f"Could not download {self.remote.file_name}. {'; '.join(problems)}. Run the same command again "
            "later (it goes on where the download stopped), or get the file another way and give its path as "
            "`datasets.<name>.archive`."
        )

    def _from_address(self, address: str) -> None:
        self.resumed = False
        tries = 0
        while True:
            before = self._here()
            try:
                self._try(address)
                return
            except (_Retry, requests.RequestException) as problem:
                if self._here() > before:
                    tries = 0
                rests = self.patience.rests if self._here() else self.patience.first_rests
                if tries >= len(rests):
                    raise _NextAddress(f"{_plain(problem)} ({tries + 1} tries)") from problem
                self.progress(
                    self._here() // MEBIBYTE,
                    self.remote.size // MEBIBYTE + 1,
                    f"{_plain(problem)}; trying again in {rests[tries]:.0f} s",
                )
                self.sleep(rests[tries])
                tries += 1

    def _here(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _try(self, address: str) -> None:
        """One request: from the first byte that is not here to the end."""
        notes = self._read_notes()
        start = self._here() if notes else 0
        if start and start == notes["length"]:
            self.resumed = True
            return
        same_address = notes.get("address") == address
        headers = dict(HEADERS)
        if start:
            headers["Range"] = f"bytes={start}-"
            if same_address and notes["etag"]:
                headers["If-Range"] = notes["etag"]
        with requests.get(
            address, headers=headers, stream=True, timeout=(CONNECT_SECONDS, self.patience.stall)
        ) as answer:
            status, reason = answer.status_code, answer.reason
            if status in (408, 425, 429) or status >= 500:
                raise _Retry(f"the server answers {status} {reason}")
            if status not in (200, 206, 416):
                raise _NextAddress(f"the server answers {status} {reason}")
            fresh = _notes_of(answer, address)
            if status != 200 and not (
                status == 206
                and _first_byte(answer) == start
                and fresh["length"] == notes.get("length")
                and (fresh == notes or not same_address)
            ):
                self._forget()
                raise _Retry("the file on the server has changed")
            if status == 200:
                start = 0
            self.resumed = start > 0
            total = fresh["length"] or self.remote.size
            check_free_space(self.target.parent, total - start, f"download {self.remote.file_name}")
            write_json(self.notes, fresh)
            self._receive(answer, start, fresh["length"], total)

    def _receive(self, answer: requests.Response, start: int, length: int | None, total: int) -> None:
        began = time.monotonic()
        here = start
        with self.part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for block in answer.iter_content(BLOCK):
                file.write(block)
                here += len(block)
                rate = (here - start) / max(time.monotonic() - began, 1e-3)
                left = max(total - here, 0) / max(rate, 1.0)
                self.progress(
                    here // MEBIBYTE,
                    max(total, here) // MEBIBYTE + 1,
                    f"downloading {self.remote.file_name}, {rate / 1e6:.1f} MB/s, {_clock(left)} left",
                )
        if length is not None and here < length:
            raise _Retry(f"the connection broke after {here} of {length} bytes")
        if length is not None and here > length:
            self._forget()
            raise _Retry(f"the server sent {here} bytes where it announced {length}")

    def _wrong_digest(self) -> str | None:
        """What tells the file that came from the published one, if anything."""
        comment = self.remote.zip_comment
        if comment and _zip_comment(self.part) == comment:
            return None
        for name, published in self.remote.hashes.items():
            found = file_digest(self.part, name, self.progress)
            if found != published:
                return f"its {name} is {found}, not {published}"
        return None

    def _publish(self) -> None:
        """Check the digest, then give the file its name."""
        wrong = self._wrong_digest()
        if wrong:
            size = self._here()
            self._forget()
            raise _NextAddress(f"the file that came ({size} bytes) is not the published one: {wrong}")
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        self.part.replace(self.target)
        self.notes.unlink(missing_ok=True)

    def _forget(self) -> None:
        for path in (self.part, self.notes):
            path.unlink(missing_ok=True)

    def _read_notes(self) -> Mapping[str, Any]:
        with suppress(OSError, ValueError):
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            if isinstance(notes, dict) and {"address", "etag", "modified", "length"} <= notes.keys():
                return notes
        return {}


def _notes_of(answer: requests.Response, address: str) -> dict[str, Any]:
    """What tells one version of the file from another: strong ETag, date, whole length."""
    etag = answer.headers.get("ETag", "")
    length = answer.headers.get("Content-Length", "")
    whole: int | None = int(length) if length.isdigit() else None
    if answer.status_code == 206:
        after_slash = answer.headers.get("Content-Range", "").rpartition("/")[2]
        whole = int(after_slash) if after_slash.isdigit() else None
    return {
        "address": address,
        "etag": etag if etag and not etag.startswith("W/") else None,
        "modified": answer.headers.get("Last-Modified"),
        "length": whole,
    }


def _first_byte(answer: requests.Response) -> int | None:
    """First byte of a `Content-Range: bytes 500-999/1000`."""
    first = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _plain(problem: Exception) -> str:
    """Say a network error in a few words."""
    if isinstance(problem, requests.Timeout | requests.exceptions.ReadTimeout) or "timed out" in str(problem):
        return "the server does not answer"
    if isinstance(problem, requests.exceptions.SSLError):
        return f"no secure connection ({problem})"
    if isinstance(problem, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it broke"
    return str(problem)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _zip_comment(path: Path) -> str | None:
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return archive.comment.decode("ascii", errors="replace")
    return None
