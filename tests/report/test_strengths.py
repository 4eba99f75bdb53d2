"""The strength of an attack: the grade of the very settings that a cell used, and nothing where these were not graded."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.report.cells import strengths
from advaudio.report.cells.cell import cell_of
from advaudio.report.cells.strengths import read_grades, strength_of
from advaudio.report.pages.cell_page import cell_page
from advaudio.report.pages.page import FOLDER, _environment
from tests.report.cells import PARAMS as PARAMS_FILE
from tests.report.cells import made_cell
from tests.report.html import paragraphs, table_rows
from tests.report.whole_cell import write_whole_cell

SETTINGS = {"code": "advaudio/attacks/bim.py", "stop_early": True}
PARAMS = {
    "budget": "quick",
    "attacks": {"bim_a": SETTINGS},
    "budgets": {"quick": {"attacks": {"bim_a": [{"steps": 10}, {"steps": 40}]}}},
}


def grade(settings: dict[str, Any], worst: float, ratio: float | None = 1.5) -> dict[str, Any]:
    return {
        "attack": "bim_a",
        "settings": settings,
        "code": "c0de",
        "optimality": {"worst": worst, "mean": (1 + worst) / 2},
        "median_ratio": None if ratio is None else {"worst": ratio, "mean": 1.0},
        "measured_on": [{"title": "ESC-50 AlexNet"}, {"title": "ESC-50 ResNet-18"}],
    }


GRADES = [grade({**SETTINGS, "steps": 10}, 0.7), grade({**SETTINGS, "steps": 40}, 0.9, None)]


def details(
    original: list[int], robust: list[int], key: str = "clips_by_budget_step", code: str | None = "c0de"
) -> dict[str, Any]:
    return {"code": code, "models": {"original": {key: original}, "robust": {key: robust}}}


@pytest.mark.parametrize("key", ["clips_by_budget_step", "clips_by_rung"])
def test_the_least_favourable_of_the_steps_used_counts(key: str) -> None:
    second = strength_of("bim_a", details([0, 9], [0, 9], key), PARAMS, GRADES)
    assert second is not None
    assert (second.optimality, second.mean, second.median_ratio) == (0.9, 0.95, None)
    assert second.measured_on == ("ESC-50 AlexNet", "ESC-50 ResNet-18")
    mixed = strength_of("bim_a", details([0, 9], [8, 1], key), PARAMS, GRADES)
    assert mixed is not None
    assert (mixed.optimality, mixed.median_ratio) == (0.7, 1.5)


@pytest.mark.parametrize(
    "change",
    [
        {"attacks": {"bim_a": {**SETTINGS, "stop_early": False}}},
        {"attacks": {"bim_a": {**SETTINGS, "precision": 1.05}}},
        {"attacks": {"bim_a": {**SETTINGS, "code": "mine.py"}}},
        {"budgets": {"quick": {"attacks": {"bim_a": [{"steps": 10}, {"steps": 41}]}}}},
        {"budgets": {"quick": {"attacks": {"bim_a": [{"steps": 10}]}}}},
        {"budgets": {"quick": {"attacks": {}}}},
        {"budgets": {}},
        {"budget": "other"},
    ],
)
def test_changed_settings_have_no_grade(change: dict[str, Any]) -> None:
    used = details([8, 1], [9, 0])
    assert strength_of("bim_a", used, PARAMS, GRADES) is not None
    assert strength_of("bim_a", used, {**PARAMS, **change}, GRADES) is None


def test_other_code_or_code_that_is_not_known_has_no_grade() -> None:
    assert strength_of("bim_a", details([9, 0], [9, 0]), PARAMS, GRADES) is not None
    assert strength_of("bim_a", details([9, 0], [9, 0], code="0ther"), PARAMS, GRADES) is None
    assert strength_of("bim_a", details([9, 0], [9, 0], code=None), PARAMS, GRADES) is None
    assert strength_of("bim_a", {"models": details([9, 0], [9, 0])["models"]}, PARAMS, GRADES) is None


def test_a_record_without_details_or_with_a_step_that_was_not_graded_has_none() -> None:
    assert strength_of("bim_a", {"metrics": {}}, PARAMS, GRADES) is None
    assert strength_of("bim_a", details([8, 1], [9, 0]), PARAMS, GRADES[:1]) is None
    assert strength_of("bim_a", details([9, 0], [9, 0]), PARAMS, GRADES[:1]) is not None


def test_grades_are_read_if_there_are_any(tmp_path: Path) -> None:
    assert read_grades(tmp_path / "none.json") == []
    path = tmp_path / "grades.json"
    path.write_text('{"other": 1}', encoding="utf-8")
    with pytest.raises(AdvaudioError, match=r"grades\.json"):
        read_grades(path)


def test_the_page_shows_the_strength_and_where_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "strengths.json"
    monkeypatch.setattr(strengths, "STRENGTHS", path)
    files = write_whole_cell(tmp_path / "cell")
    params = dict(made_cell().params)

    def page() -> tuple[dict[str, str], list[str]]:
        text = cell_page(deepcopy(params), files)
        header, *rows = table_rows(text, "Each attack in its own norm")
        assert header[-1] == "strength"
        return {row[0]: row[-1] for row in rows}, paragraphs(text)

    column, sentences = page()
    assert column == {"BIM-a": "not graded", "CWA": "not graded"}
    assert not any(sentence.startswith("Strength is") for sentence in sentences)
    used = {**params["attacks"]["bim_a"], **params["budgets"][params["budget"]]["attacks"]["bim_a"][0]}
    path.write_text(json.dumps({"grades": [grade(used, 0.934)]}), encoding="utf-8")
    column, sentences = page()
    assert column == {"BIM-a": "0.93 of the best known", "CWA": "not graded"}
    assert any("It was measured on ESC-50 AlexNet; ESC-50 ResNet-18." in sentence for sentence in sentences)
    params["attacks"] = {**params["attacks"], "bim_a": {**params["attacks"]["bim_a"], "relative_step": 0.11}}
    assert page()[0]["BIM-a"] == "not graded"


def test_the_attacks_say_that_deepfool_is_weak_and_by_how_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "strengths.json"
    monkeypatch.setattr(strengths, "STRENGTHS", path)
    record = deepcopy(made_cell().record)
    params = record["params"]
    params["attacks"] = {"deepfool": PARAMS_FILE["attacks"]["deepfool"]}
    record["attacks"] = {"deepfool": record["attacks"]["bim_a"]}
    record["attacks"]["deepfool"]["code"] = "c0de"
    record["rho"]["comparable"] = ["deepfool"]
    macro = _environment([FOLDER / "templates"]).from_string(
        '{% from "attacks.html" import attacks %}{{ attacks(cell) }}'
    )

    def sentence() -> str:
        found = paragraphs(macro.render(cell=cell_of(record, "cell")))
        return next(text for text in found if text.startswith("DeepFool is weak by construction"))

    assert sentence().endswith("and other attacks need smaller perturbations.")
    used = {**params["attacks"]["deepfool"], **params["budgets"]["quick"]["attacks"]["deepfool"][0]}
    path.write_text(json.dumps({"grades": [grade(used, 0.5, 1.87)]}), encoding="utf-8")
    assert "perturbations that are up to 1.87 times smaller" in sentence()
