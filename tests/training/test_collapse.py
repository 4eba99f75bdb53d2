"""Catastrophic overfitting is told from single steps against iterations, where accuracy under PGD alone tells nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.training.collapse import SingleStepGap, single_step_gap
from advaudio.training.folds import train_folds
from advaudio.training.job import TrainingJob
from advaudio.training.outputs import collapse_warning
from advaudio.training.result import TrainingResult

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
    assert robust.passes == 20 * (1 + (1 + 9 + 1) + 1)  # nothing is left to find within the smaller radius
    weak = Wave(lambda pixel: pixel - 0.5)  # the first of ten steps fools it, and so does a single one
    single_step_gap(weak, pixels(torch.full((20,), 0.51)), [EPSILON / 2, EPSILON])
    assert weak.passes == 20 * (1 + (1 + 1) + 1)


def old_rule(probe: list[float]) -> int | None:
    """What was asked before: a fall by over 0.2, and to under half, of the best accuracy under PGD so far."""
    best = 0.0
    for epoch, accuracy in enumerate(probe, 1):
        if accuracy < best - 0.2 and accuracy < best / 2:
            return epoch
        best = max(best, accuracy)
    return None


def test_training_that_collapses_is_detected_where_the_old_rule_sees_nothing(tmp_path: Path) -> None:
    """Plain FGSM with a large ε on tiny pictures: accuracy under PGD never reaches 0.2, so it cannot fall by 0.2."""
    write_patterns(tmp_path)
    collapsed, sound = (trained(tmp_path, defence) for defence in ("fgsm", "pgd"))
    assert old_rule(collapsed.curves["probe_accuracy"].tolist()) is None
    assert collapsed.collapsed_folds == 1
    assert collapsed.folds["collapsed_epoch"].notna().all()
    (fold,) = collapsed.collapse_by_fold().values()
    assert fold["fooled_by_iterations"] - fold["fooled_by_one_step"] >= 0.3
    warning = collapse_warning(collapsed)
    assert warning is not None
    assert f"repeat0-fold0: one step of FGSM fools {fold['fooled_by_one_step']:.0%}" in warning
    assert sound.collapsed_folds == 0
    assert collapse_warning(sound) is None


def write_patterns(folder: Path, classes: int = 6, size: int = 8) -> None:
    """Pictures of weak random patterns in noise, a fold of 400 to train on, 200 for validation and 60 to test."""
    generator = np.random.default_rng(0)
    patterns = generator.choice([-1.0, 1.0], (classes, size, size))
    labels = np.arange(660) % classes
    pictures = 0.5 + 0.15 * generator.standard_normal((660, size, size)) + 0.1 * patterns[labels]
    np.save(folder / "pictures.npy", pictures.clip(0, 1).astype(np.float32))
    table = pd.DataFrame(
        {"sample": range(660), "clip": [f"clip{row}" for row in range(660)], "label": labels}
    )
    table["fold_0"] = np.repeat(["train", "validation", "test"], [400, 200, 60])
    table.to_csv(folder / "split.csv", index=False)


def trained(folder: Path, defence: str) -> TrainingResult:
    """Trained with a probe of 40 clips and ten steps."""
    settings: dict[str, Any] = {
        "optimiser": "adamw",
        "learning_rate": 0.005,
        "weight_decay": 0.0,
        "batch_size": 50,
    }
    job = TrainingJob(
        pictures=folder / "pictures.npy",
        split=folder / "split.csv",
        model="tests.training.networks:Plain",
        classes=6,
        epochs=14,
        defence=defence,
        adversarial=AdversarialSettings(epsilon=0.3, probe_clips=40, probe_steps=10),
        training=TrainingSettings(**settings),
    )
    scratch = folder / f"{defence}-checkpoints"
    return train_folds(job, folder / f"{defence}.safetensors", checkpoint_folder=scratch, device="cpu")
