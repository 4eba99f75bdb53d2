"""What the stages of a run really opened and read, beside what dvc.lock says that they depend on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.clone import Clone

RECORDER = Path(__file__).parent / "recorder"


@dataclass(frozen=True)
class Record:
    """Files (relative paths) opened for reading, and leaves of params.yaml (dotted keys) asked for."""

    files: frozenset[str]
    parameters: frozenset[str]


def recording(folder: Path) -> dict[str, str]:
    """Environment variables under which stages leave their records in `folder`."""
    return {"PYTHONPATH": str(RECORDER), "RECORD_FOLDER": str(folder)}


def read_records(folder: Path, clone: Clone) -> dict[str, Record]:
    """The record of each stage, by the stage's name."""
    leaves = leaves_of(yaml.safe_load((clone.folder / "params.yaml").read_text(encoding="utf-8")))
    records = {}
    for stage in sorted(folder.iterdir()):
        lines = [line for file in stage.iterdir() for line in file.read_text(encoding="utf-8").splitlines()]
        noted = {kind: {line.split(" ", 1)[1] for line in lines if line.startswith(kind)} for kind in KINDS}
        parameters = {leaf for key in noted["parameter"] for leaf in below(key.removesuffix(".*"), leaves)}
        records[stage.name] = Record(frozenset(noted["file"]), frozenset(parameters))
    return records


KINDS = ("file", "parameter")


def leaves_of(content: Any, path: str = "") -> set[str]:
    """Dotted keys of all values of a YAML mapping that are no mappings themselves, empty ones included."""
    if not isinstance(content, dict) or not content:
        return {path}
    return {leaf for key, value in content.items() for leaf in leaves_of(value, f"{path}.{key}".lstrip("."))}


def below(key: str, leaves: set[str]) -> set[str]:
    """Those of the leaves that are `key` or lie in its section."""
    return {leaf for leaf in leaves if leaf == key or leaf.startswith(f"{key}.")}
