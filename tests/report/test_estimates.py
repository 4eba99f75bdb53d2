"""Intervals agree with SciPy's and with the published example."""

import numpy as np
import pytest
from scipy import stats

from advaudio.report.cells.estimates import Estimate, difference, mean, over_seeds, share_of_clips


@pytest.mark.parametrize(("right", "clips"), [(0, 10), (7, 10), (10, 10), (86, 120), (2000, 2620)])
def test_share_has_wilsons_interval(right: int, clips: int) -> None:
    expected = stats.binomtest(right, clips).proportion_ci(method="wilson")
    found = share_of_clips(right / clips, clips)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


def test_difference_has_newcombes_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table II, example (a): 56/70 − 48/80, method 10.
    found = difference(share_of_clips(56 / 70, 70), share_of_clips(48 / 80, 80))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_seeds_have_students_interval() -> None:
    values = [0.71, 0.74, 0.69, 0.75]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = over_seeds([Estimate(value, 0.0, 1.0) for value in values])
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high))
    alone = Estimate(0.7, 0.6, 0.8)
    assert over_seeds([alone, None]) == alone
    assert over_seeds([None]) is None


def test_mean_takes_the_ends_together_and_admits_an_unknown_one() -> None:
    assert mean([Estimate(1, 0, 3), None, Estimate(3, 2, 5)]) == Estimate(2, 1, 4)
    assert mean([Estimate(1, 0, 3), Estimate(3)]) == Estimate(2)
    assert mean([None]) is None


def test_beyond_needs_the_whole_interval() -> None:
    assert [Estimate(1, *ends).beyond(0) for ends in [(0.5, 2), (-1, 2), (0, 2)]] == [1, 0, 0]
    assert Estimate(-1, -2, -0.5).beyond(0) == -1
    assert Estimate(1).beyond(0) == 0
