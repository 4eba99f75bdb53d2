"""Where the numbers of a page come from, without anything that a rerun would change.

Times, hardware and the commit are no inputs of the pipeline: a page with them would differ on every rerun. The page
names the hashes by which dvc.lock, and with it the commit, is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.cell import Cell

PARAMETERS = (
    "dataset",
    "representation",
    "model",
    "defence",
    "budget",
    "seed",
    "augment",
    "split",
    "training",
    "adversarial_training",
    "attacks",
    "evaluation",
)


@dataclass(frozen=True)
class Provenance:
    """Origin of a cell's page.

    Attributes
    ----------
    dataset, layout
        Content of data/raw/dataset.json, and of the JSON beside the pictures.
    files
        Result file and its MD5, as dvc.lock lists it.
    parameters
        Dotted name and value of each parameter that the cell depends on.
    """

    dataset: Mapping[str, Any]
    layout: Mapping[str, Any]
    files: Sequence[tuple[str, str]]
    parameters: Sequence[tuple[str, Any]]


def cell_provenance(
    cell: Cell, dataset: Mapping[str, Any], layout: Mapping[str, Any], folder: Path, results: Sequence[str]
) -> Provenance:
    """Data, result files (below `folder`) with their hashes, and parameters of a cell."""
    files = [(file, _md5(folder / file)) for file in results]
    return Provenance(dataset, layout, files, _parameters(cell, layout))


def _parameters(cell: Cell, layout: Mapping[str, Any]) -> list[tuple[str, Any]]:
    budget = cell.params["budgets"][cell.params["budget"]]
    schedules = {
        f"{name} (budgets)": steps for name, steps in budget["attacks"].items() if name in cell.attacks
    }
    return [
        *(pair for key in PARAMETERS for pair in _flat(key, cell.params[key])),
        *_flat("training", budget["training"]),
        *_flat("attacks", schedules),
        *_flat(cell.representation, layout["settings"]),
    ]


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _flat(f"{name}.{key}", item)]
    return [(name, value)]


def _md5(path: Path) -> str:
    try:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise AdvaudioError(
            f"Could not read {path}: {error.strerror}. Run `dvc repro` to make it."
        ) from error
