"""The settings of training, with defaults for each model where the paper is silent."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from advaudio.core.errors import AdvaudioError

Defence = Literal["fgsm", "fgsm_rs", "pgd"]
Compile = Literal["auto", "always", "off"]
DEFENCES: tuple[Defence, ...] = ("fgsm", "fgsm_rs", "pgd")


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained; None means the model's own default (`OPTIMISERS`).

    Parameters
    ----------
    optimiser
        `adamw`, or `sgd` with Nesterov momentum 0.9.
    learning_rate
        The peak of the one-cycle schedule: linear rise over the first `warm_up` share of all steps,
        then a cosine down to a thousandth of the peak.
    weight_decay
        Decoupled in `adamw`, an L2 term in `sgd`; biases and normalisation layers are left out.
    label_smoothing
        Share of the target spread evenly over all classes, in [0, 1).
    batch_size
        Pictures per step. Every step has as many: an epoch leaves out a random remainder.
    patience
        Training stops after so many epochs without a better one (see `best_epoch`), whose weights are kept in
        any case.
    warm_up
        Share of the steps in which the learning rate rises, in [0, 1).
    mixed_precision
        `auto`: bfloat16 on CUDA, float32 on the CPU. `off`: float32.
    compile
        `auto`: steps on CUDA are replayed as one CUDA graph, in long trainings compiled besides (see
        `steps`). `always`: compiled however short the training. `off`: kernels are launched one by one. The CPU
        always does.
    deterministic
        Bitwise repeatable on CUDA too, at some cost; on the CPU training always is.
    """

    optimiser: Literal["adamw", "sgd"] | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    batch_size: int | None = None
    patience: int = 20
    warm_up: float = 0.25
    mixed_precision: Literal["auto", "off"] = "auto"
    compile: Compile = "auto"
    deterministic: bool = False

    def __post_init__(self) -> None:
        _require(
            self.optimiser in (None, "adamw", "sgd"),
            "training.optimiser",
            self.optimiser,
            "adamw, sgd or null",
        )
        _require(
            _positive_or_none(self.learning_rate), "training.learning_rate", self.learning_rate, "above zero"
        )
        decay = self.weight_decay
        _require(decay is None or 0 <= decay < 1, "training.weight_decay", decay, "in [0, 1)")
        _require(0 <= self.label_smoothing < 1, "training.label_smoothing", self.label_smoothing, "in [0, 1)")
        _require(
            self.batch_size is None or self.batch_size >= 2,
            "training.batch_size",
            self.batch_size,
            "at least 2",
        )
        _require(self.patience >= 1, "training.patience", self.patience, "at least 1")
        _require(0 <= self.warm_up < 1, "training.warm_up", self.warm_up, "in [0, 1)")
        precision = self.mixed_precision
        _require(precision in ("auto", "off"), "training.mixed_precision", precision, "auto or off")
        _require(
            self.compile in ("auto", "always", "off"), "training.compile", self.compile, "auto, always or off"
        )

    def for_model(self, name: str, pretrained: bool) -> TrainingSettings:
        """These settings with the model's defaults in place of None."""
        table = PRETRAINED_OPTIMISERS if pretrained else OPTIMISERS
        optimiser, learning_rate, weight_decay, batch_size = table.get(name, ("adamw", 1e-3, 0.05, 64))
        chosen = self.optimiser or optimiser
        if chosen != optimiser and None in (self.learning_rate, self.weight_decay):
            raise AdvaudioError(
                f"Parameter `training.optimiser` is {chosen} but {name}'s default is {optimiser}: set "
                "`training.learning_rate` and `training.weight_decay` too, since the defaults belong to the default "
                "optimiser."
            )
        return replace(
            self,
            optimiser=chosen,
            learning_rate=self.learning_rate if self.learning_rate is not None else learning_rate,
            weight_decay=self.weight_decay if self.weight_decay is not None else weight_decay,
            batch_size=self.batch_size if self.batch_size is not None else batch_size,
        )


Defaults = tuple[Literal["adamw", "sgd"], float, float, int]

OPTIMISERS: dict[str, Defaults] = {
    "alexnet": ("adamw", 3e-4, 0.05, 64),
    "googlenet": ("adamw", 2e-3, 0.05, 64),
    "resnet18": ("adamw", 2e-3, 0.05, 64),
    "resnet34": ("adamw", 2e-3, 0.05, 64),
    "resnet56": ("adamw", 5e-3, 0.05, 32),
    "vgg16": ("adamw", 2e-4, 0.05, 64),
}
"""From random weights: optimiser, peak learning rate, weight decay, batch size."""

PRETRAINED_OPTIMISERS: dict[str, Defaults] = {
    "alexnet": ("adamw", 2e-4, 0.05, 64),
    "googlenet": ("adamw", 5e-4, 0.05, 64),
    "resnet18": ("adamw", 5e-4, 0.05, 64),
    "resnet34": ("adamw", 5e-4, 0.05, 64),
    "resnet56": ("adamw", 2e-3, 0.05, 32),
    "vgg16": ("adamw", 1e-4, 0.05, 64),
}
"""From pretrained layers, which large steps would destroy."""


@dataclass(frozen=True)
class AdversarialSettings:
    """How adversarial training makes its samples (protocol, section 4), and the probe that watches it.

    Parameters
    ----------
    epsilon
        L∞ bound of the perturbation, on pictures in [0, 1].
    alpha
        Weight of the clean loss in Eq. 13, in (0, 1).
    steps
        Gradient steps of `pgd`; each is 2.5·ε/steps long (Madry et al., 2018). `fgsm_rs` takes one of
        1.25·ε from a random start (Wong et al., 2020).
    probe_clips, probe_steps
        After each epoch a PGD attack with so many steps within ε runs on at most so many validation clips.
        Zero clips: no probe.
    """

    epsilon: float = 8 / 255
    alpha: float = 0.5
    steps: int = 7
    probe_clips: int = 32
    probe_steps: int = 5

    def __post_init__(self) -> None:
        prefix = "adversarial_training."
        _require(0 < self.epsilon <= 1, prefix + "epsilon", self.epsilon, "in (0, 1]")
        _require(0 < self.alpha < 1, prefix + "alpha", self.alpha, "in (0, 1)")
        _require(self.steps >= 1, prefix + "steps", self.steps, "at least 1")
        _require(self.probe_clips >= 0, prefix + "probe_clips", self.probe_clips, "at least 0")
        _require(self.probe_steps >= 1, prefix + "probe_steps", self.probe_steps, "at least 1")


def _positive_or_none(value: float | None) -> bool:
    return value is None or (value > 0 and math.isfinite(value))


def _require(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise AdvaudioError(f"Parameter `{name}` is {value!r}; it must be {wanted}.")
