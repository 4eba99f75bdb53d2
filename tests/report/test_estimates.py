"""Intervals, Holm's correction and counted clips agree with SciPy's, published and hand-made figures."""

import numpy as np
import pytest
from scipy import stats

from advaudio.report.cells.estimates import (
    Estimate,
    Tally,
    chance_below,
    difference,
    holm,
    mean,
    median_of,
    over_seeds,
    share_of_clips,
)


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


def test_holm_by_hand() -> None:
    """Smallest times 4, next times 3, and so on; never smaller than the one before, never above 1."""
    assert holm([0.02, 0.01, 0.03, 0.6]) == pytest.approx([0.06, 0.04, 0.06, 0.6])
    assert holm([0.5, 0.4, 0.001]) == pytest.approx([0.8, 0.8, 0.003])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_the_chance_of_a_margin_takes_the_half_of_the_interval_towards_zero() -> None:
    assert chance_below(Estimate(-1.0, -9.0, 0.0)) == pytest.approx(0.025)
    assert chance_below(Estimate(-1.0, -9.0, -0.5)) == pytest.approx(stats.norm.cdf(-2 * 1.959964))
    assert chance_below(Estimate(1.0, 0.0, 9.0)) == pytest.approx(0.975)
    assert chance_below(Estimate(0.0, -1.0, 1.0)) == pytest.approx(0.5)
    assert chance_below(Estimate(-1.0)) is None
    assert chance_below(Estimate(-1.0, -1.0, -1.0)) == 0


def test_the_interval_of_a_median_is_the_known_pair_of_ranks() -> None:
    """Ranks for 95 % from tables of the sign test (Conover 1999): 6: 1 and 6; 10: 2 and 9; 20: 6 and 15; 25: 8 and 18."""
    for clips, low, high in ((6, 1, 6), (10, 2, 9), (20, 6, 15), (25, 8, 18)):
        found = median_of([float(rank) for rank in range(clips, 0, -1)])
        assert (found.low, found.high) == (low, high)
        assert found.value == (clips + 1) / 2
    assert median_of([1.0, 2.0, 3.0, 4.0, 5.0]) == Estimate(3.0)


def test_the_interval_of_a_median_covers_it() -> None:
    generator = np.random.default_rng(0)
    for clips in (8, 33, 60):
        found = [median_of(generator.exponential(size=clips).tolist()) for _ in range(1000)]
        covered = np.mean(
            [e.low <= np.log(2) <= e.high for e in found if e.low is not None and e.high is not None]
        )
        assert covered >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 1000)


def test_counted_clips_have_the_binomial_probability() -> None:
    expected = stats.binomtest(37, 50, 0.9, alternative="less").pvalue
    assert Tally(37, 50, 0.9).chance == pytest.approx(expected)
    assert Tally(37, 50, 0.9).with_one_more == Tally(38, 50, 0.9)
    assert Tally(50, 50, 0.9).with_one_more.chance == 1
