"""The simulation has the truth that it says, and the numbers that are kept are those of the published intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from studies.interval_coverage import (
    CLIPS,
    CLIPS_OF_RECORDINGS,
    CORRELATIONS,
    FIGURES,
    METHODS,
    Tally,
    coverage,
    simulated,
    truth,
)

KEPT = Path(__file__).resolve().parents[2] / "results" / "interval-coverage" / "coverage.json"


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_figures_of_very_many_clips_are_the_truth(correlation: float) -> None:
    pair = simulated(np.random.default_rng(0), 400_000, correlation)
    found = pair.figures(np.ones((1, 400_000)))
    for name, value in truth().items():
        assert found[name][0] == pytest.approx(value, rel=0.02), name


def test_clips_of_a_recording_are_as_alike_as_asked() -> None:
    pair = simulated(np.random.default_rng(1), 200_000, 0.7)
    neighbours = np.flatnonzero(np.diff(pair.recordings.codes) == 0)
    logarithms = np.log(pair.original)
    pairs = logarithms[np.stack((neighbours, neighbours + 1))]
    known = ~np.isnan(pairs).any(axis=0)
    assert np.corrcoef(pairs[:, known])[0, 1] == pytest.approx(0.7, abs=0.02)


def test_recordings_are_as_large_as_those_of_esc50() -> None:
    assert sum(size * count for size, count in CLIPS_OF_RECORDINGS.items()) == 2000
    assert sum(CLIPS_OF_RECORDINGS.values()) == 1524
    sizes = np.bincount(simulated(np.random.default_rng(2), 100_000, 0.0).recordings.codes)
    assert sizes.mean() == pytest.approx(2000 / 1524, rel=0.02)
    assert np.mean(sizes == 1) == pytest.approx(1205 / 1524, rel=0.02)


def test_intervals_that_hold_the_truth_are_counted() -> None:
    tally = Tally()
    for interval in ((1.0, 3.0), (2.5, 4.0), None, (2.0, 2.0)):
        tally.add(interval, 2.0)
    assert (tally.held, tally.known, tally.width) == (2, 3, 3.5)


def test_a_short_simulation_has_all_rows_and_repeats() -> None:
    rows = coverage(75, 0.3, 3, 30, 0)
    assert {(row["figure"], row["method"]) for row in rows} == {
        (one, two) for one in FIGURES for two in METHODS
    }
    assert rows == coverage(75, 0.3, 3, 30, 0)


def test_published_intervals_hold_the_truth_as_often_as_they_must() -> None:
    content = json.loads(KEPT.read_text(encoding="utf-8"))
    assert content["settings"]["replications"] >= 1000
    assert content["settings"]["truth"] == pytest.approx(truth())
    published = [row for row in content["rows"] if row["method"] == "published"]
    kinds = {(row["clips"], row["correlation"], row["figure"]) for row in published}
    wanted = {(clips, each, name) for clips in CLIPS for each in CORRELATIONS for name in FIGURES}
    assert wanted == kinds
    assert min(row["coverage"] for row in published) >= 0.93
