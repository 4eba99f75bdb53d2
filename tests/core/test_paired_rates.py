"""Comparisons of rates on the same clips: against scipy's tests, and what noise may and may not do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from advaudio.core.paired_rates import (
    FEWEST_CLIPS,
    SIGNIFICANCE,
    far_more_often,
    mcnemar,
    more_often,
    more_than_few,
)


def masks(clips: int, first_alone: int, second_alone: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two masks of which each holds alone for so many clips."""
    row = np.arange(clips)
    return row < first_alone, (row >= first_alone) & (row < first_alone + second_alone)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_scipys_one_sided_sign_test(first: int, second: int) -> None:
    expected = 1.0
    if first + second:
        expected = binomtest(first, first + second, 0.5, alternative="greater").pvalue
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 250), st.integers(1, 250))
def test_more_than_few_is_scipys_binomial_test_above_the_tolerance(count: int, clips: int) -> None:
    count = min(count, clips)
    p = binomtest(count, clips, 0.01, alternative="greater").pvalue
    assert more_than_few(count, clips) == (p < 0.01 and 20 * count > clips)


@pytest.mark.parametrize(
    ("clips", "first", "second", "expected"),
    [
        (32, 2, 0, False),  # two clips of 32: noise
        (32, 7, 0, True),
        (24, 6, 0, False),
        (200, 10, 0, False),  # beyond chance, and too little to matter
        (200, 11, 0, True),
        (200, 40, 29, False),  # matters, and is chance
        (200, 45, 15, True),
        (200, 0, 100, False),
        (0, 0, 0, False),
    ],
)
def test_a_rate_is_higher_beyond_chance_and_by_what_matters(
    clips: int, first: int, second: int, expected: bool
) -> None:
    assert more_often(*masks(clips, first, second)) is expected


@pytest.mark.parametrize(
    ("clips", "first", "second", "expected"),
    [(6, 6, 0, None), (7, 7, 0, True), (10, 3, 0, False), (100, 30, 0, True), (100, 29, 0, False)],
)
def test_thirty_points_are_a_wide_gap(clips: int, first: int, second: int, expected: bool | None) -> None:
    assert far_more_often(*masks(clips, first, second)) is expected


def test_fewer_clips_than_the_fewest_can_never_be_significant() -> None:
    assert mcnemar(FEWEST_CLIPS, 0) < SIGNIFICANCE <= mcnemar(FEWEST_CLIPS - 1, 0)
