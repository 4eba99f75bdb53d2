"""Where the results of a cell are read from: a folder, or (in `experiments`) a revision of the repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import damaged, parse_array, parse_csv, parse_json, parse_yaml_file


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


def origin(source: Source, path: str) -> str:
    """What an error calls a file of a source."""
    return f"{path} of {source.name}"


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


def need_json(source: Source, path: str, *needed: str) -> dict[str, Any]:
    """Names and values of a JSON file that must be there; `needed` are dotted keys that it must have."""
    return _mapping(parse_json(need(source, path), origin(source, path), *needed), source, path)


def find_json(source: Source, path: str) -> dict[str, Any] | None:
    """Names and values of a JSON file, or None if there is no such file."""
    return None if source.read(path) is None else need_json(source, path)


def need_params(source: Source) -> dict[str, Any]:
    """Content of params.yaml, unchecked: it may be of an earlier version."""
    path = "params.yaml"
    return _mapping(parse_yaml_file(need(source, path), origin(source, path)), source, path)


def need_table(source: Source, path: str, *columns: str, **options: Any) -> pd.DataFrame:
    """A CSV file that must be there and have these columns; `options` are pandas'.

    "inf" and empty fields of number columns are read as such.
    """
    return parse_csv(need(source, path), origin(source, path), *columns, **options)


def need_array(source: Source, path: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """A .npy file that must be there, of this shape (None: any length)."""
    return parse_array(need(source, path), origin(source, path), shape)


def _mapping(value: Any, source: Source, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise damaged(origin(source, path), f"it holds a {type(value).__name__} instead of names and values")
    return value
