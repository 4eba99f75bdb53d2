"""Catastrophic overfitting is told from single steps against iterations, where accuracy under PGD alone tells nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from advaudio.training.collapse import SingleStepGap, single_step_gap
from advaudio.training.outputs import collapse_warning
from advaudio.training.result import gather
from advaudio.models.pretrained import Pretrained

EPSILON = 0.2


class Wave(nn.Module):
    """One pixel decides by a curve: logits (−f, f) of a score f(pixel), and the label is the sign at 0.5."""

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.score = score
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += len(x)
        score = self.score(x[:, 0, 0, 0])
        return torch.stack([-score, score], 1)


def pixels(values: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Two batches of 1 × 1 pictures, all of class 1."""
    x = values[:, None, None, None]
    y = torch.ones(len(values), dtype=torch.int64)
    return list(zip(x.split(15), y.split(15), strict=True))


def test_a_pit_on_the_way_is_found_by_iterations_alone() -> None:
    # The score falls from 0.5 to a pit at 0.45 and rises again: a step of 0.2 leaps over the pit.
    model = Wave(lambda pixel: (pixel - 0.45).abs() - 0.03)
    gap = single_step_gap(model, pixels(torch.linspace(0.49, 0.51, 40)), [EPSILON])
    assert gap == SingleStepGap(EPSILON, 40, 40, 0.0, 1.0, True)


def test_a_slope_is_no_collapse_and_both_rates_are_exact() -> None:
    model = Wave(lambda pixel: pixel - 0.5)
    values = torch.linspace(0.405, 0.995, 60)  # right above 0.5; within 0.2 of the boundary up to 0.7
    right = int((values > 0.5).sum())
    fooled = int(((values > 0.5) & (values < 0.7)).sum())
    gap = single_step_gap(model, pixels(values), [EPSILON])
    assert gap.clips == right
    assert gap.seen == 60
    assert gap.single_step == gap.iterated == pytest.approx(fooled / right)
    assert gap.collapsed is False
    assert gap.accuracy_after(gap.iterated) == pytest.approx((right - fooled) / 60)


def test_the_smaller_radius_can_tell_alone() -> None:
    # A step of 0.2 lands in a far pit; one of 0.1 leaps over the near one, which ten steps find.
    model = Wave(lambda pixel: torch.minimum((pixel - 0.45).abs() - 0.03, (pixel - 0.3).abs() - 0.03))
    clips = pixels(torch.linspace(0.495, 0.505, 40))
    assert single_step_gap(model, clips, [EPSILON]).collapsed is False
    both = single_step_gap(model, clips, [EPSILON, EPSILON / 2])
    assert both == SingleStepGap(EPSILON / 2, 40, 40, 0.0, 1.0, True)


def test_too_few_clips_tell_nothing() -> None:
    model = Wave(lambda pixel: (pixel - 0.45).abs() - 0.03)
    assert single_step_gap(model, pixels(torch.full((6,), 0.5)), [EPSILON]).collapsed is None
    wrong = single_step_gap(model, pixels(torch.full((20,), 0.44)), [EPSILON])
    assert (wrong.clips, wrong.single_step, wrong.iterated, wrong.collapsed) == (0, None, None, None)
    assert wrong.accuracy_after(wrong.iterated) == 0


def test_passes_are_as_promised() -> None:
    robust = Wave(lambda pixel: pixel)
    single_step_gap(robust, pixels(torch.full((20,), 0.9)), [EPSILON / 2, EPSILON])
    assert robust.passes == 20 * (1 + 2 * (1 + 9 + 1))
    weak = Wave(lambda pixel: pixel - 0.5)  # the first of ten steps fools it, within the smaller radius
    single_step_gap(weak, pixels(torch.full((20,), 0.51)), [EPSILON / 2, EPSILON])
    assert weak.passes == 20 * (1 + 2 + 1)


def old_rule(probe: list[float]) -> int | None:
    """What was asked before: a fall by over 0.2, and to under half, of the best accuracy under PGD so far."""
    best = 0.0
    for epoch, accuracy in enumerate(probe, 1):
        if accuracy < best - 0.2 and accuracy < best / 2:
            return epoch
        best = max(best, accuracy)
    return None


def test_a_network_trained_to_collapse_is_detected_where_the_old_rule_sees_nothing() -> None:
    """Plain FGSM with a large ε on tiny pictures of weak, dense patterns; beside it PGD, which does not collapse."""
    collapsed, probe = trained_against("fgsm")
    assert collapsed.collapsed is True, collapsed
    assert old_rule(probe) is None, probe
    sound, _ = trained_against("pgd")
    assert sound.collapsed is False, sound


def trained_against(defence: str) -> tuple[SingleStepGap, list[float]]:
    """The gap after training, and the accuracy under ten steps of PGD after each epoch."""
    raise NotImplementedError
