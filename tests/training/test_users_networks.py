"""Users' networks from training to the model file: the same bits in any number of processes, or refused before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from advaudio.core.errors import AdvaudioError
from advaudio.core.settings import TrainingSettings
from advaudio.models.model_file import load_model
from advaudio.training import folds
from advaudio.training.folds import TrainingResult, train_folds
from advaudio.training.job import TrainingJob


def trained(folder: Path, network: str, name: str = "model") -> TrainingResult:
    job = TrainingJob(
        pictures=folder / "pictures.npy",
        split=folder / "split.csv",
        model=f"tests.models.users_networks:{network}",
        classes=3,
        epochs=2,
        training=TrainingSettings(batch_size=16, learning_rate=0.01),
    )
    checkpoints = folder / f"{name}-checkpoints"
    return train_folds(job, folder / f"{name}.safetensors", device="cpu", checkpoint_folder=checkpoints)


@pytest.mark.parametrize("network", ["lazy", "made_at_first_use", "drawn_by_numpy_and_python"])
def test_one_process_and_two_train_the_same_bits(
    network: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "1")
    torch.manual_seed(1)
    alone = trained(data, network, "alone")
    monkeypatch.setenv("ADVAUDIO_WORKERS", "2")
    torch.manual_seed(2)
    together = trained(data, network, "together")
    pd.testing.assert_frame_equal(alone.curves, together.curves, check_exact=True)
    files = [(data / f"{name}.safetensors").read_bytes() for name in ("alone", "together")]
    assert files[0] == files[1]


@pytest.mark.parametrize("network", ["shared_blocks", "tied_weights", "weights_that_overlap"])
def test_modules_used_twice_train_and_come_back(
    network: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "1")
    result = trained(data, network)
    split = pd.read_csv(data / "split.csv")
    test = split[split[f"fold_{result.picked_fold}"] == "test"]
    pictures = torch.from_numpy(np.load(data / "pictures.npy")[test["sample"]])[:, None]
    predicted = load_model(data / "model.safetensors")(pictures).argmax(1).numpy()
    right = float((predicted == test["label"]).mean())
    assert result.folds.iloc[result.picked_fold]["test_accuracy"] == pytest.approx(right)


@pytest.mark.parametrize("network", ["softmax", "squeezed", "features_without_gradient", "float64_inside"])
def test_a_wrong_network_is_refused_before_any_training(
    network: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*arguments: Any) -> Any:
        raise AssertionError("training began")

    monkeypatch.setattr(folds, "map_ordered", too_late)
    with pytest.raises(AdvaudioError, match=f"The network tests.models.users_networks:{network} gives"):
        trained(data, network)
    assert not (data / "model-checkpoints").exists()
