"""Cells that several tests of the report share."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from advaudio.report.pages.cell_page import Files, cell_page
from tests.report.cells import write_cell
from tests.report.whole_cell import write_whole_cell

HOSTILE = "--><script>alert('x')</script>\"onmouseover=\"alert(1)"

GRID = {
    # accuracy, robust accuracy and ρ of each place
    ("stft", "alexnet"): (0.60, 0.55, 2.0),
    ("stft", "resnet56"): (0.70, 0.60, 2.4),
    ("dwt", "alexnet"): (0.70, 0.62, 2.2),
    ("dwt", "resnet56"): (0.80, 0.70, 2.6),
    ("stft_tonnetz", "alexnet"): (0.68, 0.61, 2.1),
    ("stft_tonnetz", "resnet56"): (0.79, 0.70, 2.5),
    ("dwt_tonnetz", "alexnet"): (0.79, 0.71, 2.3),
    ("dwt_tonnetz", "resnet56"): (0.88, 0.78, 2.7),
}


@pytest.fixture(scope="session")
def eight_cells(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of ESC-50 cells: two models on four representations."""
    folder = tmp_path_factory.mktemp("cells")
    return [
        write_cell(
            folder / f"{model}-{representation}",
            representation=representation,
            model=model,
            accuracy=accuracy,
            robust_accuracy=robust,
            ratio=ratio,
        )
        for (representation, model), (accuracy, robust, ratio) in GRID.items()
    ]


@pytest.fixture(scope="session")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a cell with everything that it can show, whose names from outside are code."""
    files = write_whole_cell(tmp_path_factory.mktemp("whole") / "cell", [HOSTILE, "b"])
    params = yaml.safe_load((files.folder / "params.yaml").read_text(encoding="utf-8"))
    return cell_page({**params, "model": HOSTILE}, files)


@pytest.fixture(scope="session")
def plain_cell(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A cell with everything that a page shows."""
    return write_whole_cell(tmp_path_factory.mktemp("whole") / "cell")
