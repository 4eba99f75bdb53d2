"""The peers' attacks behind one interface: model, pictures, classes, targeted → adversarial pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import foolbox
import numpy as np
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack
from advaudio.attack_interface.problem import Goal
from advaudio.models.registry import build_model

Peer = Callable[[nn.Module, Tensor, Tensor, bool], Tensor]
"""`classes` are targets if targeted, else true labels."""


def of_foolbox(attack: foolbox.attacks.base.Attack, epsilon: float | None = None) -> Peer:
    """An attack of Foolbox 3."""

    def run(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        criterion = TargetedMisclassification(classes) if targeted else Misclassification(classes)
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=pictures.device)
        found: Tensor = attack(wrapped, pictures, criterion, epsilons=epsilon)[0]
        return found

    return run


def of_torchattacks(name: str, **settings: float) -> Peer:
    """An attack of torchattacks."""

    def run(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        import torchattacks

        attack = getattr(torchattacks, name)(model, **settings)
        if targeted:
            attack.set_mode_targeted_by_label(quiet=True)
        found: Tensor = attack(pictures, classes)
        return found.detach()

    return run


def of_art(name: str, **settings: object) -> Peer:
    """An attack of the Adversarial Robustness Toolbox."""

    def run(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

        with torch.no_grad():
            count = model(pictures[:1]).shape[1]
        classifier = PyTorchClassifier(
            model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(pictures.shape[1:]),
            nb_classes=count,
            clip_values=(0.0, 1.0),
            device_type="cpu" if pictures.device.type == "cpu" else "gpu",
        )
        attack = getattr(evasion, name)(classifier, verbose=False, **settings)
        if "targeted" in attack.attack_params:
            attack.set_params(targeted=targeted)
        answers = None if name == "DeepFool" else np.eye(count, dtype=np.float32)[classes.cpu().numpy()]
        found = attack.generate(pictures.cpu().numpy(), y=answers)
        return torch.as_tensor(found, dtype=pictures.dtype, device=pictures.device)

    return run


class CountingModel(nn.Module):
    """Counts the pictures that pass forward and backward through a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.forwards = 0
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        logits: Tensor = self.network(x)
        if logits.requires_grad:
            logits.register_hook(self._seen)
        return logits

    def _seen(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


class Ours:
    """One of our attacks behind the peers' interface; `counts` are those of the last run.

    A batched backward pass looks like one from outside, so backward passes are taken from the attack's own
    meter, which the tests compare with what a model sees.
    """

    def __init__(self, attack: Attack, starts: Tensor | None = None) -> None:
        self.attack, self.starts = attack, starts
        self.counts = torch.zeros(0, 4)

    def __call__(self, model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        starts = None if self.starts is None else self.starts[: len(pictures)]
        outcome = self.attack.search(model, pictures, Goal(classes, targeted), starting_points=starts)
        self.counts = outcome.counts
        return outcome.adversarial


def trained_on_blobs(
    name: str, size: int, classes: int, clips: int, device: str
) -> tuple[nn.Module, Any, Any]:
    """A network trained for a moment on noisy patterns, one for each class; returns test pictures and labels."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.nn.functional.interpolate(
        torch.rand(classes, 1, 8, 8, generator=generator), (size, size), mode="bilinear"
    )
    count = max(4 * clips, 512)
    labels = torch.randint(classes, (count,), generator=generator)
    pictures = (0.35 * patterns[labels] + 0.65 * torch.rand(count, 1, size, size, generator=generator)).clamp(
        0, 1
    )
    torch.manual_seed(0)
    network = build_model(name, classes, (size, size), mean=float(pictures.mean()), std=float(pictures.std()))
    network.to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-4)
    for _ in range(12):
        for rows in torch.randperm(count // 2, generator=generator).split(64):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(pictures[rows].to(device)), labels[rows].to(device))
            loss.backward()
            optimiser.step()
    network.eval().requires_grad_(False)
    return network, pictures[count // 2 :, 0].numpy(), labels[count // 2 :].numpy()
