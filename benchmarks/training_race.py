"""The same training by this library and by a plain loop, fold by fold: how long it takes, and what comes out."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from advaudio.clips.split_table import Fold, Split
from advaudio.core.determinism import exact_training
from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.models.classifier import Classifier
from advaudio.models.registry import build_model
from advaudio.training.checkpoints import Checkpoint
from advaudio.training.loop import Epoch, Plan, Speed, train
from advaudio.training.measures import score
from advaudio.training.pictures import PictureBatches, PictureFacts
from benchmarks.measurements import Measurements, synchronise
from benchmarks.training_loops import PlainLoop

OURS, OURS_FLOAT32, PLAIN = "ours", "ours, float32", "plain loop"
CONFIDENCE = 0.95
SHARE_OF_BEST = 0.97


@dataclass
class Course:
    """One training: seconds since its start and validation accuracy after each epoch, and how it ended.

    Parameters
    ----------
    seconds
        Of the whole training, the network's construction included; the pictures' way to the device counts
        for the first training of all.
    test_accuracy
        Of the epoch with the best validation accuracy, on clips that neither trained nor chose it.
    """

    epochs: list[tuple[float, float]] = field(default_factory=list)
    seconds: float = 0.0
    test_accuracy: float = 0.0


@dataclass(frozen=True)
class Race:
    """What the systems train: networks from the same random weights on the same folds, by AdamW.

    Peak learning rate, decay and warm-up are the same; the plain loop takes torch's own one-cycle schedule,
    which swings AdamW's momentum besides, and decays all weights.

    Parameters
    ----------
    pictures
        (samples, height, width) float32 in [0, 1].
    facts
        Mean, spread and shape, from one reading of them.
    split
        Labels and folds.
    settings
        Of training, the model's own defaults filled in; AdamW.
    workers
        Processes that load the plain loop's batches.
    float32
        Whether ours runs in float32 too.
    """

    model: str
    pictures: NDArray[np.float32]
    facts: PictureFacts
    split: Split
    classes: int
    epochs: int
    settings: TrainingSettings
    workers: int
    device: torch.device
    float32: bool = False

    @cached_property
    def on_device(self) -> PictureBatches:
        """The pictures on the device, for all trainings."""
        return PictureBatches(self.pictures, self.split.labels, self.device)

    def systems(self) -> dict[str, Callable[[int, int], Course]]:
        """Of every competitor a function (repeat, fold) → its course."""
        found: dict[str, Callable[[int, int], Course]] = {
            OURS: lambda repeat, fold: self._ours(repeat, fold, self.settings)
        }
        if self.float32:
            float32 = self.settings.model_copy(update={"mixed_precision": "off"})
            found[OURS_FLOAT32] = lambda repeat, fold: self._ours(repeat, fold, float32)
        return {**found, PLAIN: self._plain}

    def images(self) -> int:
        """Pictures that an epoch trains on, the mean over the folds."""
        batch = self.settings.batch_size
        assert batch is not None
        return round(statistics.mean(len(fold.train) // batch * batch for fold in self.split.folds))

    def _plan(self, repeat: int, fold: int, settings: TrainingSettings) -> Plan:
        patient = settings.model_copy(update={"patience": self.epochs})
        return Plan(patient, None, AdversarialSettings(), self.classes, self.epochs, 0, repeat, fold)

    def _network(self, plan: Plan, part: Fold) -> Classifier:
        mean, std = self.facts.mean_and_std(part.train)
        size = (self.facts.shape[1], self.facts.shape[2])
        return build_model(self.model, self.classes, size, mean=mean, std=std, seed=plan.seed_of(0))

    def _ours(self, repeat: int, fold: int, settings: TrainingSettings) -> Course:
        part = self.split.folds[fold]
        plan = self._plan(repeat, fold, settings)
        course = Course()
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()

            def note(event: Epoch | Speed) -> None:
                if isinstance(event, Epoch):
                    course.epochs.append((time.perf_counter() - started, event.validation_accuracy))

            on_device = self.on_device
            model = self._network(plan, part)
            train(model, on_device, part, plan, Checkpoint(Path(folder) / "state.pt", ""), note)
            self._finish(course, started, model, part)
        return course

    def _plain(self, repeat: int, fold: int) -> Course:
        part = self.split.folds[fold]
        plan = self._plan(repeat, fold, self.settings)
        course = Course()
        started = time.perf_counter()
        on_device = self.on_device
        model = self._network(plan, part).to(self.device)
        torch.manual_seed(plan.seed_of(1))
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        assert rate is not None
        assert decay is not None
        optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
        assert self.settings.batch_size is not None
        rows = part.train
        loop = PlainLoop(
            model,
            optimiser,
            self.pictures[rows],
            self.split.labels[rows],
            self.settings.batch_size,
            self.device,
            self.workers,
        )
        steps = self.epochs * len(loop.loader)
        loop.schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, rate, total_steps=steps, pct_start=self.settings.warm_up
        )
        best, weights = -1.0, model.state_dict()
        for _ in range(self.epochs):
            model.train()
            loop.epoch()
            accuracy = score(model, on_device, part.validation, self.classes).accuracy
            if accuracy >= best:
                best = accuracy
                weights = {name: value.clone() for name, value in model.state_dict().items()}
            course.epochs.append((time.perf_counter() - started, accuracy))
        model.load_state_dict(weights)
        self._finish(course, started, model, part)
        return course

    def _finish(self, course: Course, started: float, model: Classifier, part: Fold) -> None:
        synchronise(self.device)
        course.seconds = time.perf_counter() - started
        course.test_accuracy = score(model, self.on_device, part.test, self.classes).accuracy


def run_race(race: Race, repeats: int, say: Callable[[str], None]) -> dict[str, list[Course]]:
    """Every system's courses over all folds of all repeats, the systems taking turns at being the first."""
    systems = race.systems()
    names = list(systems)
    courses: dict[str, list[Course]] = {name: [] for name in names}
    for turn, (repeat, fold) in enumerate(product(range(repeats), range(len(race.split.folds)))):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            with exact_training(race.device, False):
                course = systems[name](repeat, fold)
            courses[name].append(course)
            say(f"repeat {repeat} fold {fold}: {name} {course.seconds:.1f} s, {course.test_accuracy:.1%}")
    return courses


