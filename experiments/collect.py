"""The cells that a user names, or all of a repository, with the pictures that their attacks kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import parse_yaml_file
from advaudio.core.progress import Progress, silent
from advaudio.report.cells.cell import Cell, cell_of, read_cell_file, read_record
from advaudio.report.cells.examples import Example, kept_examples
from advaudio.report.cells.sources import Source, origin
from experiments.revisions import experiments, named_source

UNCHECKED_STAGES = ("report",)


@dataclass(frozen=True)
class Collection:
    """Finished cells; each one's kept examples and files by its name; unfinished ones, and what is wrong.

    A cell read from a record has no files.
    """

    cells: Sequence[Cell]
    examples: Mapping[str, Sequence[Example]]
    sources: Mapping[str, Source]
    unfinished: Sequence[tuple[str, str]]


def collect(repository: Path, names: Sequence[str], progress: Progress = silent) -> Collection:
    """Read the named cells; without names, every experiment of the repository and the working tree.

    Parameters
    ----------
    names
        Experiments, revisions, `workspace`, folders laid out as the repository, or records (`*.json`).

    Raises
    ------
    AdvaudioError
        If a named cell is missing, unfinished or damaged. Without names such a cell is listed as unfinished.
    """
    cells: list[Cell] = []
    examples: dict[str, Sequence[Example]] = {}
    sources: dict[str, Source] = {}
    unfinished = []
    wanted: Sequence[str | Source] = names or experiments(repository)
    for done, name in enumerate(wanted):
        try:
            cell, own, source = _read(repository, name)
        except AdvaudioError as error:
            if isinstance(name, str):
                raise
            unfinished.append((name.name, str(error)))
            continue
        cells.append(cell)
        examples[cell.name] = own
        if source is not None:
            sources[cell.name] = source
        progress(done + 1, len(wanted), "cells")
    return Collection(cells, examples, sources, unfinished)


def read_named(repository: Path, name: str) -> Cell:
    """Read the one cell that the user calls `name`; see `collect`."""
    return _read(repository, name)[0]


def check_lock(source: Source, params: Mapping[str, Any]) -> None:
    """Refuse results that were made with other parameters than params.yaml now says, as dvc.lock tells.

    Raises
    ------
    AdvaudioError
        If a stage ran with another value.
    """
    content = source.read("dvc.lock")
    if content is None:
        return
    stages = (parse_yaml_file(content, origin(source, "dvc.lock")) or {}).get("stages", {})
    for name, stage in stages.items():
        attack = name.partition("attack@")[2]
        if name in UNCHECKED_STAGES or (attack and attack not in params["attacks"]):
            continue
        for key, value in stage.get("params", {}).get("params.yaml", {}).items():
            present, now = _at(params, key)
            if present and now != value:
                raise AdvaudioError(
                    f"The results of {source.name} are stale: params.yaml has another `{key}` than its stage {name} "
                    "ran with. Run `dvc repro` first."
                )


def _read(repository: Path, name: str | Source) -> tuple[Cell, Sequence[Example], Source | None]:
    if isinstance(name, str) and name.endswith(".json") and Path(name).is_file():
        return read_cell_file(Path(name)), [], None
    source = named_source(repository, name) if isinstance(name, str) else name
    record = read_record(source)
    check_lock(source, record["params"])
    cell = cell_of(record, source.name)
    return cell, kept_examples(source, cell), source


def _at(params: Mapping[str, Any], key: str) -> tuple[bool, Any]:
    value: Any = params
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False, None
        value = value[part]
    return True, value
