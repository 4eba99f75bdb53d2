"""Curves, ε₉₀, AUC, ρ, worst case and intervals against hand-made and independent figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advaudio.attack_interface.clip_results import AttackResults
from advaudio.robustness.fooling_curve import (
    area_under_curve,
    curve,
    epsilon_at,
    fooling_rate,
    mean_perturbation,
)
from advaudio.robustness.headline import StatisticsSettings, detailed_metrics, headline_metrics
from advaudio.robustness.likeness import changes_in_decibels
from advaudio.robustness.outputs import write_statistics
from advaudio.robustness.rho import perturbations, rho, rho_over_attacks
from advaudio.robustness.worst_case import strongest_bounds, summary_of_bounds, worst_case

INF, NAN = np.inf, np.nan


def table(
    original: list[float], robust: list[float], l2: float = 2.0, linf: float = 1.0, backwards: int = 3
) -> pd.DataFrame:
    """A table of clips whose L2 and L∞ norms are `l2` and `linf` times the attack's own."""
    parts = []
    for model, values in (("original", original), ("robust", robust)):
        own = np.array(values, dtype=float)
        finite = np.where(np.isfinite(own), own, np.nan)
        part = pd.DataFrame({"model": model, "sample": np.arange(len(own)), "perturbation": own})
        for name in ("l0", "decibels_peak", "decibels_rms"):
            part[name] = finite
        part["l2"], part["linf"], part["target"] = finite * l2, finite * linf, 0
        for name in ("forwards", "queries", "iterations"):
            part[name] = 3
        part["backwards"] = backwards
        part["budget_step"] = np.where(np.isnan(own), 0, 1)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def test_figures_of_a_small_case() -> None:
    values = np.array([0.1, 0.2, 0.2, 0.4, INF])
    assert fooling_rate(values) == 0.8
    assert fooling_rate(values, 0.2) == 0.6
    assert epsilon_at(values, 0.6) == 0.2
    assert epsilon_at(values, 0.61) == 0.4
    assert epsilon_at(values, 0.9) is None
    assert mean_perturbation(values) == pytest.approx(0.225)
    assert area_under_curve(values, 0.4) == pytest.approx((0.75 + 0.5 + 0.5 + 0) / 5)
    epsilon, rate = curve(values)
    np.testing.assert_allclose(epsilon, [0, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(rate, [0, 0.2, 0.6, 0.8])


@pytest.mark.parametrize("clips", [10, 20, 30, 70, 110, 600])
def test_ninety_percent_of_whole_tens_needs_exactly_that_many_clips(clips: int) -> None:
    needed = clips * 9 // 10
    values = np.concatenate((np.arange(1, needed + 1), np.full(clips - needed, INF)))
    assert epsilon_at(values, 0.9) == needed
    values[needed - 1] = INF
    assert epsilon_at(values, 0.9) is None


@given(
    st.lists(st.one_of(st.floats(0, 1), st.just(INF)), min_size=1, max_size=40),
    st.floats(0.05, 1.5),
)
def test_area_is_the_integral_of_the_curve(values: list[float], largest: float) -> None:
    array = np.array(values)
    epsilon, rate = curve(array)
    # Sum of rectangles between the corners, in place of the closed form.
    corners = np.append(epsilon[epsilon <= largest], largest)
    area = np.sum(np.diff(corners) * rate[: len(corners) - 1]) / largest
    assert area_under_curve(array, largest) == pytest.approx(area, abs=1e-9)
    for share in (0.1, 0.5, 0.9):
        bound = epsilon_at(array, share)
        reached = fooling_rate(array, bound) if bound is not None else None
        assert (bound is None) == (np.isfinite(array).mean() < share - 1e-9)
        assert reached is None or reached >= share - 1e-9


def test_nothing_to_measure_is_none() -> None:
    nothing = np.array([])
    assert fooling_rate(nothing) is epsilon_at(nothing, 0.9) is mean_perturbation(nothing) is None
    assert area_under_curve(nothing, 1.0) is None
    never = np.array([INF, INF])
    assert fooling_rate(never) == 0
    assert mean_perturbation(never) is None
    assert rho(never, np.array([1.0])) is None
    assert rho(np.array([1.0]), never) is None


def test_rho_averages_over_attacks_in_their_own_norms() -> None:
    first = table([0.1] * 10, [0.3] * 10)
    second = table([10.0] * 9 + [INF], [10.0] * 8 + [INF, NAN])
    third = table([INF] * 10, [1.0] * 10)
    summary = rho_over_attacks({"first": first, "second": second, "third": third})
    assert summary.by_attack == {"first": pytest.approx(3.0), "second": None, "third": None}
    assert summary.mean == pytest.approx(3.0)
    assert summary.mean_l2 == pytest.approx(3.0)
    assert summary.comparable == ["first"]


def test_perturbations_leave_out_clips_that_were_not_attacked() -> None:
    np.testing.assert_array_equal(perturbations(table([1, INF, NAN], [2, 3, 4]), "original"), [1, INF])
    np.testing.assert_array_equal(perturbations(table([1, INF, NAN], [2, 3, 4]), "original", "l2"), [2, INF])


def test_headline_figures() -> None:
    original = [0.01 * k for k in range(1, 11)]
    robust = [0.02 * k for k in range(1, 10)] + [INF]
    metrics = headline_metrics(
        table(original, robust), StatisticsSettings(threshold=0.9, auc_epsilon_factor=2)
    )
    assert metrics["fooling_rate"] == 1
    assert metrics["epsilon_90"] == pytest.approx(0.09)
    assert metrics["robust_fooling_rate_under_bound"] == 0.4
    assert metrics["robust_epsilon_90"] == pytest.approx(0.18)
    assert metrics["rho"] == pytest.approx(0.1 / 0.055)
    assert metrics["auc"] == pytest.approx(np.mean([1 - value / 0.18 for value in original]))


def test_headline_has_the_same_keys_whatever_happened() -> None:
    usual = headline_metrics(table([0.1] * 5, [0.2] * 5), StatisticsSettings())
    for case in (table([INF] * 3, [INF] * 3), table([NAN] * 3, [NAN] * 3), table([0.1], [INF])):
        assert headline_metrics(case, StatisticsSettings()).keys() == usual.keys()


def test_an_attack_without_a_bound_has_no_figures_of_a_bound() -> None:
    case = table([0.1, 0.3, INF, INF], [0.2, 0.4, INF, INF])
    details = detailed_metrics(
        AttackResults(case, "linf", [{"steps": 1}]), StatisticsSettings(bootstrap_samples=20)
    )
    assert details["threshold_reached"] == {"original": False, "robust": False}
    for name in ("epsilon_90", "auc", "robust_auc", "robust_fooling_rate_under_bound"):
        assert details["metrics"][name] is None
        assert details["intervals_95"][name] is None
    assert details["metrics"]["fooling_rate"] == details["metrics"]["robust_fooling_rate"] == 0.5


def test_details_are_plain_json() -> None:
    import json

    case = table([0.1, INF, NAN, 0.2], [0.3, 0.4, INF, NAN])
    details = detailed_metrics(
        AttackResults(case, "linf", [{"steps": 1}, {"steps": 2}]), StatisticsSettings(bootstrap_samples=50)
    )
    assert json.loads(json.dumps(details, allow_nan=False)) == details
    assert details["models"]["original"]["clips_attacked"] == 3
    assert details["models"]["original"]["clips_fooled"] == 2
    assert details["models"]["original"]["budget_used"] == {"steps": 1}


def test_intervals_pair_the_two_models_by_clip() -> None:
    """ρ is exactly 2 for every clip, so its interval is a point, though the clips differ a hundredfold."""
    original = list(np.geomspace(0.01, 1, 30))
    case = table(original, [2 * value for value in original])
    interval = detailed_metrics(AttackResults(case, "linf", [{}]), StatisticsSettings(bootstrap_samples=50))[
        "intervals_95"
    ]["rho"]
    assert interval == pytest.approx((2.0, 2.0))


def test_worst_case_takes_any_attack_that_wins() -> None:
    tables = {
        "a": table([1, 1, INF, NAN], [1, INF, INF, 5]),
        "b": table([INF, 1, 1, NAN], [INF, INF, 1, 5], l2=10),
    }
    result = worst_case(tables, threshold=0.6)
    assert result["original"]["fooling_rate"] == 1
    assert result["original"]["accuracy_under_bound"] == 0
    assert result["robust"]["fooling_rate"] == 0.75
    assert result["robust"]["fooling_rate_under_bound"] == 0.5
    assert result["robust"]["accuracy_under_bound"] == 0.5
    assert result["robust"]["mean_l2"] == pytest.approx((2 + 10 + 10) / 3)


def test_strongest_bound_is_the_smallest_of_the_attacks_of_one_norm() -> None:
    tables = {
        "bim": table([0.3, 0.2, INF, INF, NAN], [0.5, INF, 0.6, NAN, 0.7]),
        "cwa": table([0.1, 0.1, 0.1, 0.1, NAN], [0.1, 0.1, 0.1, NAN, 0.1]),
        "deepfool": table([0.1, 0.4, 0.5, INF, NAN], [INF, INF, 0.4, NAN, 0.9]),
    }
    bounds = strongest_bounds(tables, {"bim": "linf", "cwa": "l2", "deepfool": "linf"})
    assert {norm: names for norm, (names, _) in bounds.items()} == {
        "linf": ["bim", "deepfool"],
        "l2": ["cwa"],
    }
    found = bounds["linf"][1]
    assert perturbations(found, "original").tolist() == [0.1, 0.2, 0.5, INF]
    assert perturbations(found, "robust").tolist() == [0.5, INF, 0.4, 0.7]
    assert found[found["model"] == "robust"]["sample"].tolist() == [0, 1, 2, 4]
    summary = summary_of_bounds(bounds, threshold=0.75)["linf"]
    assert summary["attacks"] == ["bim", "deepfool"]
    assert summary["models"]["original"] == {
        "clips": 4,
        "fooling_rate": 0.75,
        "epsilon_90": 0.5,
        "curve": {"epsilon": [0.0, 0.1, 0.2, 0.5], "fooling_rate": [0.0, 0.25, 0.5, 0.75]},
    }


def test_strongest_bound_is_of_the_clips_that_every_attack_attacked() -> None:
    """On another device a clip near the boundary can count as wrong."""
    tables = {"a": table([0.3, NAN, 0.2], [NAN] * 3), "b": table([NAN, 0.1, 0.4], [NAN] * 3)}
    (_, found) = strongest_bounds(tables, {"a": "linf", "b": "linf"})["linf"]
    assert found[["model", "sample", "perturbation"]].to_numpy().tolist() == [["original", 2, 0.2]]
    nothing = summary_of_bounds({"linf": (["a", "b"], found)})["linf"]["models"]["robust"]
    assert nothing["clips"] == 0
    assert nothing["fooling_rate"] is None


def test_changes_in_decibels_are_those_of_the_fooled_clips_in_order() -> None:
    found = changes_in_decibels({"a": table([0.3, NAN, INF, 0.2], [0.5, 0.4, 0.6, INF])})
    assert found == {"a": {"original": [0.2, 0.3], "robust": [0.4, 0.5, 0.6]}}


def test_the_strongest_bounds_are_written_beside_the_curves(tmp_path: Path) -> None:
    results = {
        name: AttackResults(table(original, [0.5, 0.6]), "linf", [{"steps": 1}])
        for name, original in (("a", [0.1, 0.4]), ("b", [0.2, 0.3]))
    }
    write_statistics(
        results,
        StatisticsSettings(bootstrap_samples=5),
        folder=tmp_path,
        metrics=tmp_path / "metrics",
        mean_rho=tmp_path / "rho-mean.json",
    )
    assert sorted(file.name for file in (tmp_path / "fooling_curves").iterdir()) == ["a.csv", "b.csv"]
    curve_file = pd.read_csv(tmp_path / "strongest_bounds" / "linf.csv")
    at = curve_file.set_index("perturbation")["original"]
    assert at[at.index < 0.1].max() == 0
    assert set(at[(at.index > 0.1) & (at.index < 0.3)]) == {0.5}
    assert set(at[at.index > 0.3]) == {1.0}
