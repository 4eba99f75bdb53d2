"""The gradient-masking checks (`evaluation.gradient_masking`) in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advaudio.report.cells.words import number, percent
from advaudio.report.pages.page import Block, Entry, Table, Text

WIDE_GAP = 0.3
"""Our choice: models trained with one step lie either below it or, most of them, far above."""

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
    gap = single_step_gap(checks)
    rows: list[list[str | Entry]] = [
        [model, QUESTIONS.get(name, name.replace("_", " ")), _answer(check["passed"]), _numbers(check)]
        for model, own in checks.items()
        for name, check in own.items()
    ]
    blocks: list[Block] = [
        Text(
            "A model can hide its gradients instead of being robust; white-box attacks then fail for the wrong "
            "reason (Athalye et al. 2018). Each check below looks for a sign of it. A “no” says that the fooling "
            "rates of that model are too low to be believed."
        ),
        Table(
            "Signs of hidden gradients", ["model", "check", "passed", "numbers"], rows, headings=2, prose=True
        ),
    ]
    if gap is not None and gap.wide:
        blocks.append(
            Text(
                f"Within {number(gap.epsilon)} a single step fools {percent(gap.single_step, 0)} of the robust model's "
                f"clips, iterations fool {percent(gap.iterative, 0)}: it learned to withstand single steps rather than "
                "attacks (catastrophic overfitting, Wong et al. 2020). Training with a random start or several steps "
                "(`defence` fgsm_rs or pgd) is less prone to it."
            )
        )
    return blocks


@dataclass(frozen=True)
class SingleStepGap:
    """Shares of the robust model's clips that a single step and iterations fool within the largest radius checked."""

    epsilon: float
    single_step: float
    iterative: float

    @property
    def wide(self) -> bool:
        """Whether iterations fool so many more that the model withstands little but single steps."""
        return self.iterative - self.single_step >= WIDE_GAP


def single_step_gap(checks: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> SingleStepGap | None:
    """How much better iterations do than a single step on the robust model; None if that was not checked."""
    check = checks.get("robust", {}).get("iterative_beats_single_step")
    if check is None:
        return None
    return SingleStepGap(check["epsilon"][-1], check["single_step"][-1], check["iterative"][-1])


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
