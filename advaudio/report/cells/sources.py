"""Where the results of a cell are read from: a folder, or (in `experiments`) a revision of the repository."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from advaudio.core.errors import AdvaudioError
from advaudio.core.yaml_files import parse_yaml


class Source(Protocol):
    """A tree of files laid out like this repository: params.yaml, metrics/ and, perhaps, outputs/."""

    @property
    def name(self) -> str:
        """What the reader knows it by."""

    @property
    def provenance(self) -> dict[str, str]:
        """Heading to text, such as the commit."""

    def read(self, path: str) -> bytes | None:
        """Content of a file; None if there is no such file."""

    def local(self, path: str) -> Path | None:
        """Where a file too large to read whole lies on this disk; None if it does not."""


@dataclass(frozen=True)
class Folder:
    """A folder on disk."""

    path: Path
    name: str

    @property
    def provenance(self) -> dict[str, str]:
        """A folder tells nothing about its origin."""
        return {}

    def read(self, path: str) -> bytes | None:
        """See `Source.read`."""
        try:
            return (self.path / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise AdvaudioError(
                f"Could not read {self.path / path}: {error.strerror}. Check its permissions."
            ) from error

    def local(self, path: str) -> Path | None:
        """See `Source.local`."""
        file = self.path / path
        return file.resolve() if file.is_file() else None


def need(source: Source, path: str) -> bytes:
    """Content of a file that must be there.

    Raises
    ------
    AdvaudioError
        If it is not.
    """
    content = source.read(path)
    if content is None:
        raise AdvaudioError(
            f"{source.name} has no {path}. Finish its run with `dvc repro`, or restore it with `dvc checkout`."
        )
    return content


def read_json(source: Source, path: str) -> dict[str, Any] | None:
    """Names and values of a JSON file, or None if there is no such file."""
    content = source.read(path)
    return None if content is None else _parsed(source, path, content)


def need_json(source: Source, path: str) -> dict[str, Any]:
    """Names and values of a JSON file that must be there."""
    return _parsed(source, path, need(source, path))


def need_params(source: Source) -> dict[str, Any]:
    """Content of params.yaml, unchecked: it may be of an earlier version."""
    try:
        params = parse_yaml(need(source, "params.yaml"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AdvaudioError(f"params.yaml of {source.name} is not valid YAML: {error}.") from error
    if not isinstance(params, dict):
        raise AdvaudioError(f"params.yaml of {source.name} must hold keys and values.")
    return params


def need_table(source: Source, path: str, *columns: str, **options: Any) -> pd.DataFrame:
    """A CSV file that must be there and have these columns; `options` are pandas'.

    "inf" and empty fields of number columns are read as such.
    """
    content = need(source, path)
    try:
        if not content.endswith(b"\n"):
            raise ValueError("its last line is cut off")
        table = pd.read_csv(io.BytesIO(content), **options)
        missing = [column for column in columns if column not in table]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        return table
    except (ValueError, OverflowError) as error:
        raise damaged(source, path, f"is no table: {error}") from error


def need_array(source: Source, path: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """A .npy file that must be there, of this shape (None: any length)."""
    try:
        array: NDArray[Any] = np.load(io.BytesIO(need(source, path)), allow_pickle=False)
        if len(array.shape) != len(shape) or any(
            wanted not in (None, length) for length, wanted in zip(array.shape, shape, strict=True)
        ):
            raise ValueError(f"its shape is {array.shape}, but must be {shape}")
    except (ValueError, EOFError) as error:
        raise damaged(source, path, f"is no array: {error}") from error
    return array


def damaged(source: Source, path: str, fault: str) -> AdvaudioError:
    """The error of a file that is there, and is not what it should be."""
    return AdvaudioError(
        f"{path} of {source.name} {fault}. Restore it with `dvc checkout`, or make it anew: delete it and run "
        "`dvc repro`."
    )


def _parsed(source: Source, path: str, content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
        if not isinstance(parsed, dict):
            raise ValueError(f"it holds a {type(parsed).__name__} instead of names and values")
    except (ValueError, RecursionError) as error:
        raise damaged(source, path, f"cannot be used: {error}") from error
    return parsed
