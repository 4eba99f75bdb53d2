"""The race of ours and a plain loop: the same trainings, and what is said of their times and accuracies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from advaudio.clips.split_table import Fold, Split
from advaudio.core.settings import TrainingSettings
from advaudio.models.classifier import Classifier
from advaudio.models.registry import build_model
from advaudio.training.pictures import picture_facts
from benchmarks import training_race
from benchmarks.measurements import Measurements
from benchmarks.training_race import OURS, PLAIN, Course, Race, paired_difference, record, run_race


def test_interval_is_that_of_the_paired_t_test() -> None:
    ours, others = [0.61, 0.55, 0.58, 0.60, 0.66], [0.60, 0.57, 0.54, 0.61, 0.60]
    mean, half = paired_difference(ours, others)
    low, high = stats.ttest_rel(ours, others).confidence_interval(0.95)
    assert mean - half == pytest.approx(low)
    assert mean + half == pytest.approx(high)
    assert np.isnan(paired_difference([0.5], [0.4])[1])


def test_time_to_an_accuracy_is_read_off_the_mean_curves() -> None:
    def course(seconds: list[float], accuracies: list[float], test: float) -> Course:
        return Course(list(zip(seconds, accuracies, strict=True)), seconds[-1], test)

    courses = {
        OURS: [course([1, 2, 3], [0.2, 0.7, 0.8], 0.5), course([3, 4, 5], [0.4, 0.5, 0.8], 0.7)],
        PLAIN: [course([4, 8, 12], [0.1, 0.4, 0.6], 0.5), course([4, 8, 12], [0.3, 0.5, 0.6], 0.6)],
    }
    measured = Measurements()
    record(courses, "net", 100, measured)
    goal = "training net to a mean validation accuracy of 58.2%"
    assert measured.value(goal, OURS, "time") == 3  # the mean of 2 and 4 s, where the mean is 60 %
    assert measured.value(goal, PLAIN, "time") == 12
    task = "2 trainings of net"
    assert measured.value(task, OURS, "speed over the plain loop, all included") == 3  # 24 s against 3 + 5
    # 100 pictures an epoch: ours take 1 s each, the plain loop's 4 s.
    assert measured.value(task, OURS, "speed after the first epoch, validation included") == 100
    assert measured.value(task, OURS, "speed over the plain loop, after the first epoch") == 4
    assert measured.value(task, OURS, "test accuracy above the plain loop's, mean") == pytest.approx(0.05)


def test_both_learn_the_same_folds_from_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[torch.Tensor] = []

    def built(*arguments: Any, **options: Any) -> Classifier:
        model = build_model(*arguments, **options)
        starts.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
        return model

    monkeypatch.setattr(training_race, "build_model", built)
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 2
    pictures: NDArray[np.float32] = generator.random((48, 32, 32), dtype=np.float32) / np.float32(2)
    pictures[labels == 1, :16] += 0.5
    np.save(tmp_path / "pictures.npy", pictures)
    rows = np.arange(48)
    folds = (
        Fold(rows[:32], rows[32:40], rows[40:]),
        Fold(rows[16:], rows[8:16], rows[:8]),
    )
    settings = TrainingSettings(batch_size=8).for_model("resnet56", False)
    facts = picture_facts(tmp_path / "pictures.npy")
    race = Race(
        "resnet56",
        pictures.astype(np.float32),
        facts,
        Split(labels, folds),
        2,
        4,
        settings,
        0,
        torch.device("cpu"),
    )
    said: list[str] = []
    courses = run_race(race, 1, said.append)
    assert list(courses) == [OURS, PLAIN]
    for found in courses.values():
        assert len(found) == 2
        for course in found:
            assert len(course.epochs) == 4
            assert course.test_accuracy == 1.0
            assert course.epochs[-1][0] <= course.seconds
    starters = [line.split(": ")[1][: len(OURS)] == OURS for line in said]
    assert starters == [True, False, False, True]  # each is first in one of the folds
    # Weights and, of the fold's training pictures, mean and standard deviation.
    assert torch.equal(starts[0], starts[1])
    assert torch.equal(starts[2], starts[3])
    assert not torch.equal(starts[0], starts[2])
