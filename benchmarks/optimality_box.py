"""A model that counts the passes of every clip and remembers the nearest adversarial picture that it was shown."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from advaudio.attack_interface.base import perturbation_norm
from advaudio.attack_interface.problem import Goal, Norm

PASSES = 2000
"""Forward and backward passes for each clip of AttackBench's comparison (arXiv 2404.19460)."""
ROUNDING = 1e-6
"""By how much clean + difference may leave the bounds in float32."""


class Box(nn.Module):
    """A network behind which everything is counted, as in AttackBench: one forward or backward pass of a clip is one.

    An attack may ask about any of the clips at once. So that each row finds its clip, `pictures` carry one more
    feature, the clip's number as a value between 0 and 1, which the network never sees: its gradient is zero, so that
    no attack that follows a gradient moves it. What an attack computes from the number of features alone counts one more
    (of 16,384 at 128 × 128). Whoever always asks about all clips in order takes `clean` instead.

    Parameters
    ----------
    network
        Pictures (rows, channels, height, width) to logits (rows, classes).
    clean
        (N, channels, height, width) in [0, 1].
    goal
        What counts as success.
    norm
        Of the perturbations.
    passes
        What is found later than so many passes of a clip counts in `best`, not in `best_within`.

    Attributes
    ----------
    spent
        (N,) int64 passes of each clip so far.
    best, best_within
        (N,) smallest norm of an adversarial picture in [0, 1] so far, and within the first `passes`; ∞: none.
    """

    def __init__(
        self, network: nn.Module, clean: Tensor, goal: Goal, norm: Norm, *, passes: int = PASSES
    ) -> None:
        super().__init__()
        self.network, self.clean, self.goal, self.norm, self.passes = network, clean, goal, norm, passes
        self.spent = torch.zeros(len(clean), dtype=torch.int64, device=clean.device)
        self.best = clean.new_full((len(clean),), math.inf)
        self.best_within = self.best.clone()
        self._lost = torch.zeros((), dtype=torch.bool, device=clean.device)

    @property
    def pictures(self) -> Tensor:
        """The clean pictures with the clips' numbers: (N, 1, 1, features + 1)."""
        number = (torch.arange(len(self.clean), device=self.clean.device) + 0.5) / len(self.clean)
        return torch.cat((self.clean.flatten(1), number[:, None].to(self.clean)), 1)[:, None, None]

    def plain(self, pictures: Tensor) -> Tensor:
        """Pictures like `clean` of pictures like `pictures`."""
        return pictures.flatten(1)[:, :-1].reshape(-1, *self.clean.shape[1:])

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[1:] == self.clean.shape[1:]:
            if len(pictures) != len(self.clean):
                raise ValueError(f"{len(pictures)} pictures without numbers, of {len(self.clean)} clips")
            rows = torch.arange(len(pictures), device=pictures.device)
        else:
            place = pictures.detach().flatten(1)[:, -1].double() * len(self.clean) - 0.5
            rows = place.round().long().clamp(0, len(self.clean) - 1)
            self._lost |= ((place - rows).abs() > 0.1).any()
            pictures = self.plain(pictures)
        logits: Tensor = self.network(pictures)
        self._count(rows)
        self._take(rows, pictures.detach(), logits.detach())
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count(rows))
        return logits

    def require_found(self) -> None:
        """Refuse what was taken down if an attack changed the number of a clip.

        Raises
        ------
        RuntimeError
            If one did.
        """
        if bool(self._lost):
            raise RuntimeError("the attack changed the number of a clip; its passes cannot be told apart")

    def _count(self, rows: Tensor) -> None:
        self.spent.index_add_(0, rows, torch.ones_like(rows))

    @torch.no_grad()
    def _take(self, rows: Tensor, pictures: Tensor, logits: Tensor) -> None:
        within = ((pictures >= -ROUNDING) & (pictures <= 1 + ROUNDING)).flatten(1).all(1)
        valid = self.goal.select(rows).reached(logits) & logits.isfinite().all(1) & within
        size = perturbation_norm(pictures - self.clean[rows], self.norm)
        size = torch.where(valid, size, torch.inf).to(self.best.dtype)
        self.best[rows] = torch.minimum(self.best[rows], size)
        size = torch.where(self.spent[rows] <= self.passes, size, torch.inf)
        self.best_within[rows] = torch.minimum(self.best_within[rows], size)
