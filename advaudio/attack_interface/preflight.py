"""What is asked of a model that comes through Foolbox's interface, before an attack on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from advaudio.attack_interface.scaling import is_low
from advaudio.core.errors import AdvaudioError
from advaudio.models.logits import SUM_TOLERANCE, are_probabilities


def require_logits(model: Any, pictures: Tensor) -> None:
    """Refuse a Foolbox model that cannot take such pictures, or whose outputs are probabilities.

    Raises
    ------
    AdvaudioError
        Saying what to do.
    """
    low, high = model.bounds
    some = pictures[:8]
    generator = torch.Generator().manual_seed(0)
    noise = (low + (high - low) * torch.rand(some.shape, generator=generator)).to(some)
    try:
        with torch.no_grad():
            outputs = torch.cat([model(some), model(noise)])
    except RuntimeError as error:
        raise AdvaudioError(
            f"The model cannot take pictures of {pictures.dtype} on {pictures.device}: {error}. "
            "Convert the pictures to the model's precision and device."
        ) from error
    # Rounded to 8 bits, a hundred probabilities miss their sum by more.
    if are_probabilities(outputs, 2e-2 if is_low(outputs.dtype) else SUM_TOLERANCE):
        raise AdvaudioError(
            "The model gives probabilities (rows that are not negative and sum to 1). Attacks need logits, and would call "
            "the model more robust than it is: remove the softmax at its end."
        )
