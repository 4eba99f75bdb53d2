"""The settings of training: the library's defaults are the shipped file's, and a fault names its parameter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.params import read_params
from advaudio.core.settings import MODELS, AdversarialSettings, TrainingSettings
from advaudio.models.registry import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_file_and_the_library_have_the_same_defaults() -> None:
    shipped = read_params(ROOT / "params.yaml")
    assert shipped.training == TrainingSettings()
    found, expected = shipped.adversarial_training.model_dump(), AdversarialSettings().model_dump()
    assert found.pop("epsilon") == pytest.approx(expected.pop("epsilon"), abs=1e-8)
    assert found == expected


def test_every_named_model_has_an_architecture() -> None:
    assert MODELS.keys() == ARCHITECTURES.keys()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TrainingSettings(batch_size=1),
            r"`training\.batch_size` is 1: .*greater than or equal to 2",
        ),
        (lambda: TrainingSettings(learning_rate=-1.0), r"`training\.learning_rate` is -1\.0"),
        (lambda: TrainingSettings(learning_rate=float("inf")), r"`training\.learning_rate` is inf"),
        (lambda: TrainingSettings(weight_decay=1.0), r"`training\.weight_decay` is 1\.0"),
        (lambda: TrainingSettings(label_smoothing=1.0), r"`training\.label_smoothing` is 1\.0"),
        (lambda: TrainingSettings(patience=0), r"`training\.patience` is 0"),
        (lambda: TrainingSettings(warm_up=1.0), r"`training\.warm_up` is 1\.0"),
        (lambda: TrainingSettings(optimiser="adam"), r"`training\.optimiser` is 'adam'.*'adamw' or 'sgd'"),  # type: ignore[arg-type]
        (lambda: TrainingSettings(compile="alway"), r"`training\.compile` is 'alway'"),  # type: ignore[arg-type]
        (lambda: TrainingSettings(mixed_precision="on"), r"`training\.mixed_precision` is 'on'"),  # type: ignore[arg-type]
        (lambda: TrainingSettings(lerning_rate=0.1), r"did you mean `training\.learning_rate`"),  # type: ignore[call-arg]
        (lambda: AdversarialSettings(epsilon=0.0), r"`adversarial_training\.epsilon` is 0\.0"),
        (lambda: AdversarialSettings(alpha=1.0), r"`adversarial_training\.alpha` is 1\.0"),
        (lambda: AdversarialSettings(steps=0), r"`adversarial_training\.steps` is 0"),
        (lambda: AdversarialSettings(probe_clips=-1), r"`adversarial_training\.probe_clips` is -1"),
        (lambda: AdversarialSettings(probe_steps=0), r"`adversarial_training\.probe_steps` is 0"),
        (
            lambda: TrainingSettings(patience=0, batch_size=1),
            r"`training\.batch_size` is 1.*; `training\.patience` is 0",
        ),
    ],
)
def test_wrong_settings_name_their_parameter(make: Callable[[], object], message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        make()


def test_the_models_own_defaults_fill_in_what_is_none() -> None:
    random, pretrained = (TrainingSettings().for_model("vgg16", weights) for weights in (False, True))
    assert (random.optimiser, random.learning_rate, random.weight_decay, random.batch_size) == (
        "adamw",
        2e-4,
        0.05,
        64,
    )
    assert pretrained == random.model_copy(update={"learning_rate": 1e-4})
    given = TrainingSettings(optimiser="sgd", learning_rate=0.1, weight_decay=0.0, batch_size=8, patience=3)
    assert given.for_model("resnet56", False) == given
    own = TrainingSettings().for_model("networks.mine:build", False)
    assert (own.learning_rate, own.batch_size) == (1e-3, 64)
    with pytest.raises(AdvaudioError, match=r"training\.learning_rate` and `training\.weight_decay` too"):
        TrainingSettings(optimiser="sgd", learning_rate=0.1).for_model("resnet56", False)
