"""What a black-box attack may see of a model."""

from __future__ import annotations

import torch
from torch import Tensor

from advaudio.attack_interface.base import Model
from advaudio.core.errors import AdvaudioError


class TopKOracle:
    """Answers queries with the `k` most likely labels and their log-probabilities, and counts them.

    Nothing that leaves the oracle carries a graph, so a gradient cannot be had through it.

    Parameters
    ----------
    model
        Callable from pictures to logits.
    k
        How many of the best labels are returned; more than there are classes returns all.

    Attributes
    ----------
    queries
        Pictures asked about so far.
    rows_of_one_pass
        Most pictures in one forward pass.
    """

    def __init__(self, model: Model, k: int, *, rows_of_one_pass: int = 8192) -> None:
        if k < 1:
            raise AdvaudioError(f"The oracle's top_k is {k}; it must return at least one label.")
        self._model = model
        self._k = k
        self.rows_of_one_pass = rows_of_one_pass
        self.queries = 0

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels (N, k) and log-probabilities (N, k), best first."""
        labels, scores = [], []
        for part in pictures.detach().split(self.rows_of_one_pass):
            log_probability = self._model(part).float().log_softmax(1)
            best = log_probability.topk(min(self._k, log_probability.shape[1]), dim=1)
            labels.append(best.indices)
            scores.append(best.values)
        self.queries += len(pictures)
        return torch.cat(labels), torch.cat(scores)

    def target_score(self, pictures: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of each picture's target, -inf if it is not returned, and whether it is the best.

        Parameters
        ----------
        pictures
            (N, channels, height, width).
        targets
            (N,) int64.
        """
        labels, scores = self(pictures)
        same = labels == targets[:, None]
        score = torch.where(same.any(1), (scores.masked_fill(~same, 0.0)).sum(1), -torch.inf)
        return score, labels[:, 0] == targets
