"""How strong the attacks of a cell are: their measured grades, looked up by the very settings that were used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advaudio.core.files import read_json

STRENGTHS = Path(__file__).with_name("strengths.json")
"""Written by `python -m benchmarks.optimality_grades write`; none: nothing was graded yet."""


@dataclass(frozen=True)
class Strength:
    """What was measured of an attack with the settings of a cell.

    Attributes
    ----------
    optimality
        Of the least favourable step and model: 1 says that no attack known finds a smaller perturbation.
    mean
        Mean over the models, of that step.
    median_ratio
        Median norm over that of the smallest perturbations known, on the least favourable model; None where the
        attack fooled too few clips.
    measured_on
        Names of the models.
    """

    optimality: float
    mean: float
    median_ratio: float | None
    measured_on: tuple[str, ...]


def read_grades(path: Path | None = None) -> list[dict[str, Any]]:
    """The grades that there are, of `STRENGTHS` or another file; none without the file.

    Raises
    ------
    AdvaudioError
        If the file is damaged.
    """
    path = path or STRENGTHS
    return list(read_json(path, "grades")["grades"]) if path.exists() else []


def strength_of(
    attack: str,
    details: Mapping[str, Any],
    params: Mapping[str, Any],
    grades: Sequence[Mapping[str, Any]],
) -> Strength | None:
    """The grade of an attack as a cell ran it; None where one of the budget steps that it used has none.

    A grade holds for settings that are the same to the last one, and for the code of the class that was graded. Records
    that do not say which code they are of have none. Clips that one step
    of the budget schedule does not fool get the next, so that all steps count at which a clip was last attacked, on
    either model, and the least favourable is the attack's.

    Parameters
    ----------
    details
        Of the attack in a cell's record.
    params
        params.yaml of the run.
    grades
        See `read_grades`.
    """
    code = details.get("code")
    alike = [grade for grade in grades if code is not None and grade["code"] == code]
    used = _settings_used(attack, details, params)
    found = [_grade(settings, alike) for settings in used]
    known = [grade for grade in found if grade is not None]
    if not known or len(known) < len(found):
        return None
    worst = min(known, key=lambda grade: float(grade["optimality"]["worst"]))
    ratio = worst["median_ratio"]
    return Strength(
        optimality=float(worst["optimality"]["worst"]),
        mean=float(worst["optimality"]["mean"]),
        median_ratio=None if ratio is None else float(ratio["worst"]),
        measured_on=tuple(model["title"] for model in worst["measured_on"]),
    )


def _settings_used(
    attack: str, details: Mapping[str, Any], params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The settings of each step at which a clip was last attacked."""
    settings = params["attacks"].get(attack)
    budget = params.get("budgets", {}).get(params.get("budget"), {})
    schedule = budget.get("attacks", {}).get(attack) if isinstance(budget, Mapping) else None
    if not isinstance(settings, Mapping) or not isinstance(schedule, list | tuple):
        return []
    used = set()
    for own in details.get("models", {}).values():
        # Earlier records call a step a rung.
        counts = own.get("clips_by_budget_step", own.get("clips_by_rung", []))
        used |= {step for step, clips in enumerate(counts) if clips}
    if not all(step < len(schedule) and isinstance(schedule[step], Mapping) for step in used):
        return []
    return [{**settings, **schedule[step]} for step in sorted(used)]


def _grade(settings: Mapping[str, Any], grades: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return next((grade for grade in grades if grade["settings"] == settings), None)
