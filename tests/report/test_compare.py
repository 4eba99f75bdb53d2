"""Two cells side by side: the change, and which is harder to attack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.comparison import Comparison, compare, different_settings
from tests.report.cells import made_cell

ROOT = Path(__file__).resolve().parents[2]


def _rows(first: dict[str, float], second: dict[str, float]) -> dict[tuple[str, str], Comparison]:
    return {(row.group, row.metric): row for row in compare(made_cell(**first), made_cell(**second))}


@pytest.mark.parametrize(
    ("figure", "first", "second", "better"),
    [
        (("original model", "accuracy"), {"accuracy": 0.5}, {"accuracy": 0.8}, "B"),
        (("original model", "accuracy"), {"accuracy": 0.8}, {"accuracy": 0.5}, "A"),
        (("original model", "accuracy"), {"accuracy": 0.80}, {"accuracy": 0.81}, "unclear"),
        (("original model", "accuracy"), {}, {}, "same"),
        (("adversarial training", "drop ratio: accuracy lost"), {"robust_accuracy": 0.4}, {}, "B"),
        (("all attacks", "ρ, mean"), {"ratio": 1.2}, {"ratio": 3.0}, "B"),
        (("all attacks", "robust fooled within bound, mean"), {"ratio": 1.2}, {"ratio": 3.0}, "B"),
        (("CWA", "robust fooled without bound"), {"robust_fooled": 0.5}, {"robust_fooled": 1.0}, "A"),
        (("all attacks", "ρ, mean"), {"fooled": 0.5}, {"ratio": 3.0}, ""),
    ],
)
def test_better_is_harder_to_attack(
    figure: tuple[str, str], first: dict[str, float], second: dict[str, float], better: str
) -> None:
    assert _rows(first, second)[figure].better == better


def test_change_is_second_minus_first_in_the_printed_unit() -> None:
    row = _rows({"accuracy": 0.5}, {"accuracy": 0.8})["original model", "accuracy"]
    assert row.unit == "%"
    assert row.change is not None
    assert row.change.value == pytest.approx(30)


def test_parameters_that_differ_are_named() -> None:
    first, second = made_cell(), made_cell(model="vgg16", changes=(("training.patience", 5),))
    assert different_settings(first, second) == [
        ("model", "alexnet", "vgg16"),
        ("training.patience", "20", "5"),
    ]


def test_command_compares_folders_and_prints_words(eight_cells: list[Path]) -> None:
    result = _compare(str(eight_cells[0]), str(eight_cells[-1]))
    assert result.returncode == 0, result.stderr
    for word in ("AlexNet on ESC-50, STFT", "dwt_tonnetz", "accuracy (%)", "28.0 (", "bound of the original"):
        assert word in result.stdout


def test_command_refuses_an_unknown_name_without_a_traceback() -> None:
    result = _compare("no-such-experiment", "workspace")
    assert result.returncode == 1
    assert "no-such-experiment" in result.stderr
    assert "Traceback" not in result.stderr


def _compare(*names: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "experiments.compare", *names],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
