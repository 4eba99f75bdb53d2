"""Model files: safetensors with one JSON string of metadata, the same bytes for the same model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import atomic_path, library_writes
from advaudio.models.classifier import Classifier
from advaudio.models.registry import build_model
from advaudio.models.weights import tensors_to_save

_KEY = "advaudio"


class _Metadata(BaseModel):
    """What a model is built from, strictly typed: a file from outside must not choose what it is called with."""

    model_config = ConfigDict(extra="allow", strict=True)

    model: str
    classes: int
    size: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)]


def save_model(model: Classifier, path: Path, metadata: dict[str, Any]) -> None:
    """Write the model, without heads that only training uses, as safetensors.

    Parameters
    ----------
    model
        Of `build_model`.
    path
        The file, replaced atomically.
    metadata
        JSON values; `model` (name) and `classes` are needed to load the file.
    """
    from safetensors.torch import save_file

    tensors = {
        key: value
        for key, value in tensors_to_save(model).items()
        if not key.startswith(("network.aux1.", "network.aux2.")) or metadata["model"] != "googlenet"
    }
    # safetensors writes several metadata entries in random order; one entry keeps the bytes the same.
    text = json.dumps({**metadata, "size": list(model.size)}, sort_keys=True, ensure_ascii=False)
    with atomic_path(path) as temporary, library_writes():
        save_file(tensors, temporary, metadata={_KEY: text})


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that `save_model` wrote, with `size` (height, width) added.

    Raises
    ------
    AdvaudioError
        If the file is missing, damaged, or no model file of this project.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(_KEY)
    except Exception as error:
        raise AdvaudioError(
            f"Could not read the model file {path}: {error}. Run `dvc checkout` to restore it or "
            "`dvc repro` to train it again."
        ) from error
    if text is None:
        raise AdvaudioError(f"{path} is no model file of this project: it lacks the metadata {_KEY!r}.")
    try:
        return _Metadata.model_validate_json(text).model_dump()
    except ValidationError as error:
        fault = error.errors()[0]
        raise AdvaudioError(
            f"The metadata of the model file {path} are wrong: {'.'.join(map(str, fault['loc']))}: "
            f"{fault['msg']}. Run `dvc checkout` to restore it or `dvc repro` to train it again."
        ) from error


def load_model(path: Path, device: str | torch.device = "cpu") -> Classifier:
    """The model of a file that `save_model` wrote: (N, 1, H, W) in [0, 1] → logits, in evaluation mode.

    Its weights need no gradient, and they are in the channels-last memory format.

    Raises
    ------
    AdvaudioError
        If the file is missing, damaged, or does not fit the model that it names.
    """
    from safetensors.torch import load_file

    metadata = read_metadata(path)
    height, width = metadata["size"]
    model = build_model(metadata["model"], metadata["classes"], (height, width), auxiliary_heads=False)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise AdvaudioError(
            f"The model file {path} does not fit the model {metadata['model']} that it names: {error}"
        ) from error
    return model.channels_last().to(device).eval().requires_grad_(False)
