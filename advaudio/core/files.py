"""Writing files so that a crash leaves either the old file or the new one, never half of one."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advaudio.core.errors import AdvaudioError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit it replaces `path`, otherwise it is removed.

    Raises
    ------
    AdvaudioError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise AdvaudioError(
            f"Could not write {path}: {error.strerror or error}. "
            "Check the free space and the permissions of its folder, then run the same command again."
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def library_writes() -> Iterator[None]:
    """Inside `atomic_path`: what PyTorch and safetensors raise when a write fails becomes an OSError.

    Each has its own type for a full disk.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error)) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically; NaN and infinity are refused (they are not JSON)."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def read_json(path: Path, *needed: str) -> Any:
    """Read a JSON file; `needed` are dotted keys that it must have.

    Raises
    ------
    AdvaudioError
        If the file is missing, is not JSON, or lacks a key.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        for key in needed:
            inner = content
            for part in key.split("."):
                if not isinstance(inner, dict) or part not in inner:
                    raise ValueError(f"it has no {key}")
                inner = inner[part]
    except (OSError, ValueError, RecursionError) as error:
        raise AdvaudioError(
            f"Could not read {path}: {error}. Delete it and run `dvc repro` to make it anew, or run "
            "`dvc checkout` to restore it."
        ) from error
    return content


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, atomically; floats keep their shortest exact form."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Read a table that `write_csv` wrote; `options` are pandas'.

    Raises
    ------
    AdvaudioError
        If the file is missing, cut off, or no table of these options.
    """
    import pandas as pd

    try:
        content = Path(path).read_bytes()
        if not content.endswith(b"\n"):
            raise ValueError("its last line is cut off" if content else "it is empty")
        return pd.read_csv(io.BytesIO(content), **options)
    except (OSError, ValueError, OverflowError) as error:
        raise AdvaudioError(
            f"Could not read the table {path}: {error}. Run `dvc checkout` to restore it, or delete it and "
            "run `dvc repro`."
        ) from error


def open_array(path: Path) -> np.ndarray[Any, Any]:
    """Memory-map a .npy file, read-only; object arrays (pickles) are refused.

    Raises
    ------
    AdvaudioError
        If the file is missing, truncated, or no plain array.
    """
    try:
        array: np.ndarray[Any, Any] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise AdvaudioError(
            f"Could not read the array {path}: {error}. "
            "Run `dvc checkout` to restore it, or delete it and run `dvc repro`."
        ) from error
    return array


class ArrayWriter:
    """A new memory-mapped .npy file, published under its name on a clean exit of the `with` block.

    Parameters
    ----------
    path
        Where the array is to be.
    shape, dtype
        Of the whole array, known beforehand.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self.path = Path(path)
        self.shape = shape
        self.dtype = dtype

    def __enter__(self) -> np.memmap[Any, Any]:
        self._context = atomic_path(self.path)
        temporary = self._context.__enter__()
        try:
            # Claiming the blocks now makes a full disk an error here, not a SIGBUS in the middle of a write.
            size = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
            array = np.lib.format.open_memmap(temporary, mode="w+", dtype=self.dtype, shape=self.shape)
            if hasattr(os, "posix_fallocate") and size:
                with temporary.open("rb+") as file:
                    os.posix_fallocate(file.fileno(), 0, size)
        except BaseException as error:
            if self._context.__exit__(type(error), error, error.__traceback__):
                raise AssertionError("atomic_path must not swallow errors") from error
            raise
        self._array = array
        return array

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._array.flush()
        del self._array
        self._context.__exit__(*error)


def relative_hint(path: str | Path) -> str:
    """The end of a message about a path that is not there: what a relative one starts from; nothing for an absolute one."""
    if Path(path).is_absolute():
        return ""
    return (
        f" The path is relative to the folder where the stage runs, {Path.cwd()}; outside of your working tree "
        "(`dvc exp run --temp`, the queue, a sweep) give an absolute path, or commit the file."
    )
