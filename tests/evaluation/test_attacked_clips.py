"""Which clips are attacked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.evaluation.attacked_clips import AttackedClips, read_attacked_clips
from advaudio.models.model_file import save_model
from advaudio.models.registry import build_model

CLIPS = 30


@pytest.fixture
def files(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    np.save(tmp_path / "pictures.npy", random.random((CLIPS, 16, 17), dtype=np.float32))
    rows = np.arange(CLIPS)
    parts = {
        f"fold_{fold}": ["test" if (row < 10) == (fold == 0) else "train" for row in rows[:-1]]
        + ["validation"]
        for fold in (0, 1)
    }
    pd.DataFrame({"sample": rows, "label": rows % 2, **parts}).to_csv(tmp_path / "split.csv", index=False)
    for name, fold in (("original", 1), ("robust", 1), ("other", 0)):
        metadata = {"model": "resnet56", "classes": 2, "repeat": 0, "fold": fold, "seed": 0}
        save_model(build_model("resnet56", 2, (16, 17)), tmp_path / f"{name}.safetensors", metadata)
    return tmp_path


def read(folder: Path, robust: str = "robust", at_most: int | None = None, seed: int = 0) -> AttackedClips:
    names = ("pictures.npy", "split.csv", "original.safetensors", f"{robust}.safetensors")
    return read_attacked_clips(*(folder / name for name in names), at_most=at_most, seed=seed)


def test_all_test_clips_of_the_models_fold(files: Path) -> None:
    clips = read(files)
    np.testing.assert_array_equal(clips.samples, np.arange(10, CLIPS - 1))
    np.testing.assert_array_equal(clips.labels, clips.samples % 2)
    np.testing.assert_array_equal(clips.pictures, np.load(files / "pictures.npy")[clips.samples])


def test_a_few_are_drawn_with_the_seed_and_are_not_the_first(files: Path) -> None:
    few, again, other = (read(files, at_most=7, seed=seed).samples for seed in (3, 3, 4))
    np.testing.assert_array_equal(few, again)
    assert len(few) == len(set(few)) == 7
    assert set(few) <= set(range(10, CLIPS - 1))
    assert (np.diff(few) > 0).all()
    assert few.max() > 16
    assert not np.array_equal(few, other)
    assert len(read(files, at_most=500).samples) == CLIPS - 11


def test_models_of_different_folds_are_refused(files: Path) -> None:
    with pytest.raises(AdvaudioError, match="cannot be compared: `fold` is 1 and 0"):
        read(files, robust="other")
