"""Draws of recordings and the four kinds of interval, against loops, scipy and published tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from advaudio.attack_interface.clip_results import AttackResults
from advaudio.core.errors import AdvaudioError
from advaudio.robustness import intervals
from advaudio.robustness.draws import Draws
from advaudio.robustness.fooling_curve import (
    Array,
    area_under_curve,
    epsilon_at,
    fooling_rate,
    mean_of_easiest,
    mean_perturbation,
)
from advaudio.robustness.headline import StatisticsSettings, detailed_metrics, headline_metrics
from advaudio.robustness.intervals import (
    Recordings,
    percentile_interval,
    quantile_interval,
    rate_interval,
    ratio_interval,
)
from advaudio.robustness.pair import Pair
from advaudio.robustness.recordings import clips_of, perturbations_of, read_recordings, with_recordings
from tests.robustness.test_measures import table

INF, NAN = np.inf, np.nan
SETTINGS = StatisticsSettings(bootstrap_samples=200)


def own(clips: int) -> Recordings:
    """Every clip its own recording."""
    return Recordings(np.arange(clips))


def all_draws(recordings: Recordings, samples: int, seed: int) -> Array:
    return np.concatenate(list(recordings.draws(samples, seed)))


@pytest.mark.parametrize("seed", range(8))
def test_figures_of_draws_are_those_of_repeated_clips(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(1, 9, 23) / 8.0
    values[generator.random(23) < (0.05, 0.4)[seed % 2]] = INF
    weights = generator.multinomial(23, np.full(23, 1 / 23), 30).astype(float)
    draws, share, bound = Draws(values, weights), np.full(30, 0.53), np.full(30, 0.5)
    found = {
        "rate": draws.fooling_rate(),
        "within": draws.fooling_rate(bound),
        "epsilon": draws.epsilon_at(0.9),
        "area": draws.area_under_curve(bound),
        "mean": draws.mean_perturbation(),
        "easiest": draws.mean_of_easiest(share),
        "median": draws.median(),
    }
    for row, times in enumerate(weights):
        repeated = np.repeat(values, times.astype(int))
        epsilon = epsilon_at(repeated, 0.9)
        wanted = {
            "rate": fooling_rate(repeated),
            "within": fooling_rate(repeated, 0.5),
            "epsilon": INF if epsilon is None else epsilon,
            "area": area_under_curve(repeated, 0.5),
            "mean": mean_perturbation(repeated),
            "median": float(np.median(repeated)),
        }
        easiest = mean_of_easiest(repeated, 0.53)
        if easiest is not None:
            wanted["easiest"] = easiest
        for name, value in wanted.items():
            assert found[name][row] == pytest.approx(value), name


def test_draws_of_recordings_keep_their_clips_together() -> None:
    recordings = Recordings(np.array([0, 0, 0, 1, 2, 2]))
    weights = all_draws(recordings, 500, seed=1)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, [0, 3, 4]].sum(axis=1) == 3).all()
    assert weights[:, 3].mean() == pytest.approx(1, abs=0.15)
    np.testing.assert_array_equal(
        np.concatenate(list(recordings.left_out())),
        [[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 0, 0]],
    )


def test_without_clusters_it_is_the_bootstrap_of_clips() -> None:
    values = np.random.default_rng(0).exponential(size=60)
    drawn = Draws(values, all_draws(own(60), 300, seed=5)).mean_perturbation()
    generator = np.random.default_rng(5)
    by_hand = [values[generator.integers(60, size=60)].mean() for _ in range(300)]
    np.testing.assert_allclose(drawn, by_hand)


def test_numbering_each_clip_as_a_recording_changes_no_figure() -> None:
    generator = np.random.default_rng(3)
    case = table(list(generator.exponential(size=40)), list(2 * generator.exponential(size=40)))
    numbered = case.assign(recording=case["sample"])
    plain, clustered = (
        detailed_metrics(AttackResults(one, "linf", [{}]), SETTINGS) for one in (case, numbered)
    )
    assert plain["intervals_over"] == {"unit": "clips", "count": 40}
    assert clustered["intervals_over"] == {"unit": "recordings", "count": 40}
    assert plain["intervals_95"] == clustered["intervals_95"]
    assert all(
        ends is not None for name, ends in plain["intervals_95"].items() if not name.endswith("epsilon_90")
    )


def test_equal_clips_of_one_recording_tell_as_much_as_one() -> None:
    """Four copies of each of 40 clips: the ratios' intervals are those of the 40."""
    generator = np.random.default_rng(4)
    original, robust = generator.exponential(size=40), 2 * generator.exponential(size=40)
    once = table(list(original), list(robust))
    copies = table(list(np.repeat(original, 4)), list(np.repeat(robust, 4)))
    copies["recording"] = copies["sample"] // 4
    few, many = (detailed_metrics(AttackResults(one, "linf", [{}]), SETTINGS) for one in (once, copies))
    for name in ("rho", "rho_equal_shares", "rho_median", "mean_perturbation", "auc"):
        assert many["intervals_95"][name] == pytest.approx(few["intervals_95"][name]), name
    alone = detailed_metrics(AttackResults(copies.drop(columns="recording"), "linf", [{}]), SETTINGS)
    for name in ("rho", "epsilon_90", "robust_fooling_rate_under_bound"):
        low, high = alone["intervals_95"][name]
        wide = many["intervals_95"][name]
        assert wide is None or wide[1] - wide[0] > 1.3 * (high - low), name


