"""What the checks for hidden gradients (`evaluation.gradient_masking`) and for collapsed training say of the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from advaudio.core.paired_rates import WIDE_GAP


@dataclass(frozen=True)
class SingleStepGap:
    """Shares of the robust model's clips that a single step and iterations fool, at the radius where they differ most.

    The radii are the largest one checked and those down to half of it, as the training's own check has it.
    """

    epsilon: float
    single_step: float
    iterative: float

    @property
    def wide(self) -> bool:
        """Whether iterations fool so many more that the model withstands little but single steps."""
        return self.iterative - self.single_step >= WIDE_GAP - 1e-9


@dataclass(frozen=True)
class Masking:
    """The checks of each model.

    Attributes
    ----------
    checks
        Model → name of a check → `passed` (None: not run) and its numbers.
    """

    checks: Mapping[str, Mapping[str, Mapping[str, Any]]]

    @property
    def all_passed(self) -> bool:
        """Whether no check that was run failed."""
        return all(check["passed"] is not False for own in self.checks.values() for check in own.values())

    @property
    def gap(self) -> SingleStepGap | None:
        """How much better iterations do than a single step on the robust model; None if that was not checked."""
        check = self.checks.get("robust", {}).get("iterative_beats_single_step")
        if check is None:
            return None
        least = max(check["epsilon"]) / 2 * 0.99  # the radii are rounded in params.yaml
        gaps = [
            SingleStepGap(*numbers)
            for numbers in zip(check["epsilon"], check["single_step"], check["iterative"], strict=True)
            if numbers[0] >= least
        ]
        return max(gaps, key=lambda gap: gap.iterative - gap.single_step)

    @property
    def overfitted(self) -> bool:
        """Whether the robust model withstands single steps alone."""
        return self.gap is not None and self.gap.wide


@dataclass(frozen=True)
class FoldCollapse:
    """What the training found of one fold: shares of `clips` validation clips fooled within `epsilon` (L∞).

    `collapsed` is None where the clips are too few to tell, the shares where there are none.
    """

    name: str
    collapsed: bool | None
    epsilon: float
    clips: int
    fooled_by_one_step: float | None
    fooled_by_iterations: float | None


def collapse_of(record: Mapping[str, Any]) -> list[FoldCollapse]:
    """Each fold of the robust model in a cell's record; none in records made before this was measured."""
    folds = record["training"]["robust"].get("collapse") or {}
    return [FoldCollapse(name=name, **numbers) for name, numbers in folds.items()]


def masking_of(record: Mapping[str, Any]) -> Masking | None:
    """The checks in a cell's record; None where they were not run."""
    return Masking(record["masking"]) if "masking" in record else None