def record(courses: dict[str, list[Course]], model: str, images: int, measured: Measurements) -> None:
    """Write down times, accuracies, their differences from the plain loop's, and the time to one accuracy.

    Parameters
    ----------
    images
        Pictures that an epoch trains on.
    """
    task = f"{len(courses[PLAIN])} trainings of {model}"
    curves = {name: mean_curve(found) for name, found in courses.items()}
    plain = sum(course.seconds for course in courses[PLAIN])
    rates = {name: images / _seconds_per_epoch(found) for name, found in courses.items()}
    for name, found in courses.items():
        seconds = [course.seconds for course in found]
        accuracies = [course.test_accuracy for course in found]
        measured.add(task, name, "time, all", sum(seconds), "s")
        measured.add(task, name, "time, first", seconds[0], "s")
        measured.add(task, name, "time, median", statistics.median(seconds), "s")
        measured.add(task, name, "speed after the first epoch, validation included", rates[name], "images/s")
        measured.add(task, name, "test accuracy, mean", statistics.mean(accuracies), "of the clips")
        if name == PLAIN:
            continue
        measured.add(task, name, "speed over the plain loop, all included", plain / sum(seconds), "1")
        measured.add(
            task, name, "speed over the plain loop, after the first epoch", rates[name] / rates[PLAIN], "1"
        )
        others = [course.test_accuracy for course in courses[PLAIN]]
        mean, half = paired_difference(accuracies, others)
        measured.add(task, name, "test accuracy above the plain loop's, mean", mean, "of the clips")
        if np.isfinite(half):
            measured.add(task, name, "half its 95 % interval", half, "of the clips")
    target = SHARE_OF_BEST * min(max(value for _, value in curve) for curve in curves.values())
    task = f"training {model} to a mean validation accuracy of {target:.1%}"
    for name, curve in curves.items():
        measured.add(task, name, "time", next(at for at, value in curve if value >= target), "s")
    for name, curve in curves.items():
        for epoch, (at, value) in enumerate(curve, 1):
            task = f"training {model}, epoch {epoch}"
            measured.add(task, name, "time, mean", at, "s")
            measured.add(task, name, "validation accuracy, mean", value, "of the clips")


def _seconds_per_epoch(courses: Sequence[Course]) -> float:
    """Median over the trainings; the first epoch, which prepares the rest, is left out."""
    spans = [course.epochs[-1][0] - course.epochs[0][0] for course in courses]
    return statistics.median(spans) / (len(courses[0].epochs) - 1)


def mean_curve(courses: Sequence[Course]) -> list[tuple[float, float]]:
    """Mean seconds and mean validation accuracy after each epoch."""
    epochs = np.array([course.epochs for course in courses], dtype=np.float64)
    return [(float(at), float(accuracy)) for at, accuracy in epochs.mean(axis=0)]


def paired_difference(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Mean difference of pairs, and half of its 95 % t-interval; NaN for one pair."""
    difference = np.array(ours) - np.array(others)
    pairs = len(difference)
    if pairs < 2:
        return float(difference.mean()), float("nan")
    error: Any = difference.std(ddof=1) / np.sqrt(pairs)
    return float(difference.mean()), float(error * stats.t.ppf((1 + CONFIDENCE) / 2, pairs - 1))
