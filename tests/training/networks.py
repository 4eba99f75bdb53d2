"""Tiny networks that plug in as `tests.training.networks:…`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """Convolution, batch normalisation, dropout, linear: trains in milliseconds."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.1)
        self.linear = nn.Linear(8 * ((height + 1) // 2) * ((width + 1) // 2), classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.convolution(x)))
        logits: Tensor = self.linear(self.dropout(x.flatten(1)))
        return logits


class Auxiliary(nn.Module):
    """A linear network with an auxiliary head in training mode."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.main = nn.Linear(height * width, classes)
        self.auxiliary = nn.Linear(height * width, classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x.flatten(1)
        logits: Tensor = self.main(x.tanh())
        return (logits, self.auxiliary(x)) if self.training else logits


class Exploding(nn.Module):
    """Gives NaN as soon as it trains."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(height * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.flatten(1))
        return logits * torch.nan if self.training else logits


class Plain(nn.Module):
    """Two convolutions and two linear layers, without normalisation or dropout."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        features = 32 * ((height + 1) // 2) * ((width + 1) // 2)
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, 1, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, classes)),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits
