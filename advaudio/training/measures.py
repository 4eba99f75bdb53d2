"""What a model gets right: accuracy, class-balanced accuracy, confusion matrix, and accuracy under PGD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from advaudio.clips.split_table import Rows
from advaudio.models.classifier import Classifier
from advaudio.models.pgd import pgd
from advaudio.training.pictures import PictureBatches, cut

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Score:
    """What a model makes of some clips.

    Parameters
    ----------
    loss
        Mean cross-entropy.
    confusion
        (classes, classes) counts; row = true class, column = predicted class.
    """

    loss: float
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of clips classified correctly."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' own accuracies, over the classes that have clips."""
        totals = self.confusion.sum(axis=1)
        present = totals > 0
        return float(np.mean(np.diag(self.confusion)[present] / totals[present]))


def score(
    model: Classifier, pictures: PictureBatches, rows: Rows, classes: int, bfloat16: bool = False
) -> Score:
    """Score `model` on the pictures `rows`; the model is left in evaluation mode."""
    model.eval()
    device = pictures.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    pairs = []
    with torch.no_grad():
        for x, y in pictures.batches(cut(rows, EVALUATION_BATCH)):
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                logits = model(x)
            logits = logits.float()
            loss += functional.cross_entropy(logits, y, reduction="none").double().sum()
            pairs.append(y * classes + logits.argmax(1))
    confusion = np.bincount(torch.cat(pairs).cpu().numpy(), minlength=classes * classes)
    return Score(float(loss) / len(rows), confusion.reshape(classes, classes))


def pgd_accuracies(
    model: Classifier, pictures: PictureBatches, rows: Rows, epsilons: Sequence[float], steps: int
) -> list[float]:
    """Accuracy under untargeted L∞ PGD (see `models.pgd`) within each bound of `epsilons`, in their order.

    A clip counts as wrong within ε if it is wrong unperturbed or if the attack within ε, or within a smaller
    bound, succeeds: what lies within a smaller bound lies within ε. Only clips that are still right are
    attacked, from the smallest bound to the largest. The model is left in evaluation mode.
    """
    model.eval()
    if not epsilons:
        return []
    right = rows
    shares: dict[float, float] = {}
    cudnn = torch.backends.cudnn
    tuned = cudnn.benchmark
    # The batches shrink, and cuDNN would tune itself again for every size.
    cudnn.benchmark = False
    try:
        for epsilon in (0.0, *sorted(set(epsilons))):
            held = []
            for x, y in pictures.batches(cut(right, EVALUATION_BATCH)):
                point = pgd(model, x, y, epsilon, steps) if epsilon else x
                with torch.no_grad():
                    held.append(model(point).argmax(1) == y)
            if held:
                right = right[torch.cat(held).cpu().numpy()]
            shares[epsilon] = len(right) / len(rows)
    finally:
        cudnn.benchmark = tuned
    return [shares[epsilon] for epsilon in epsilons]
