"""Model files: the same model back, the same bytes each time, and clear words about damaged files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from advaudio.core.errors import AdvaudioError
from advaudio.models.model_file import load_model, read_metadata, save_model
from advaudio.models.registry import build_model

METADATA = {"model": "googlenet", "classes": 4, "defence": "fgsm", "fold": 2}


def test_a_saved_model_comes_back(tmp_path: Path) -> None:
    model = build_model("googlenet", 4, (40, 24), mean=0.3, std=0.1, seed=2)
    model.train()(torch.rand(4, 1, 40, 24))  # moves the running statistics
    save_model(model, tmp_path / "model.safetensors", METADATA)
    loaded = load_model(tmp_path / "model.safetensors")
    x = torch.rand(3, 1, 40, 24)
    torch.testing.assert_close(loaded(x), model.eval()(x))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert read_metadata(tmp_path / "model.safetensors") == {**METADATA, "size": [40, 24]}


def test_the_bytes_depend_on_the_model_alone(tmp_path: Path) -> None:
    files = [tmp_path / f"{index}.safetensors" for index in range(6)]
    for index, path in enumerate(files):
        metadata = dict(reversed(METADATA.items())) if index % 2 else METADATA
        save_model(build_model("resnet56", 4, (24, 24)), path, {**metadata, "model": "resnet56"})
    assert len({path.read_bytes() for path in files}) == 1


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(AdvaudioError, match="Could not read the model file"):
        load_model(path)
    save_model(build_model("resnet56", 4, (24, 24)), path, {"model": "resnet56", "classes": 4})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AdvaudioError, match="Could not read the model file"):
        load_model(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(AdvaudioError, match="no model file of this project"):
        load_model(path)
    save_model(build_model("resnet56", 4, (24, 24)), path, {"model": "resnet18", "classes": 4})
    with pytest.raises(AdvaudioError, match="does not fit the model resnet18"):
        load_model(path)
