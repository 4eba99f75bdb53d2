"""Data to train tiny networks on, with one numeric thread."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.threads import one_thread as one_thread


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with `pictures.npy` (90 of 16×16, three easy classes) and `split.csv` (three folds)."""
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    pictures = generator.uniform(0.2, 0.5, (90, 16, 16)).astype(np.float32)
    for row, label in enumerate(labels):
        pictures[row, 5 * label : 5 * label + 5] += 0.3
    np.save(tmp_path / "pictures.npy", pictures)
    table = pd.DataFrame({"sample": range(90), "clip": [f"clip{row}" for row in range(90)], "label": labels})
    part = generator.permutation(90) % 4
    for fold in range(3):
        table[f"fold_{fold}"] = np.select([part == 3, part == fold], ["test", "validation"], "train")
    table.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path
