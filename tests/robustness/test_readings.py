"""The readings of ρ beside the paper's, against hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advaudio.robustness.fooling_curve import mean_of_easiest
from advaudio.robustness.rho import (
    readings,
    rho,
    rho_common,
    rho_equal_shares,
    rho_median,
    rho_over_attacks,
)
from tests.robustness.test_measures import table

INF, NAN = np.inf, np.nan
positive = st.lists(st.floats(0.01, 100), min_size=1, max_size=30).map(np.array)


def test_mean_of_the_easiest_counts_the_last_clip_in_part() -> None:
    values = np.array([4.0, 1.0, INF, 2.0])
    assert mean_of_easiest(values, 0.5) == pytest.approx(1.5)
    assert mean_of_easiest(values, 0.625) == pytest.approx((1 + 2 + 0.5 * 4) / 2.5)
    assert mean_of_easiest(values, 0.75) == pytest.approx(7 / 3)
    assert mean_of_easiest(values, 0.8) is None
    assert mean_of_easiest(values, 0.0) is None


def test_a_hardest_tenth_that_is_lost_on_one_side_bends_the_papers_rho_alone() -> None:
    """The robust model needs exactly twice as much on every clip, and its hardest of ten is not fooled."""
    original = np.array([1.0, 1, 1, 1, 1, 1, 1, 1, 1, 11])
    robust = np.array([2.0, 2, 2, 2, 2, 2, 2, 2, 2, INF])
    assert rho(original, robust) == pytest.approx(1.0)
    assert rho_equal_shares(original, robust) == pytest.approx(2.0)
    assert rho_median(original, robust) == pytest.approx(2.0)
    assert rho_common(original, robust) == pytest.approx(2.0)


@given(positive, positive)
def test_equal_shares_are_the_papers_where_everything_is_fooled(
    original: np.ndarray, robust: np.ndarray
) -> None:
    assert rho_equal_shares(original, robust) == pytest.approx(rho(original, robust))


@given(positive, st.floats(0.1, 10), st.data())
def test_equal_shares_see_a_common_factor_whatever_either_side_loses(
    values: np.ndarray, factor: float, data: st.DataObject
) -> None:
    original, robust = np.sort(values), np.sort(values) * factor
    for side in (original, robust):
        lost = data.draw(st.integers(0, len(values) - 1))
        side[len(side) - lost :] = INF
    assert rho_equal_shares(original, robust) == pytest.approx(factor)


def test_median_counts_failures_as_infinite() -> None:
    original, robust = np.array([1.0, 2, 3, 4]), np.array([2.0, 6, 8, INF])
    assert rho_median(original, robust) == pytest.approx(7 / 2.5)
    assert rho_median(original, np.array([2.0, 6, INF, INF])) is None
    assert rho_median(original, np.array([])) is None


def test_common_clips_leave_out_those_that_one_model_has_wrong() -> None:
    """On every common clip ρ is 1; the robust model has one hard clip right that the original has wrong."""
    original, robust = np.array([1.0, 2, NAN, 4, NAN]), np.array([1.0, 2, 100, NAN, NAN])
    assert rho_common(original, robust) == pytest.approx(1.0)
    assert rho_common(original[2:], robust[2:]) is None


def test_readings_of_means_need_the_threshold_and_the_median_does_not() -> None:
    original, robust = np.arange(1.0, 11), 3 * np.arange(1.0, 11)
    robust[8:] = INF
    found = readings(original, robust, 0.9)
    assert found == {"rho_equal_shares": None, "rho_median": pytest.approx(3.0), "rho_common": None}


def test_means_over_the_attacks_are_of_the_comparable_ones() -> None:
    summary = rho_over_attacks(
        {
            "first": table([1.0] * 10, [2.0] * 9 + [INF]),
            "second": table([1.0] * 10, [4.0] * 10),
            "short": table([1.0] * 10, [9.0] * 8 + [INF] * 2),
        }
    )
    for reading in (summary.rho_equal_shares, summary.rho_common, summary.rho_median):
        assert reading.mean == pytest.approx(3.0)
    assert summary.rho_median.by_attack["short"] == pytest.approx(9.0)
    assert summary.rho_equal_shares.by_attack["short"] is None
