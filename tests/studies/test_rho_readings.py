"""Perturbations from the curves of records, and which signs and orders change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from advaudio.attack_interface.clip_results import AttackResults
from advaudio.core.errors import AdvaudioError
from advaudio.robustness.fooling_curve import curve
from advaudio.robustness.headline import StatisticsSettings, detailed_metrics
from advaudio.robustness.recordings import clips_of
from studies import rho_readings
from studies.rho_readings import changed_signs, ranking, read_cell, sorted_perturbations
from tests.robustness.test_measures import table

ROOT = Path(__file__).resolve().parents[2]
INF, NAN = np.inf, np.nan


def model_details(values: np.ndarray) -> dict[str, Any]:
    """What a record has of one model."""
    epsilon, rate = curve(values)
    return {
        "clips_attacked": len(values),
        "clips_fooled": int(np.isfinite(values).sum()),
        "curve": {"epsilon": epsilon.tolist(), "fooling_rate": rate.tolist()},
    }


@pytest.mark.parametrize("clips", [1, 7, 30, 600])
def test_perturbations_are_rebuilt_exactly(clips: int) -> None:
    generator = np.random.default_rng(clips)
    values = generator.integers(0, 40, clips) / 7.0
    values[generator.random(clips) < 0.2] = INF
    np.testing.assert_array_equal(sorted_perturbations(model_details(values), "a"), np.sort(values))


def test_a_curve_of_other_clips_is_refused() -> None:
    details = model_details(np.array([1.0, 2, INF]))
    with pytest.raises(AdvaudioError, match="cell: the fooling curve is not that of 2 of 4 clips"):
        sorted_perturbations({**details, "clips_attacked": 4}, "cell")
    with pytest.raises(AdvaudioError, match="3 of 3"):
        sorted_perturbations({**details, "clips_fooled": 3}, "cell")


def write_record(path: Path, original: list[float], robust: list[float], clips: bool) -> Path:
    """A record of one attack."""
    case = table(original, robust)
    details = detailed_metrics(AttackResults(case, "linf", [{}]), StatisticsSettings(bootstrap_samples=20))
    params = {"model": "alexnet", "representation": "stft"}
    record: dict[str, Any] = {"params": params, "attacks": {"bim_a": json.loads(json.dumps(details))}}
    if clips:
        record["clips"] = clips_of({"bim_a": case})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def test_readings_of_a_record_with_and_without_its_clips(tmp_path: Path) -> None:
    """The example of the issue: the robust model loses its hardest clip, and needs twice as much on all others."""
    original, robust = [1.0] * 9 + [11.0], [2.0] * 9 + [INF]
    for clips, common in ((True, pytest.approx(2.0)), (False, "not in this record")):
        cell = read_cell(write_record(tmp_path / "study" / "results.json", original, robust, clips))
        found = cell["attacks"]["bim_a"]
        assert found["rho"] == pytest.approx(1.0)
        assert found["rho_equal_shares"] == pytest.approx(2.0)
        assert found["rho_median"] == pytest.approx(2.0)
        assert found["rho_common"] == cell["mean"]["rho_common"] == common
        assert cell["cell"] == "AlexNet, STFT (study)"


def test_a_record_that_contradicts_its_curves_is_refused(tmp_path: Path) -> None:
    file = write_record(tmp_path / "results.json", [1.0, 2], [2.0, 4], False)
    record = json.loads(file.read_text(encoding="utf-8"))
    record["attacks"]["bim_a"]["metrics"]["rho"] = 3.0
    file.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(AdvaudioError, match=r"the curves give ρ 2\.0, the record says 3\.0"):
        read_cell(file)


def cell(name: str, paper: float, median: float) -> dict[str, Any]:
    """A cell with one attack."""
    own = {"rho": paper, "rho_equal_shares": paper, "rho_median": median, "rho_common": "not in this record"}
    return {"cell": name, "mean": own, "attacks": {"bim_a": own}}


def test_signs_and_orders_that_change_are_counted() -> None:
    cells = [cell("a", 3.0, 3.0), cell("b", 2.0, 0.9), cell("c", 1.5, 1.2)]
    assert [(found["cell"], found["attack"], found["reading"]) for found in changed_signs(cells)] == [
        ("b", "mean", "rho_median"),
        ("b", "bim_a", "rho_median"),
    ]
    found = ranking(cells, "rho_median")
    assert (found["pairs"], found["swapped"]) == (3, 1)
    assert found["kendall"] == pytest.approx(1 / 3)
    assert found["first_and_last"] == {"rho": ["a", "c"], "rho_median": ["a", "b"]}
    assert ranking(cells, "rho_common")["cells"] == 0


def test_every_record_here_is_read_and_is_what_the_study_says(tmp_path: Path) -> None:
    patterns = ("results/*/results.json", "results/esc50-grid/cells/*.json")
    files = [str(file.relative_to(ROOT)) for pattern in patterns for file in sorted(ROOT.glob(pattern))]
    app = rho_readings.typer.Typer()
    app.command()(rho_readings.main)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        result = CliRunner().invoke(app, [*files, "--json", str(tmp_path / "new.json")])
    assert result.exit_code == 0, result.output
    kept = json.loads((ROOT / "results" / "rho-readings" / "readings.json").read_text(encoding="utf-8"))
    new = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    by_record = {found["record"]: found for found in new["cells"]}
    for found in kept["cells"]:
        assert by_record[found["record"]]["mean"] == pytest.approx(found["mean"]), found["record"]
