"""The schema of params.yaml, and the one function that reads it.

Every key is declared here with its type and range, so a misspelt key, a value of the wrong type or an unknown
name is refused before any work is done.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from advaudio.core.errors import AdvaudioError
from advaudio.core.settings import (
    MODELS,
    WHOLE_FILE,
    AdversarialSettings,
    Defence,
    PositiveFloat,
    PositiveInt,
    Section,
    Share,
    TrainingSettings,
    explain,
)
from advaudio.core.yaml_files import parse_yaml

Representation = Literal["stft", "dwt", "stft_tonnetz", "dwt_tonnetz"]
REPRESENTATIONS: tuple[Representation, ...] = get_args(Representation)
OWN_MODEL = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")

Size = Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)]  # YAML has lists, not tuples


class Dataset(Section):
    """`datasets.<name>`: where the clips come from and how large their pictures are."""

    source: dict[str, Any]
    archive: str | None
    on_bad_file: Literal["error", "drop"]
    clip_seconds: PositiveFloat
    dwt_sample_rate: PositiveInt
    spectrogram_size: Size
    tonnetz_size: Size


class Augment(Section):
    """`augment`: ratios of frequency of the pitch-shifted copies."""

    pitch_scales: list[Annotated[float, Field(ge=0.25, le=4.0)]]
    engine: Literal["fast", "librosa"]


class Stft(Section):
    """`stft`: protocol, section 2."""

    sample_rate: PositiveInt
    n_fft: PositiveInt
    hop_length: PositiveInt
    dynamic_range: PositiveFloat
    engine: Literal["fast", "librosa"]


class Dwt(Section):
    """`dwt`: protocol, section 2."""

    wavelet: Annotated[str, Field(pattern=r"^cmor\d+(\.\d+)?-\d+(\.\d+)?$")]
    scales: PositiveInt
    minimum_frequency: PositiveFloat
    maximum_frequency: PositiveFloat | None
    frame_length: Annotated[int, Field(gt=0, multiple_of=2)]
    dynamic_range: PositiveFloat
    engine: Literal["fast", "pywt"]


class Tonnetz(Section):
    """`tonnetz`: protocol, section 2."""

    sample_rate: PositiveInt
    hop_length: PositiveInt
    smoothing: Annotated[float, Field(ge=0)]
    dynamic_range: PositiveFloat
    engine: Literal["fast", "librosa"]


class Split(Section):
    """`split`: protocol, section 1, "leakage"."""

    by: Literal["source", "clip", "sample", "official"]
    folds: Annotated[int, Field(ge=2, le=20)]
    test_share: Share


class Evaluation(Section):
    """`evaluation`: protocol, section 6."""

    clips: PositiveInt | None
    fooling_threshold: Share
    auc_epsilon_factor: PositiveFloat
    bootstrap_samples: PositiveInt
    example_clips: Annotated[int, Field(ge=0, le=64)]


class TrainingBudget(Section):
    """`budgets.<name>.training`."""

    epochs: PositiveInt
    repeats: PositiveInt
    pretrained: str | dict[str, str]
    pgd_epsilons: list[Share]

    def pretrained_of(self, model: str) -> str:
        """Where the weights of `model` come from: its own entry, or that of `others`.

        Raises
        ------
        ValueError
            If there is neither.
        """
        if isinstance(self.pretrained, str):
            return self.pretrained
        source = self.pretrained.get(model, self.pretrained.get("others"))
        if source is None:
            raise ValueError(
                f"`pretrained` names no weights for {model!r}: add an entry for it, or one called others, "
                "such as others: none"
            )
        return source


class MaskingBudget(Section):
    """`budgets.<name>.masking`: see `gradient_masking.masking_checks`."""

    clips: PositiveInt
    epsilons: Annotated[list[Share], Field(min_length=1)]
    steps: Annotated[list[PositiveInt], Field(min_length=2)]
    restarts: PositiveInt


class Budget(Section):
    """`budgets.<name>`: how long training and attacks may go on."""

    training: TrainingBudget
    masking: MaskingBudget
    attacks: dict[str, Annotated[list[dict[str, Any]], Field(min_length=1)]]


class Params(Section):
    """The whole of params.yaml."""

    dataset: str
    representation: Representation
    model: str
    defence: Literal[Defence, "none"]
    budget: str
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    device: Literal["auto", "cpu", "cuda"]
    datasets: dict[str, Dataset]
    augment: Augment
    stft: Stft
    dwt: Dwt
    tonnetz: Tonnetz
    split: Split
    training: TrainingSettings
    adversarial_training: AdversarialSettings
    attacks: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    evaluation: Evaluation
    budgets: dict[str, Budget]

    @property
    def chosen_dataset(self) -> Dataset:
        """The section of the selected data set."""
        return self.datasets[self.dataset]

    @property
    def chosen_budget(self) -> Budget:
        """The selected budget."""
        return self.budgets[self.budget]

    @property
    def pretrained(self) -> str:
        """Where the pretrained weights of the selected model come from."""
        return self.chosen_budget.training.pretrained_of(self.model)

    def attack(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Settings of an attack, and its budgets, cheapest first.

        Raises
        ------
        AdvaudioError
            If `attacks` has no such attack.
        """
        if name not in self.attacks:
            raise AdvaudioError(
                f"There is no `attacks.{name}` in params.yaml; there are: {', '.join(self.attacks)}."
            )
        return self.attacks[name], self.chosen_budget.attacks[name]

    @model_validator(mode="after")
    def _sections_are_whole(self) -> Params:
        for section in (self.training, self.adversarial_training):
            missing = [name for name in type(section).model_fields if name not in section.model_fields_set]
            if missing:
                raise ValueError("; ".join(f"`{section.key}.{name}` is missing" for name in missing))
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        _choose("dataset", self.dataset, tuple(self.datasets))
        _choose("budget", self.budget, tuple(self.budgets))
        for name in self.attacks:
            if name not in self.chosen_budget.attacks:
                raise ValueError(
                    f"`attacks.{name}` has no budget: add `budgets.{self.budget}.attacks.{name}`, "
                    "such as [{}]"
                )
        self.chosen_budget.training.pretrained_of(self.model)
        if not OWN_MODEL.match(self.model):
            _choose("model", self.model, MODELS, "or your own network as package.module:function")
        return self


def _choose(key: str, value: str, valid: Collection[str], otherwise: str = "") -> None:
    if value not in valid:
        near = difflib.get_close_matches(value, valid, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise ValueError(f"`{key}` is {value!r}{hint}; valid are: {', '.join(valid)} {otherwise}".rstrip())


def read_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a parameter file.

    Raises
    ------
    AdvaudioError
        If the file is missing, is not YAML, or breaks the schema; every fault is named with its key,
        the value found and what is valid.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AdvaudioError(
            f"Could not read {path}: {error.strerror}. Run from the repository's top folder."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise AdvaudioError(f"{path} is not valid YAML: {error}. Correct that line.") from error
    if not isinstance(content, dict):
        raise AdvaudioError(f"{path} must hold keys and values, but holds {type(content).__name__}.")
    try:
        return check(content)
    except AdvaudioError as error:
        raise AdvaudioError(f"{path}: {error} Correct this and run the same command again.") from error


def check(content: dict[str, Any]) -> Params:
    """Check parameters that are read already.

    Raises
    ------
    AdvaudioError
        If they break the schema; every fault is named with its key, the value found and what is valid.
    """
    try:
        return Params.model_validate(content, context=WHOLE_FILE)
    except ValidationError as error:
        raise AdvaudioError(explain(error, Params)) from error