def test_blocks_change_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    recordings = Recordings(np.repeat(np.arange(10), 3))
    whole = all_draws(recordings, 50, seed=2)
    left_out = np.concatenate(list(recordings.left_out()))
    monkeypatch.setattr(intervals, "LARGEST_BLOCK", 100)
    assert len(list(recordings.draws(50, 2))) == 17
    np.testing.assert_array_equal(all_draws(recordings, 50, seed=2), whole)
    np.testing.assert_array_equal(np.concatenate(list(recordings.left_out())), left_out)


def test_linear_error_is_that_of_a_ratio_of_means() -> None:
    """Cochran's formula for a ratio, written out for clips that are their own recordings."""
    generator = np.random.default_rng(6)
    before, after = generator.exponential(size=50), 3 * generator.exponential(size=50)
    pair = Pair(before, after, own(50), 0.9, 2.0)
    found = pair.errors(np.ones((1, 50)))
    residual = after / after.mean() - before / before.mean()
    wanted = np.sqrt(np.sum(residual**2) / 50 / 49)
    for name in ("rho", "rho_equal_shares", "rho_common"):
        assert found[name][0] == pytest.approx(wanted), name


@pytest.mark.parametrize("share", [0.61, 0.88])
def test_influence_of_a_trimmed_mean_is_its_derivative(share: float) -> None:
    values = np.random.default_rng(7).exponential(size=30)
    weights, step = np.ones((1, 30)), 1e-6
    influence = Draws(values, weights).influence(np.array([share]))[0]

    def log_mean(moved: Array) -> float:
        return float(np.log(Draws(values, moved).mean_of_easiest(np.array([share]))[0]))

    slopes = [
        (log_mean(weights + step * np.eye(30)[[clip]]) - log_mean(weights)) / step for clip in range(30)
    ]
    np.testing.assert_allclose(influence, slopes, atol=1e-4)


def test_rate_interval_of_independent_clips_is_clopper_and_pearsons() -> None:
    """With the binomial's own variance; 1 of 20 from Clopper and Pearson: 0.0013 to 0.2487."""
    spread = np.sqrt(0.05 * 0.95 / 20 * 19 / 20)
    drawn = 0.05 + spread * np.array([-1.0, 1.0])
    assert rate_interval(0.05, drawn, 20, 20) == pytest.approx((0.0013, 0.2487), abs=1e-4)
    exact = stats.binomtest(20, 20).proportion_ci(method="exact")
    assert rate_interval(1.0, np.ones(9), 20, 20) == pytest.approx((exact.low, exact.high))
    fewer = rate_interval(1.0, np.ones(9), 20, 5)
    assert fewer is not None
    assert fewer[0] < exact.low


