"""The training of one network on one fold, epoch by epoch, resumable after each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advaudio.clips.split_table import Fold
from advaudio.core.errors import AdvaudioError
from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.models.classifier import Classifier
from advaudio.training.checkpoints import Checkpoint
from advaudio.training.collapse import single_step_gap
from advaudio.training.measures import EVALUATION_BATCH, score
from advaudio.training.optimisers import build_optimiser, one_cycle, set_learning_rate
from advaudio.training.pictures import PictureBatches, cut
from advaudio.training.steps import step_mode, stepper

_REPORT_SECONDS = 1.0


@dataclass(frozen=True)
class Epoch:
    """One row of the learning curves; epochs count from 1. Accuracies are shares.

    `train_loss` and `train_accuracy` are means over the epoch's steps, on clean pictures for the accuracy;
    `probe_accuracy` and `probe_single_step_accuracy` are the probe's accuracies under PGD and under one step of FGSM,
    `probe_collapsed` what they say (`SingleStepGap.collapsed`); None without a probe.
    """

    repeat: int
    fold: int
    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    probe_accuracy: float | None
    probe_single_step_accuracy: float | None
    probe_collapsed: bool | None


@dataclass(frozen=True)
class Speed:
    """Sent about every second while an epoch runs: pictures trained on so far in this fold, and their rate."""

    repeat: int
    fold: int
    trained: int
    images_per_second: float


@dataclass(frozen=True)
class Trained:
    """What training one fold gave; the model itself holds the best epoch's weights."""

    epochs: tuple[Epoch, ...]
    best_epoch: int
    collapsed_epoch: int | None


@dataclass(frozen=True)
class Plan:
    """Everything about a fold's training but the data and the model."""

    settings: TrainingSettings
    defence: str | None
    adversarial: AdversarialSettings
    classes: int
    epochs: int
    seed: int
    repeat: int
    fold: int

    def seed_of(self, epoch: int) -> int:
        """Seed of an epoch's random numbers (0: the initial weights)."""
        entropy = [self.seed, self.repeat, self.fold, epoch]
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def train(
    model: Classifier,
    pictures: PictureBatches,
    fold: Fold,
    plan: Plan,
    checkpoint: Checkpoint,
    emit: Callable[[Epoch | Speed], None],
) -> Trained:
    """Train `model` in place and leave it with its best epoch's weights, in evaluation mode.

    Raises
    ------
    AdvaudioError
        If the loss stops being finite, or the checkpoint is refused.
    """
    settings = plan.settings
    device = pictures.device
    bfloat16 = settings.mixed_precision == "auto" and device.type == "cuda"
    model.channels_last().to(device)
    optimiser = build_optimiser(model, settings)
    assert settings.batch_size is not None
    assert settings.learning_rate is not None
    batch = min(settings.batch_size, len(fold.train))
    steps = len(fold.train) // batch
    if batch < 2:
        raise AdvaudioError(f"Fold {plan.fold} has one picture to train on; training needs at least two.")
    probe_rows = _probe_rows(fold, plan)

    history: list[Epoch] = []
    best: dict[str, Tensor] = _weights(model)
    state = checkpoint.load(device)
    if state is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        history = [Epoch(**row) for row in state["history"]]
        best = state["best"]
        for row in history:
            emit(row)
    mode = step_mode(settings, device, plan.epochs * steps * batch)
    step = stepper(model, optimiser, plan.defence, plan.adversarial, settings, bfloat16=bfloat16, mode=mode)

    while len(history) < plan.epochs and not _out_of_patience(history, settings.patience):
        epoch = len(history) + 1
        model.train()
        loss = torch.zeros((), dtype=torch.float64, device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        order = np.random.default_rng(plan.seed_of(epoch)).permutation(fold.train)[: steps * batch]
        started = reported = time.monotonic()
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(plan.seed_of(epoch))
            for index, (x, y) in enumerate(pictures.batches(cut(order, batch))):
                position = (epoch - 1) * steps + index
                rate = one_cycle(position, plan.epochs * steps, settings.learning_rate, settings.warm_up)
                set_learning_rate(optimiser, rate)
                step_loss, step_correct = step(x, y)
                loss += step_loss
                correct += step_correct
                now = time.monotonic()
                if now - reported > _REPORT_SECONDS:
                    reported = now
                    speed = (index + 1) * batch / (now - started)
                    emit(Speed(plan.repeat, plan.fold, (position + 1) * batch, speed))
        train_loss = float(loss) / steps
        _require_finite("training", train_loss, epoch, plan)
        emit(
            Speed(plan.repeat, plan.fold, epoch * steps * batch, steps * batch / (time.monotonic() - started))
        )
        validation = score(model, pictures, fold.validation, plan.classes, bfloat16)
        _require_finite("validation", validation.loss, epoch, plan)
        probe = None
        if len(probe_rows):
            probe = single_step_gap(
                model,
                pictures.batches(cut(probe_rows, EVALUATION_BATCH)),
                [plan.adversarial.epsilon],
                steps=plan.adversarial.probe_steps,
                bfloat16=bfloat16,
            )
        history.append(
            Epoch(
                plan.repeat,
                plan.fold,
                epoch,
                train_loss,
                float(correct) / (steps * batch),
                validation.loss,
                validation.accuracy,
                None if probe is None else probe.accuracy_after(probe.iterated),
                None if probe is None else probe.accuracy_after(probe.single_step),
                None if probe is None else probe.collapsed,
            )
        )
        if best_epoch(history) == epoch:
            best = _weights(model)
        emit(history[-1])
        checkpoint.save(
            {
                "model": model.state_dict(),
                "optimiser": optimiser.state_dict(),
                "history": [asdict(row) for row in history],
                "best": best,
            }
        )
    model.load_state_dict(best)
    model.eval()
    return Trained(tuple(history), best_epoch(history), collapsed_epoch(history))


def best_epoch(history: list[Epoch]) -> int:
    """The epoch with the highest validation accuracy, of equals the lowest validation loss, then the earliest.

    A few dozen validation clips give many equal accuracies, the early ones at a learning rate that is
    still high; the loss tells these apart.
    """
    return max(history, key=lambda row: (row.validation_accuracy, -row.validation_loss, -row.epoch)).epoch


def collapsed_epoch(history: list[Epoch]) -> int | None:
    """First epoch after which the probe saw catastrophic overfitting (see `collapse`); None if it never did."""
    return next((row.epoch for row in history if row.probe_collapsed), None)


def _require_finite(part: str, loss: float, epoch: int, plan: Plan) -> None:
    if not np.isfinite(loss):
        raise AdvaudioError(
            f"The {part} loss is {loss} in epoch {epoch} of fold {plan.fold}: training diverged. Lower "
            f"`training.learning_rate` (now {plan.settings.learning_rate:g}), or set "
            "`training.mixed_precision: off`."
        )


def _out_of_patience(history: list[Epoch], patience: int) -> bool:
    return bool(history) and len(history) - best_epoch(history) >= patience


def _probe_rows(fold: Fold, plan: Plan) -> np.ndarray[Any, np.dtype[np.int64]]:
    if plan.defence is None or plan.adversarial.probe_clips == 0:
        return fold.validation[:0]
    generator = np.random.default_rng([plan.seed, plan.repeat, plan.fold])
    return np.sort(generator.permutation(fold.validation)[: plan.adversarial.probe_clips])


def _weights(model: Classifier) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}
