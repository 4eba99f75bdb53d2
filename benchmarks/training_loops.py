"""The training loops that `benchmarks.training` sets beside each other: ours, a plain one, and ART's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.models.classifier import Classifier
from advaudio.models.registry import build_model
from advaudio.training.optimisers import build_optimiser
from advaudio.training.pictures import PictureBatches, cut
from advaudio.training.steps import Mode, stepper

CLASSES = 50


def network(name: str, size: int, device: torch.device, seed: int = 0) -> Classifier:
    """A network in training mode and channels-last layout, with our default classifier."""
    model = build_model(name, CLASSES, (size, size), mean=0.5, std=0.29, seed=seed)
    return model.channels_last().to(device).train()


def ours_loop(
    model_name: str,
    defence: str | None,
    mode: Mode,
    pictures: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    batch: int,
    device: torch.device,
) -> Callable[[], None]:
    """This library's training step over one epoch."""
    settings = TrainingSettings(batch_size=batch).for_model(model_name, False)
    model = network(model_name, pictures.shape[1], device)
    optimiser = build_optimiser(model, settings)
    step = stepper(
        model,
        optimiser,
        defence,
        AdversarialSettings(),
        settings,
        bfloat16=device.type == "cuda",
        mode=mode,
    )
    on_device = PictureBatches(pictures, labels, device)
    generator = np.random.default_rng(0)

    def epoch() -> None:
        total = torch.zeros((), device=device)
        for x, y in on_device.batches(cut(generator.permutation(len(labels)), batch)):
            total += step(x, y)[0]
        float(total)

    return epoch


def plain_loss(model: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of all heads, GoogLeNet's auxiliary ones at 0.3."""
    losses = [functional.cross_entropy(logits, y) for logits in model.all_logits(x)]
    return losses[0] + 0.3 * sum(losses[1:], torch.zeros_like(losses[0]))


class PlainLoop:
    """The loop of torchvision's tutorials: DataLoader, float32, one kernel at a time, `.item()` each step.

    Float32 is torch's default, in which convolutions on CUDA round their inputs to TF32.

    Parameters
    ----------
    model
        On `device`.
    defence
        None, or anything else for FGSM adversarial training by Eq. 13.
    """

    def __init__(
        self,
        model: Classifier,
        optimiser: torch.optim.Optimizer,
        pictures: np.ndarray[Any, Any],
        labels: np.ndarray[Any, Any],
        batch: int,
        device: torch.device,
        workers: int,
        defence: str | None = None,
    ) -> None:
        self.model = model
        self.optimiser = optimiser
        self.device = device
        self.defence = defence
        self.schedule: torch.optim.lr_scheduler.LRScheduler | None = None
        self.loader = DataLoader(
            TensorDataset(torch.from_numpy(pictures)[:, None], torch.from_numpy(labels)),
            batch,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
        )

    def epoch(self) -> None:
        """Train for one epoch."""
        model = self.model
        for x, y in self.loader:
            x, y = x.to(self.device), y.to(self.device)
            self.optimiser.zero_grad()
            if self.defence is None:
                loss = plain_loss(model, x, y)
            else:  # as tutorials write it: a pass for the input gradient, then the two of Eq. 13
                x.requires_grad_()
                (gradient,) = torch.autograd.grad(plain_loss(model, x, y), x)
                attacked = (x.detach() + 8 / 255 * gradient.sign()).clamp(0, 1)
                loss = 0.5 * plain_loss(model, x.detach(), y) + 0.5 * plain_loss(model, attacked, y)
            loss.backward()
            self.optimiser.step()
            if self.schedule is not None:
                self.schedule.step()
            loss.item()


def plain_loop(
    model_name: str,
    defence: str | None,
    pictures: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    batch: int,
    device: torch.device,
    workers: int,
) -> Callable[[], None]:
    """An epoch of `PlainLoop`, of a new network and AdamW."""
    model = build_model(model_name, CLASSES, pictures.shape[1:], mean=0.5, std=0.29).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    return PlainLoop(model, optimiser, pictures, labels, batch, device, workers, defence).epoch


def art_loop(
    model_name: str,
    pictures: np.ndarray[Any, Any],
    labels: np.ndarray[Any, Any],
    batch: int,
    device: torch.device,
) -> Callable[[], None]:
    """ART's fast adversarial training: random-start FGSM without the clean loss, two passes like ours."""
    from art.defences.trainer import AdversarialTrainerFBFPyTorch
    from art.estimators.classification import PyTorchClassifier

    model = build_model(model_name, CLASSES, pictures.shape[1:], mean=0.5, std=0.29)
    classifier = PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01),
        input_shape=(1, *pictures.shape[1:]),
        nb_classes=CLASSES,
        clip_values=(0.0, 1.0),
        device_type="gpu" if device.type == "cuda" else "cpu",
    )
    trainer = AdversarialTrainerFBFPyTorch(classifier, eps=8 / 255)
    targets = np.eye(CLASSES, dtype=np.float32)[labels]
    return lambda: trainer.fit(pictures[:, None], targets, nb_epochs=1, batch_size=batch)
