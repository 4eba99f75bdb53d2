"""Grades: from measured files to what the report shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from advaudio.core.errors import AdvaudioError
from advaudio.core.resume import code_digest
from advaudio.report.cells.strengths import read_grades
from benchmarks.optimality_grades import app, as_markdown, grades
from benchmarks.optimality_score import read_measured, scores

CODE = "advaudio/attacks/bim.py"


def measured(title: str, factors: dict[str, float | None], code: str | None = None) -> dict[str, Any]:
    """A file in which BIM with `steps` finds this factor of the reference's norms, None: nothing."""
    best = [0.01, 0.02, 0.03, 0.04]
    variants: dict[str, Any] = {}
    parts: dict[str, Any] = {}
    for number, (steps, factor) in enumerate(factors.items(), 1):
        name = f"bim_a paper {number}"
        variants[name] = {
            "attack": "bim_a",
            "norm": "linf",
            "targeted": True,
            "budget": f"paper {number}",
            "settings": {"code": CODE, "steps": int(steps)},
            "code": code or code_digest(Path(CODE)),
        }
        norms = [None if factor is None else factor * value for value in best]
        parts[f"{name} 0"] = {"norm": norms, "norm_within": norms, "passes": [10] * 4, "seconds": 1.0}
    variants["fmn"] = {"attack": "FMN", "norm": "linf", "targeted": True, "budget": None, "settings": None}
    parts["fmn 0"] = {"norm": best, "norm_within": best, "passes": [2000] * 4, "seconds": 1.0}
    key = {"model": title, "title": title, "clips": 4, "passes": 2000, "chunk": 4, "seed": 0}
    return {"commit": "abc", "date": "2026-12-01", "key": key, "variants": variants, "parts": parts}


def test_a_grade_is_the_worst_and_the_mean_over_the_models() -> None:
    files = [measured("A", {"5": 1.0, "9": 2.0}), measured("B", {"5": 1.5}), measured("B", {"5": 1.5})]
    five, nine = grades(files)
    # The best norms have a mean of 0.025 and ε₀ is 0.04: those of 1.5 times the size are 0.015, 0.03, 0.04, 0.04.
    assert five["optimality"] == pytest.approx({"worst": 0.00875 / 0.015, "mean": (1 + 0.00875 / 0.015) / 2})
    assert five["median_ratio"] == pytest.approx({"worst": 1.5, "mean": 1.25})
    assert five["settings"] == {"code": CODE, "steps": 5}
    assert [place["title"] for place in five["measured_on"]] == ["A", "B"]
    assert five["measured_on"][0] == {
        "title": "A",
        "clips": 4,
        "references": ["FMN"],
        "commit": "abc",
        "date": "2026-12-01",
    }
    assert [place["title"] for place in nine["measured_on"]] == ["A"]


@pytest.mark.parametrize("missing", ["parts", "norm", "goal", "clips"])
def test_an_attack_that_no_reference_stands_beside_has_no_grade(missing: str) -> None:
    content = measured("A", {"5": 1.0})
    if missing == "parts":
        del content["parts"]["fmn 0"]
    elif missing == "norm":
        content["variants"]["fmn"]["norm"] = "l2"
    elif missing == "goal":
        content["variants"]["fmn"]["targeted"] = False
    else:
        for kind in ("norm", "norm_within", "passes"):
            content["parts"]["fmn 0"][kind] = content["parts"]["fmn 0"][kind][:3]
    assert grades([measured("A", {"5": 1.0})])
    assert grades([content]) == []


def test_an_attack_that_fools_too_few_has_no_ratio() -> None:
    (grade,) = grades([measured("A", {"5": None})])
    assert grade["median_ratio"] is None
    assert grade["optimality"]["worst"] == 0


def test_the_written_grades_leave_out_what_was_measured_on_other_code(tmp_path: Path) -> None:
    paths = []
    for name, content in {
        "new": measured("A", {"5": 1.0}),
        "old": measured("B", {"9": 1.0}, "0" * 16),
    }.items():
        paths.append(str(tmp_path / f"{name}.json"))
        Path(paths[-1]).write_text(json.dumps(content), encoding="utf-8")
    to = tmp_path / "strengths.json"
    done = CliRunner().invoke(app, ["write", *paths, "--to", str(to)])
    assert done.exit_code == 0, done.output
    assert [grade["settings"]["steps"] for grade in read_grades(to)] == [5]
    assert "left out, measured on other code than today's: 1 (bim_a)" in done.output


def test_the_table_has_a_line_for_each_attack_and_budget(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(measured("A", {"5": 1.5, "9": None})), encoding="utf-8")
    done = CliRunner().invoke(app, ["table", str(path)])
    assert done.output.startswith("### A, 4 clips\n\n| attack | norm | goal | budget |")
    assert as_markdown(scores(read_measured(path))).splitlines()[2:] == [
        "| FMN | L∞ | targeted | 2,000 | 4 | 2,000 | 100.0 % | 1.00 | 1.00 |",
        "| bim_a | L∞ | targeted | paper 1 | 4 | 10 | 100.0 % | 1.50 | 0.58 |",
        "| bim_a | L∞ | targeted | paper 2 | 4 | 10 | 0.0 % | – | 0.00 |",
    ]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"rows": []}', encoding="utf-8")
    with pytest.raises(AdvaudioError, match=r"other\.json is no file of `python -m benchmarks\.optimality`"):
        read_measured(path)


def test_shipped_grades_say_how_strong_which_settings_are_and_where() -> None:
    for grade in read_grades():
        assert grade["settings"]["code"].endswith(".py")
        assert len(grade["code"]) == 16
        assert 0 <= grade["optimality"]["worst"] <= grade["optimality"]["mean"] <= 1
        assert (
            grade["median_ratio"] is None
            or 1 <= grade["median_ratio"]["mean"] <= grade["median_ratio"]["worst"]
        )
        assert all(place["references"] for place in grade["measured_on"])
        assert grade["measured_on"]
