"""What is checked before an attack that takes minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advaudio.core.determinism import exact_attack
from advaudio.core.errors import AdvaudioError
from advaudio.evaluation.model_source import ModelSource, load
from advaudio.models.logits import why_no_logits

BATCH = 64
FEW = 16


def predict(source: ModelSource, pictures: NDArray[Any], device: str = "cpu") -> NDArray[Any]:
    """Logits (N, classes) of pictures (N, height, width) in [0, 1], after the cheap checks.

    Raises
    ------
    AdvaudioError
        If pictures leave [0, 1], the output is no (N, classes) of finite logits with at least two classes,
        the model gives one picture two answers (it is random, or not in evaluation mode), or its outputs are
        probabilities or saturate.
    """
    name = source if isinstance(source, Path) else type(source).__name__
    whole = np.asarray(pictures, dtype=np.float32)
    if not (np.isfinite(whole).all() and whole.min() >= 0 and whole.max() <= 1):
        raise AdvaudioError(
            f"The test pictures leave [0, 1] (lowest {whole.min()}, highest {whole.max()}); "
            "the attacks need pictures as the representations make them."
        )
    torch_device = torch.device(device)
    model = load(source, device)
    parts = []
    with exact_attack(torch_device), torch.no_grad():
        for start in range(0, len(whole), BATCH):
            batch = torch.as_tensor(whole[start : start + BATCH], device=torch_device)[:, None]
            logits = model(batch)
            if start == 0:
                again = model(batch)
                if logits.ndim != 2 or logits.shape[1] < 2:
                    raise AdvaudioError(
                        f"The model {name} returns shape {tuple(logits.shape)}, not (N, classes)."
                    )
                if not torch.allclose(logits, again, rtol=1e-3, atol=1e-3):
                    raise AdvaudioError(
                        f"The model {name} gives the same pictures different logits; it must not be random."
                    )
                _require_logits(model, batch[:FEW], logits[:FEW], str(name))
            parts.append(logits.float().cpu().numpy())
    result = np.concatenate(parts)
    if not np.isfinite(result).all():
        raise AdvaudioError(f"The model {name} returns logits that are not finite; train it again.")
    return result


def share_without_gradient(model: nn.Module, pictures: Tensor, labels: Tensor) -> float:
    """Share of pictures (N, 1, height, width) on which the cross-entropy has no gradient at all in float32.

    A confident model has such pictures; only attacks with a target find a way there.

    Raises
    ------
    AdvaudioError
        If a gradient is not finite, or the outputs are probabilities or saturate.
    """
    with torch.no_grad():
        few = pictures[:FEW]
        _require_logits(model, few, model(few), type(model).__name__)
    missing = 0
    for batch, answer in zip(pictures.split(BATCH), labels.split(BATCH), strict=True):
        point = batch.detach().clone().requires_grad_(True)
        loss = nn.functional.cross_entropy(model(point), answer, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        flat = gradient.flatten(1)
        if not bool(flat.isfinite().all()):
            raise AdvaudioError(
                f"The model {type(model).__name__} has gradients that are not finite, so no attack can follow them. "
                "Correct the network (a root or a logarithm of zero?), or train it again."
            )
        missing += int((flat.abs().amax(1) == 0).sum())
    return missing / len(pictures)


def _require_logits(model: nn.Module, pictures: Tensor, logits: Tensor, name: str) -> None:
    reason = why_no_logits(model, pictures, logits)
    if reason:
        raise AdvaudioError(f"The model {name} {'. '.join(reason)}, and train it again.")