def test_quantile_interval_has_the_order_statistics_of_the_binomial() -> None:
    """100 clips, ε₉₀ = 90: Clopper and Pearson's ends of 90 of 100 are 0.824 and 0.951."""
    values = np.arange(1.0, 101)
    drawn = 0.9 + np.sqrt(0.9 * 0.1 / 100 * 99 / 100) * np.array([-1.0, 1.0])
    assert quantile_interval(values, 90.0, drawn, 100) == (83.0, 96.0)
    values[94:] = INF
    assert quantile_interval(values, 90.0, drawn, 100) is None


def test_ratio_interval_agrees_with_students_where_clips_are_normal() -> None:
    values = 100 + np.random.default_rng(8).normal(size=400)
    recordings, weights = own(400), np.concatenate(list(own(400).draws(4000, 1)))
    draws = Draws(values, weights)
    left = Draws(values, np.concatenate(list(recordings.left_out()))).mean_perturbation()
    errors = recordings.standard_error(draws.influence(), weights)
    found = ratio_interval(float(values.mean()), draws.mean_perturbation(), errors, left, 400)
    wanted = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert found is not None
    assert found[1] - found[0] == pytest.approx(wanted[1] - wanted[0], rel=0.05)


def test_percentile_interval_is_wider_for_few_recordings() -> None:
    drawn = np.random.default_rng(9).normal(size=20_000)
    few, many = percentile_interval(drawn, 10), percentile_interval(drawn, 10_000)
    assert few is not None
    assert many is not None
    assert many == pytest.approx((-1.96, 1.96), abs=0.05)
    assert few[1] == pytest.approx(stats.t.ppf(0.975, 9) * np.sqrt(10 / 9), abs=0.15)
    assert percentile_interval(np.where(drawn > 1.5, INF, drawn), 10_000) is None
    assert percentile_interval(np.where(drawn > -0.1, NAN, drawn), 10_000) is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(AdvaudioError, match="at least one sample"):
        list(own(3).draws(0, 0))
    with pytest.raises(AdvaudioError, match="stand together"):
        Recordings(np.array([0, 1, 0]))


def test_one_recording_gives_no_interval() -> None:
    case = table([1.0] * 5, [2.0] * 5).assign(recording=0)
    details = detailed_metrics(AttackResults(case, "linf", [{}]), SETTINGS)
    assert set(details["intervals_95"].values()) == {None}
    assert details["metrics"]["rho"] == 2


def test_recordings_are_joined_by_sample(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "clips.csv"
    pd.DataFrame({"clip": list("abcd"), "source": ["x", "NA", "x", "y"]}).to_csv(file, index=False)
    sources = read_recordings(file)
    case = table([1.0, 2, 3], [1.0, 2, 3])
    case["sample"] += 1
    joined = with_recordings(case, sources, file)
    assert joined["recording"].tolist() == [0, 1, 2, 0, 1, 2]
    case["sample"] += 1
    with pytest.raises(AdvaudioError, match=r"clips\.csv has no sample 4"):
        with_recordings(case, sources, file)


def test_what_a_record_keeps_gives_the_same_figures() -> None:
    generator = np.random.default_rng(10)
    original, robust = generator.exponential(size=30), generator.exponential(size=30)
    original[:5], robust[3:6], robust[20] = NAN, NAN, INF
    case = table(list(original), list(robust))
    case["recording"] = case["sample"] // 2
    kept = clips_of({"bim_a": case})
    assert kept["recording"] == (np.arange(30) // 2).tolist()
    before, after = (
        perturbations_of(kept["perturbations"]["bim_a"][model]) for model in ("original", "robust")
    )
    np.testing.assert_allclose(before, original, rtol=1e-6)
    np.testing.assert_allclose(after, robust, rtol=1e-6)
    assert headline_metrics(table(list(before), list(after)), SETTINGS) == pytest.approx(
        headline_metrics(case, SETTINGS), rel=1e-5
    )


def test_a_record_of_600_clips_and_six_attacks_stays_small(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from advaudio.core.files import write_json

    generator = np.random.default_rng(11)
    tables = {
        f"attack_{number}": table(
            list(generator.exponential(size=600)), list(generator.exponential(size=600))
        )
        for number in range(6)
    }
    write_json(tmp_path / "clips.json", clips_of(tables))
    assert (tmp_path / "clips.json").stat().st_size < 300_000
