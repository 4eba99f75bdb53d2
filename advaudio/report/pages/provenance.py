"""Where the numbers of a page come from, without anything that a rerun would change.

Times, hardware and the commit are no inputs of the pipeline: a page with them would differ on every rerun, so
the page names the hashes by which dvc.lock, and with it the commit, is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.words import setting
from advaudio.report.pages.page import Block, Fold, Table, Text

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


def cell_provenance(
    cell: Cell, dataset: Mapping[str, Any], layout: Mapping[str, Any], folder: Path, results: Sequence[str]
) -> list[Block]:
    """Data, result files (below `folder`) with their hashes, and parameters of a cell."""
    archive = dataset["archive"]
    data = [
        ["data set", dataset["title"]],
        ["licence", dataset["licence"]],
        ["citation", dataset["citation"]],
        [
            "archive",
            f"{archive['name']}, SHA-256 {archive['sha256']}" if archive else "made or read in place",
        ],
        [
            "clips",
            f"{dataset['clips']} of {dataset['recordings']} recordings, {dataset['dropped_clips']} dropped",
        ],
        ["picture", f"{layout['height']} × {layout['width']} of {layout['clip_seconds']:g} s"],
    ]
    return [
        Table("Data", ["what", "value"], data, prose=True),
        Table(
            "Results that this page shows",
            ["file", "MD5"],
            [[file, _md5(folder / file)] for file in results],
        ),
        Text(
            "dvc.lock lists these hashes. The commit that made this page: "
            "git log -S HASH -- dvc.lock, with the hash of metrics/rho.json."
        ),
        Fold(
            "Parameters",
            [
                Table(
                    "What this cell was made with",
                    ["parameter", "value"],
                    _parameters(cell, layout),
                    prose=True,
                )
            ],
        ),
    ]


def _parameters(cell: Cell, layout: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for key in PARAMETERS:
        rows += _flat(key, cell.params[key])
    budget = cell.params["budgets"][cell.params["budget"]]
    rows += _flat("training", budget["training"]) + _flat(
        "attacks",
        {f"{name} (budgets)": budgets for name, budgets in budget["attacks"].items() if name in cell.attacks},
    )
    return rows + _flat(cell.representation, layout["settings"])


def _flat(name: str, value: Any) -> list[list[str]]:
    if isinstance(value, Mapping):
        return [row for key, item in value.items() for row in _flat(f"{name}.{key}", item)]
    return [[name, setting(value)]]


def _md5(path: Path) -> str:
    try:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise AdvaudioError(
            f"Could not read {path}: {error.strerror}. Run `dvc repro` to make it."
        ) from error
