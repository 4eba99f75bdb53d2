"""Two models and pictures for the evaluation's tests; top-level, so that worker processes can import them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from advaudio.robustness.fooling_curve import Array

CLASSES, SIZE = 4, 8


class Blobs(nn.Module):
    """Which quarter is brightest: logits = sharpness · mean of each quarter, (N, 4)."""

    def __init__(self, sharpness: float, smoothing: float = 0.0) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.smoothing = smoothing

    def forward(self, x: Tensor) -> Tensor:
        quarters = nn.functional.avg_pool2d(x, SIZE // 2).flatten(1)
        return self.sharpness * (quarters + self.smoothing * quarters.square())


def pictures_and_labels(clips: int = 40, seed: int = 0) -> tuple[Array, Array]:
    """Pictures (clips, 8, 8) whose quarter `label` is brighter by 0.02 to 0.2; every tenth label is wrong."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(CLASSES, size=clips)
    pictures = generator.uniform(0.3, 0.5, (clips, SIZE, SIZE)).astype(np.float32)
    half = SIZE // 2
    for row, label in enumerate(labels):
        top, left = divmod(int(label), 2)
        block = pictures[row, top * half : (top + 1) * half, left * half : (left + 1) * half]
        block += np.float32(0.05 + generator.uniform(0.02, 0.2))
    labels[::10] = (labels[::10] + 1) % CLASSES
    return pictures, labels
