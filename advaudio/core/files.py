"""Files of results: written so that a crash leaves the old file or the new one, read with one kind of error.

Reading has two halves. `parse_…` turns bytes into a value and knows the file only by its origin, a name for the
error: the bytes may come from a folder or from a revision. `read_…` fetches the bytes of a path.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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


def damaged(origin: object, fault: object) -> AdvaudioError:
    """The error of a file of results that is missing or is not what it should be.

    Parameters
    ----------
    origin
        What the user knows the file by: its path, or "metrics/rho.json of the experiment stft".
    fault
        What is wrong with it.
    """
    return AdvaudioError(
        f"Could not read {origin}: {fault}. If a stage made it, run `dvc checkout` to restore it, or `dvc repro` to "
        "make it again."
    )


def parse_json(content: bytes, origin: object, *needed: str) -> Any:
    """A JSON text; `needed` are dotted keys that it must have.

    Raises
    ------
    AdvaudioError
        If the text is not JSON, or lacks a key.
    """
    try:
        parsed = json.loads(content)
        for key in needed:
            inner = parsed
            for part in key.split("."):
                if not isinstance(inner, dict) or part not in inner:
                    raise ValueError(f"it has no {key}")
                inner = inner[part]
    except (ValueError, RecursionError) as error:
        raise damaged(origin, error) from error
    return parsed


def parse_csv(content: bytes, origin: object, *columns: str, **options: Any) -> pd.DataFrame:
    """A table with a line of names, which must hold `columns`; `options` are pandas'.

    Raises
    ------
    AdvaudioError
        If the text is cut off, is no table of these options, or lacks a column.
    """
    import pandas as pd

    try:
        if not content.endswith(b"\n"):
            raise ValueError("its last line is cut off" if content else "it is empty")
        table = pd.read_csv(io.BytesIO(content), **options)
        missing = [column for column in columns if column not in table]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
    except (ValueError, OverflowError) as error:
        raise damaged(origin, error) from error
    return table


def parse_array(content: bytes, origin: object, shape: tuple[int | None, ...]) -> np.ndarray[Any, Any]:
    """An array of this shape (None: any length) in the format .npy; object arrays (pickles) are refused.

    Raises
    ------
    AdvaudioError
        If the bytes are no such array.
    """
    try:
        array: np.ndarray[Any, Any] = np.load(io.BytesIO(content), allow_pickle=False)
        if len(array.shape) != len(shape) or any(
            length not in (None, found) for found, length in zip(array.shape, shape, strict=True)
        ):
            raise ValueError(f"its shape is {array.shape}, but must be {shape}")
    except (ValueError, EOFError) as error:
        raise damaged(origin, error) from error
    return array


def parse_yaml_file(content: bytes, origin: object) -> Any:
    """The YAML text of a file of results; see `advaudio.core.yaml_files`.

    Raises
    ------
    AdvaudioError
        If the text is not YAML.
    """
    import yaml

    from advaudio.core.yaml_files import parse_yaml

    try:
        return parse_yaml(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise damaged(origin, f"it is not valid YAML: {error}") from error


def read_json(path: Path, *needed: str) -> Any:
    """Read a JSON file; see `parse_json`. A missing file is an AdvaudioError too."""
    return parse_json(_content(path), path, *needed)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, atomically; floats keep their shortest exact form.

    `read_csv` reads any text back as it was, given `dtype=object, keep_default_na=False`.
    """
    # Before Python 3.13, a text with a carriage return gets no quotes of its own, and ends the line for a reader.
    texts = table.select_dtypes(exclude="number")
    broken = any(texts[column].astype(str).str.contains("\r").any() for column in texts)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8", quoting=quoting)


def read_csv(path: Path, *columns: str, **options: Any) -> pd.DataFrame:
    """Read a table that `write_csv` wrote; see `parse_csv`. A missing file is an AdvaudioError too."""
    return parse_csv(_content(path), path, *columns, **options)


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
        raise damaged(f"the array {path}", error) from error
    return array


def _content(path: Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise damaged(path, error.strerror or error) from error


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
