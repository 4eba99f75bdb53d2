"""Each of the six claims turns with its numbers: holds, does not hold, not enough data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advaudio.report.cells.cell import read_cell
from advaudio.report.cells.claims import Claim, claims
from advaudio.report.cells.grid import build_grid
from advaudio.report.cells.sources import Folder
from advaudio.report.tables.table_files import evidence
from tests.report.cells import made_cell, write_cell

STFT = {"representation": "stft"}
DWT = {"representation": "dwt"}
STFT_TONNETZ = {"representation": "stft_tonnetz"}
DWT_TONNETZ = {"representation": "dwt_tonnetz"}
VGG = {"model": "vgg16"}

CASES: list[tuple[str, str, list[dict[str, Any]], str]] = [
    (
        "a",
        "each step up is far beyond chance",
        [
            {**STFT, "accuracy": 0.4},
            {**DWT, "accuracy": 0.6},
            {**STFT_TONNETZ, "accuracy": 0.6},
            {**DWT_TONNETZ, "accuracy": 0.8},
        ],
        "holds",
    ),
    (
        "a",
        "the tonnetz harms the DWT",
        [
            {**STFT, "accuracy": 0.4},
            {**DWT, "accuracy": 0.6},
            {**STFT_TONNETZ, "accuracy": 0.6},
            {**DWT_TONNETZ, "accuracy": 0.4},
        ],
        "does not hold",
    ),
    (
        "a",
        "the DWT's lead is within chance",
        [
            {**STFT, "accuracy": 0.60},
            {**DWT, "accuracy": 0.62},
            {**STFT_TONNETZ, "accuracy": 0.8},
            {**DWT_TONNETZ, "accuracy": 0.8},
        ],
        "not enough data",
    ),
    ("a", "STFT alone", [{**STFT}], "not enough data"),
    ("b", "a large drop", [{"accuracy": 0.8, "robust_accuracy": 0.6}], "holds"),
    (
        "b",
        "one of two models gains beyond chance",
        [{"accuracy": 0.8, "robust_accuracy": 0.6}, {**VGG, "accuracy": 0.6, "robust_accuracy": 0.8}],
        "does not hold",
    ),
    ("b", "a drop within chance", [{"accuracy": 0.80, "robust_accuracy": 0.79}], "not enough data"),
    (
        "b",
        "one model's gain within chance",
        [{"accuracy": 0.8, "robust_accuracy": 0.4}, {**VGG, "accuracy": 0.80, "robust_accuracy": 0.81}],
        "not enough data",
    ),
    ("c", "AlexNet is fooled least", [{"ratio": 4.0}, {**VGG, "ratio": 1.5}], "holds"),
    ("c", "AlexNet is fooled most", [{"ratio": 1.5}, {**VGG, "ratio": 4.0}], "does not hold"),
    ("c", "the robust models are fooled more", [{"ratio": 0.5}, {**VGG, "ratio": 0.4}], "does not hold"),
    ("c", "no model beside AlexNet", [{"ratio": 4.0}], "not enough data"),
    ("d", "all robust clips fooled", [{}], "holds"),
    ("d", "exactly at the threshold", [{"robust_fooled": 0.9}], "holds"),
    ("d", "robust model short of it", [{"robust_fooled": 0.85}], "does not hold"),
    ("d", "never reached on the original", [{"fooled": 0.5}], "not enough data"),
    ("e", "dearer in both cells", [{"ratio": 2.0}, {**VGG, "ratio": 1.5}], "holds"),
    ("e", "cheaper in one cell", [{"ratio": 2.0}, {**VGG, "ratio": 0.7}], "does not hold"),
    ("e", "ρ undefined", [{"fooled": 0.5}], "not enough data"),
    ("f", "1 dB of 80", [{"decibels": 1.0}], "holds"),
    ("f", "one cell with 8 dB of 80", [{"decibels": 1.0}, {**VGG, "decibels": 8.0}], "does not hold"),
]


def _claim(letter: str, cells: list[dict[str, Any]]) -> Claim:
    grid = build_grid(made_cell(**settings) for settings in cells)
    return next(claim for claim in claims(grid) if claim.letter == letter)


@pytest.mark.parametrize(
    ("letter", "cells", "verdict"),
    [(letter, cells, verdict) for letter, _, cells, verdict in CASES],
    ids=[f"{letter}: {name}" for letter, name, _, _ in CASES],
)
def test_verdict_follows_from_the_numbers(letter: str, cells: list[dict[str, Any]], verdict: str) -> None:
    assert _claim(letter, cells).verdict == verdict


def test_metrics_without_outputs_leave_claims_open_that_need_them(tmp_path: Path) -> None:
    folder = write_cell(tmp_path / "whole")
    (folder / "outputs").rename(tmp_path / "elsewhere")
    verdicts = {
        claim.letter: claim.verdict for claim in claims(build_grid([read_cell(Folder(folder, "bare"))]))
    }
    assert set(verdicts.values()) == {"not enough data"}


def test_evidence_names_the_cells_that_go_against_the_claim() -> None:
    claim = _claim("e", [{"ratio": 2.0}, {**VGG, "ratio": 0.7}])
    (part,) = claim.parts
    assert [case.name for case in part.against] == ["VGG-16 on ESC-50, STFT"]
    sentence = evidence(part)
    assert "true of 1 of 2 cases" in sentence
    assert "VGG-16 on ESC-50, STFT (−0.30" in sentence
    assert "AlexNet" not in sentence
