"""What the checks for hidden gradients (`evaluation.gradient_masking`) say of the models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDE_GAP = 0.3
"""Our choice: models trained with one step lie either below it or, most of them, far above."""


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
        return SingleStepGap(check["epsilon"][-1], check["single_step"][-1], check["iterative"][-1])

    @property
    def overfitted(self) -> bool:
        """Whether the robust model withstands single steps alone."""
        return self.gap is not None and self.gap.wide


def masking_of(record: Mapping[str, Any]) -> Masking | None:
    """The checks in a cell's record; None where they were not run."""
    return Masking(record["masking"]) if "masking" in record else None
