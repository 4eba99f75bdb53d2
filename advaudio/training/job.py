"""What a training in folds is to do: data, network, settings, and how often."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json
from advaudio.core.params import Params
from advaudio.core.settings import DEFENCES, AdversarialSettings, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One network per repeat and fold, and which of them is published.

    Parameters
    ----------
    pictures
        float32 .npy (samples, height, width) in [0, 1].
    split
        `split.csv` (see `read_split`).
    model
        A key of `ARCHITECTURES`, or `package.module:function`.
    classes
        Number of classes.
    epochs
        Greatest number of epochs; the learning-rate schedule spans them.
    defence
        None, `fgsm`, `fgsm_rs` or `pgd` (adversarial training by Eq. 13).
    training
        Settings of every training; what is None there is the model's own default.
    adversarial
        Settings of the defence.
    repeats
        Number of trainings of every fold, with different random numbers.
    pretrained
        `none`, `imagenet`, or a file or folder of weights.
    seed
        Seed of all random numbers. The same seed gives clean and adversarial training the same start and order.
    pick
        (repeat, fold) to publish; None lets validation pick.
    pgd_epsilons
        Bounds (L∞) within which every fold's model is attacked with PGD-20 on its test clips (see
        `pgd_accuracies`).

    Raises
    ------
    AdvaudioError
        If there is no such defence, or less than one epoch or repeat.
    """

    pictures: Path
    split: Path
    model: str
    classes: int
    epochs: int
    defence: str | None = None
    training: TrainingSettings = field(default_factory=TrainingSettings)
    adversarial: AdversarialSettings = field(default_factory=AdversarialSettings)
    repeats: int = 1
    pretrained: str = "none"
    seed: int = 0
    pick: tuple[int, int] | None = None
    pgd_epsilons: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.defence is not None and self.defence not in DEFENCES:
            raise AdvaudioError(
                f"Parameter `defence` is {self.defence!r}; it must be {', '.join(DEFENCES)}, none."
            )
        if self.epochs < 1 or self.repeats < 1:
            raise AdvaudioError(
                f"Parameters `epochs` ({self.epochs}) and `repeats` ({self.repeats}) must be at least 1."
            )


def original_job(params: Params, pictures: Path, split: Path, classes: int) -> TrainingJob:
    """The training of the original model that params.yaml describes; other arguments as in `TrainingJob`.

    It reads neither `defence` nor `adversarial_training`, which only the robust model has.
    """
    budget = params.chosen_budget.training
    return TrainingJob(
        pictures=pictures,
        split=split,
        classes=classes,
        model=params.model,
        epochs=budget.epochs,
        training=params.training,
        repeats=budget.repeats,
        pretrained=params.pretrained,
        seed=params.seed,
        pgd_epsilons=tuple(budget.pgd_epsilons),
    )


def robust_job(params: Params, pictures: Path, split: Path, classes: int, original: Path) -> TrainingJob:
    """The training of the robust model that params.yaml describes; it publishes the original model's fold.

    Parameters
    ----------
    original
        `summary.json` of the original model's training; the other arguments are as in `TrainingJob`.
    """
    picked = read_json(original, "picked.repeat", "picked.fold")["picked"]
    return replace(
        original_job(params, pictures, split, classes),
        defence=None if params.defence == "none" else params.defence,
        adversarial=params.adversarial_training,
        # Only the same fold of both has the same test clips under `split.by: official`, and the same
        # training clips under every split.
        pick=(picked["repeat"], picked["fold"]),
    )
