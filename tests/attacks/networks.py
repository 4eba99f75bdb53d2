"""Small networks on which the attacks are tested."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """logits = W x + b on flattened pictures."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T + self.bias


class RoundsAnew(nn.Module):
    """Every pass is rounded differently, by about `share` of the scores, as on a GPU."""

    def __init__(self, network: nn.Module, share: float) -> None:
        super().__init__()
        self.network, self.share = network, share
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        noise = torch.randn(logits.shape, generator=self.generator)
        return logits * (1 + self.share * noise)


class NoBackward(torch.autograd.Function):
    """The identity, whose backward raises."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        raise RuntimeError("a black-box attack asked for a gradient")


class BlackBox(nn.Module):
    """A network that refuses gradients."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = NoBackward.apply(self.network(x))
        return logits


class RootOfZero(nn.Module):
    """Its scores are those of the network, its gradient is no number."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits + (0 * x).sqrt().flatten(1).sum(1, keepdim=True)


def linear_case(
    seed: int, *, samples: int = 24, classes: int = 5, size: int = 6
) -> tuple[Linear, Tensor, Tensor]:
    """A linear model, pictures well inside [0, 1] and the labels that the model gives them."""
    generator = np.random.default_rng(seed)
    features = size * size
    weight = torch.tensor(generator.normal(size=(classes, features)), dtype=torch.float32) / features**0.5
    bias = torch.tensor(generator.normal(size=classes), dtype=torch.float32) * 0.1
    model = Linear(weight, bias).eval()
    pictures = torch.tensor(generator.uniform(0.4, 0.6, (samples, 1, size, size)), dtype=torch.float32)
    return model, pictures, model(pictures).argmax(1)


def trained_network(size: int = 12, classes: int = 4, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """A small convolutional network trained on blobs, with pictures and labels that it gets right."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (400,), generator=generator)
    pictures = torch.rand(400, 1, size, size, generator=generator) * 0.35
    half = size // 2
    for row, label in enumerate(labels.tolist()):
        top, left = divmod(label, 2)
        pictures[row, 0, top * half : (top + 1) * half, left * half : (left + 1) * half] += 0.25
    pictures = pictures.clamp(0, 1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (size // 4) ** 2, classes),
        )
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(pictures), labels).backward()
        optimiser.step()
    model.eval().requires_grad_(False)
    right = (model(pictures).argmax(1) == labels).nonzero().squeeze(1)[:32]
    assert len(right) == 32
    return model, pictures[right], labels[right]
