"""The optimiser and its one-cycle schedule."""

from __future__ import annotations

import math

import torch
from torch import nn

from advaudio.core.settings import TrainingSettings

FINAL_SHARE = 1e-3


def build_optimiser(model: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov momentum 0.9; only weights of two dimensions and more decay."""
    assert settings.learning_rate is not None
    assert settings.weight_decay is not None
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {
            "params": [parameter for parameter in parameters if parameter.ndim > 1],
            "weight_decay": settings.weight_decay,
        },
        {"params": [parameter for parameter in parameters if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    on_cuda = parameters[0].is_cuda
    # A tensor is read each time a CUDA graph is replayed, a float only when it is recorded.
    rate = (
        torch.tensor(settings.learning_rate, device=parameters[0].device)
        if on_cuda
        else settings.learning_rate
    )
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=rate, fused=True, capturable=on_cuda)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` from the next step on."""
    for group in optimiser.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def one_cycle(step: int, steps: int, peak: float, warm_up: float) -> float:
    """Learning rate of step 0 … steps − 1: linear up to `peak`, then a cosine down to `peak`/1000."""
    rising = int(warm_up * steps)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    position = (step - rising) / max(1, steps - 1 - rising)
    return peak * (FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * position)) / 2)
