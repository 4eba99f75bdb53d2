"""The gradient-masking checks (`evaluation.gradient_masking`) in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advaudio.report.page import Block, Entry, Table, Text
from advaudio.report.words import number, percent

QUESTIONS = {
    "gradients_do_not_vanish": "Have nearly all clips a gradient to follow?",
    "iterative_beats_single_step": "Do iterations fool at least as many clips as one step?",
    "more_steps_never_weaker": "Do more steps never fool fewer clips?",
    "unbounded_reaches_all": "Without a bound, is every clip fooled?",
    "random_restarts_add_little": "Do random restarts add little?",
    "outside_attack_adds_little": "Does another library's attack add little?",
    "white_box_beats_black_box": "Do white-box attacks fool at least as many clips as a black-box one?",
}


def masking_blocks(checks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Block]:
    """The checks of each model as a table.

    Parameters
    ----------
    checks
        Model → name of a check → `passed` (None: not run) and its numbers.
    """
    rows: list[list[str | Entry]] = [
        [model, QUESTIONS.get(name, name.replace("_", " ")), _answer(check["passed"]), _numbers(check)]
        for model, own in checks.items()
        for name, check in own.items()
    ]
    return [
        Text(
            "A model can hide its gradients instead of being robust; white-box attacks then fail for the wrong "
            "reason (Athalye et al. 2018). Each check below looks for a sign of it. A “no” says that the fooling "
            "rates of that model are too low to be believed."
        ),
        Table(
            "Signs of hidden gradients", ["model", "check", "passed", "numbers"], rows, headings=2, prose=True
        ),
    ]


def all_passed(checks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool:
    """Whether no check that was run failed."""
    return all(check["passed"] is not False for own in checks.values() for check in own.values())


def _answer(passed: bool | None) -> Entry:
    if passed is None:
        return Entry("not run", tone="open")
    return Entry("yes", tone="good") if passed else Entry("no", tone="bad")


def _numbers(check: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name.replace('_', ' ')} {_printed(name, value)}"
        for name, value in check.items()
        if name != "passed"
    )


def _printed(name: str, value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_printed(name, item) for item in value)
    if value is None:
        return "not run"
    if isinstance(value, float) and name != "epsilon":
        return percent(value, 0)
    return number(value) if isinstance(value, float) else str(value)
