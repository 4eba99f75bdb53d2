"""Settings that params.yaml and the library's callers give alike: types, ranges and defaults, declared once."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from advaudio.core.errors import AdvaudioError
from advaudio.core.yaml_files import looks_like_number

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
ShareFromZero = Annotated[float, Field(ge=0, lt=1)]

Optimiser = Literal["adamw", "sgd"]
Compile = Literal["auto", "always", "off"]
Defence = Literal["fgsm", "fgsm_rs", "pgd"]
DEFENCES: tuple[Defence, ...] = get_args(Defence)

WHOLE_FILE = "whole file"
"""Context of a validation that explains the faults of all sections together."""


class ModelDefaults(NamedTuple):
    """How a network trains where the settings say None, which the paper leaves open.

    Large steps would destroy pretrained layers, so the peak learning rate is lower from pretrained weights.
    """

    learning_rate: float
    pretrained_learning_rate: float
    batch_size: int


MODELS = {
    "alexnet": ModelDefaults(3e-4, 2e-4, 64),
    "googlenet": ModelDefaults(2e-3, 5e-4, 64),
    "resnet18": ModelDefaults(2e-3, 5e-4, 64),
    "resnet34": ModelDefaults(2e-3, 5e-4, 64),
    "resnet56": ModelDefaults(5e-3, 2e-3, 32),
    "vgg16": ModelDefaults(2e-4, 1e-4, 64),
}
"""The six published networks by name."""

OWN_MODEL_DEFAULTS = ModelDefaults(1e-3, 1e-3, 64)
DEFAULT_OPTIMISER: Optimiser = "adamw"
DEFAULT_WEIGHT_DECAY = 0.05


class Section(BaseModel):
    """A section of params.yaml: unknown keys are errors, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LibrarySection(Section):
    """A section that the library's callers may write too, with defaults; a fault names its parameter.

    Raises
    ------
    AdvaudioError
        If a value is out of range, or there is no such setting.
    """

    key: ClassVar[str]
    """Of the section in params.yaml."""

    @model_validator(mode="wrap")
    @classmethod
    def _name_faults(
        cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            if info.context == WHOLE_FILE:
                raise
            raise AdvaudioError(explain(error, cls, f"{cls.key}.")) from error


class TrainingSettings(LibrarySection):
    """How a network is trained (`training` in params.yaml); None means the model's own default.

    Parameters
    ----------
    optimiser
        `adamw`, or `sgd` with Nesterov momentum 0.9.
    learning_rate
        Peak of the one-cycle schedule: a linear rise over the first `warm_up` share of all steps, then a
        cosine down to a thousandth of the peak.
    weight_decay
        Decoupled in `adamw`, an L2 term in `sgd`, in [0, 1). Biases and normalisation layers do not decay.
    label_smoothing
        Share of the target that is spread evenly over all classes, in [0, 1).
    batch_size
        Pictures per step, at least 2. Every step has as many: an epoch leaves out a random remainder.
    patience
        Number of epochs without a better one (see `best_epoch`) after which training stops. The best epoch's
        weights are kept in any case.
    warm_up
        Share of the steps in which the learning rate rises, in [0, 1).
    mixed_precision
        `auto`: bfloat16 on CUDA, float32 on the CPU. `off`: float32.
    compile
        `auto`: steps on CUDA are replayed as one CUDA graph, and compiled too where the training is long (see
        `steps`). `always`: compiled however short the training. `off`: kernels are launched one by one, as they
        always are on the CPU.
    deterministic
        Whether training on CUDA is bitwise repeatable, at some cost; on the CPU it always is.
    """

    key = "training"

    optimiser: Optimiser | None = None
    learning_rate: PositiveFloat | None = None
    weight_decay: ShareFromZero | None = None
    label_smoothing: ShareFromZero = 0.0
    batch_size: Annotated[int, Field(ge=2)] | None = None
    patience: PositiveInt = 20
    warm_up: ShareFromZero = 0.25
    mixed_precision: Literal["auto", "off"] = "auto"
    compile: Compile = "auto"
    deterministic: bool = False

    def for_model(self, name: str, pretrained: bool) -> TrainingSettings:
        """These settings with the defaults of the model `name` in place of None.

        Raises
        ------
        AdvaudioError
            If the optimiser is not the default one, and a default that belongs to that would be used.
        """
        given = {key: value for key, value in self.model_dump().items() if value is not None}
        if given.get("optimiser", DEFAULT_OPTIMISER) != DEFAULT_OPTIMISER and not (
            {"learning_rate", "weight_decay"} <= given.keys()
        ):
            raise AdvaudioError(
                f"Parameter `training.optimiser` is {self.optimiser} but {name}'s default is "
                f"{DEFAULT_OPTIMISER}: set `training.learning_rate` and `training.weight_decay` too, since the "
                "defaults belong to the default optimiser."
            )
        defaults = MODELS.get(name, OWN_MODEL_DEFAULTS)
        rate = defaults.pretrained_learning_rate if pretrained else defaults.learning_rate
        chosen = {
            "optimiser": DEFAULT_OPTIMISER,
            "learning_rate": rate,
            "weight_decay": DEFAULT_WEIGHT_DECAY,
            "batch_size": defaults.batch_size,
        }
        return TrainingSettings(**{**chosen, **given})


class AdversarialSettings(LibrarySection):
    """How adversarial training makes its examples (protocol, section 4), and the probe that watches it.

    The section is `adversarial_training` in params.yaml.

    Parameters
    ----------
    epsilon
        L∞ bound of the perturbation, on pictures in [0, 1]; in (0, 1].
    alpha
        Weight of the clean loss in Eq. 13, in (0, 1).
    steps
        Number of gradient steps of `pgd`, each 2.5·ε/steps long (Madry et al., 2018). `fgsm_rs` takes one
        of 1.25·ε from a random start (Wong et al., 2020).
    probe_clips
        Greatest number of validation clips that FGSM and PGD within ε are run on after each epoch, to see when
        training collapses. Zero: no probe.
    probe_steps
        Number of gradient steps of that PGD.
    """

    key = "adversarial_training"

    epsilon: Annotated[float, Field(gt=0, le=1)] = 8 / 255
    alpha: Share = 0.5
    steps: PositiveInt = 7
    probe_clips: Annotated[int, Field(ge=0)] = 16
    probe_steps: PositiveInt = 5


def explain(error: ValidationError, section: type[BaseModel], prefix: str = "") -> str:
    """One sentence on all faults: each parameter by its dotted key, the value found, and what is valid.

    Parameters
    ----------
    error
        What pydantic raised.
    section
        The model that was validated, for the names of parameters that a misspelt one may mean.
    prefix
        What comes before the keys, such as `training.`.
    """
    return "; ".join(_explain(fault, section, prefix) for fault in error.errors()) + "."


def _explain(fault: Any, section: type[BaseModel], prefix: str) -> str:
    key = ".".join(str(part) for part in fault["loc"])
    name = f"{prefix}{key}"
    kind, value = fault["type"], fault["input"]
    if kind == "value_error":
        return str(fault["ctx"]["error"])
    if kind == "extra_forbidden":
        return f"`{name}` is no known parameter" + _near_key(key, section, prefix)
    if kind == "missing":
        return f"`{name}` is missing"
    text = f"`{name}` is {value!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
    if looks_like_number(value):
        text += f" (quotes make it text: write {value} without them)"
    elif kind == "bool_type" and value in ("yes", "no", "on", "off"):
        text += " (write true or false)"
    return text


def _near_key(key: str, section: Any, prefix: str) -> str:
    *parents, last = key.split(".")
    for part in parents:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field else None
    near = difflib.get_close_matches(last, getattr(section, "model_fields", {}), n=1)
    return f" (did you mean `{prefix}{'.'.join([*parents, near[0]])}`?)" if near else ""
