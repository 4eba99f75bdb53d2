"""Starting points come from all parts of the data, nearest first, and only where the model agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advaudio.evaluation import starting_points as module
from advaudio.evaluation.starting_points import Candidates, starting_points


class ByBrightness(nn.Module):
    """Three classes by the mean value: below 0.3, below 0.6, above; counts the pictures that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Parameter(torch.tensor([0.3, 0.6]))

    def forward(self, x: Tensor) -> Tensor:
        label = (x.flatten(1).mean(1)[:, None] > self.edges).sum(1)
        return -(torch.arange(3) - label[:, None]).float().abs() - x.flatten(1).mean(1, keepdim=True)


def flat(values: list[float]) -> np.ndarray:
    return np.tile(np.array(values, dtype=np.float32)[:, None, None], (1, 4, 5))


ATTACKED = flat([0.1, 0.2])


def test_nearest_candidate_of_the_target_class_that_the_model_takes_for_it() -> None:
    # The nearest of class 1 (0.29) is taken for class 0, the nearest taken for class 1 (0.31) is of class 2.
    candidates = Candidates(flat([0.29, 0.5, 0.45, 0.31, 0.9]), np.array([1, 1, 1, 2, 2]))
    starts = starting_points(ByBrightness(), ATTACKED, np.array([1, 2]), candidates)
    np.testing.assert_array_equal(starts, flat([0.45, 0.9]))


def test_another_class_stands_in_only_where_the_model_takes_no_own_clip() -> None:
    candidates = Candidates(flat([0.1, 0.2, 0.55, 0.5]), np.array([1, 1, 2, 2]))
    starts = starting_points(ByBrightness(), ATTACKED, np.array([1, 2]), candidates)
    np.testing.assert_array_equal(starts[0], flat([0.5])[0])
    assert np.isnan(starts[1]).all()


def test_rows_select_among_the_pictures_and_blocks_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    pictures = generator.random((60, 4, 5), dtype=np.float32)
    np.save(tmp_path / "pictures.npy", pictures)
    mapped = np.load(tmp_path / "pictures.npy", mmap_mode="r")
    model = ByBrightness()
    with torch.no_grad():
        model.edges.copy_(torch.tensor([0.48, 0.52]))
    mean = torch.as_tensor(pictures).flatten(1).mean(1)
    labels = (mean[:, None] > model.edges).sum(1).numpy()
    rows = np.arange(5, 60, 2)
    attacked, targets = pictures[:5], (labels[:5] + 1) % 3
    expected = []
    for picture, target in zip(attacked, targets, strict=True):
        usable = [row for row in rows if labels[row] == target]
        expected.append(pictures[min(usable, key=lambda row: np.square(pictures[row] - picture).sum())])
    candidates = Candidates(mapped, labels[rows], rows)
    np.testing.assert_array_equal(starting_points(model, attacked, targets, candidates), np.stack(expected))
    monkeypatch.setattr(module, "BLOCK", 3)
    np.testing.assert_array_equal(starting_points(model, attacked, targets, candidates), np.stack(expected))


def test_few_candidates_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    predict = module.predict

    def counted(source: nn.Module, pictures: np.ndarray, device: str) -> np.ndarray:
        asked.append(len(pictures))
        result: np.ndarray = predict(source, pictures, device)
        return result

    monkeypatch.setattr(module, "predict", counted)
    candidates = Candidates(flat(np.linspace(0.35, 0.55, 400).tolist()), np.ones(400, dtype=np.int64))
    starting_points(ByBrightness(), ATTACKED, np.array([1, 1]), candidates)
    assert sum(asked) <= 2
