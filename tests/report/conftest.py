"""Cells that several tests of the report share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.cells import write_cell

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
