"""What is checked before an attack that takes minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from advaudio.errors import AdvaudioError
from advaudio.evaluation.chunk import ModelSource, load, reproducible
from advaudio.evaluation.fooling_curve import Array

BATCH = 64


def predict(source: ModelSource, pictures: Array, device: str = "cpu") -> Array:
    """Logits (N, classes) of pictures (N, height, width) in [0, 1], after the cheap checks.

    Raises
    ------
    AdvaudioError
        If pictures leave [0, 1], the output is no (N, classes) of finite logits with at least two classes,
        or the model gives one picture two answers (it is random, or not in evaluation mode).
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
    with reproducible(torch_device), torch.no_grad():
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
            parts.append(logits.float().cpu().numpy())
    result = np.concatenate(parts)
    if not np.isfinite(result).all():
        raise AdvaudioError(f"The model {name} returns logits that are not finite; train it again.")
    return result


def check_model(
    source: ModelSource,
    pictures: Array,
    labels: Array,
    *,
    expected_accuracy: float | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """Check a model before it is attacked.

    Parameters
    ----------
    pictures, labels
        (N, height, width) in [0, 1], and (N,).
    expected_accuracy
        Accuracy (0 to 1) that the training stage measured on the same pictures; None: not compared.

    Returns
    -------
    dict
        `accuracy`; `zero_gradient_share`: share of up to 64 pictures on which the cross-entropy has no
        gradient at all in float32 (confident models; targeted attacks do not suffer).

    Raises
    ------
    AdvaudioError
        See `predict`; or if the accuracy is not the expected one, or a gradient is not finite.
    """
    name = source if isinstance(source, Path) else type(source).__name__
    accuracy = float((predict(source, pictures, device).argmax(1) == np.asarray(labels)).mean())
    # One clip more or less may flip with another device's rounding.
    if expected_accuracy is not None and abs(accuracy - expected_accuracy) > 1.5 / len(labels):
        raise AdvaudioError(
            f"The model {name} has accuracy {accuracy:.4f} on the test pictures, but training measured "
            f"{expected_accuracy:.4f}. The pictures or the model file changed; run `dvc repro`."
        )
    torch_device = torch.device(device)
    model = load(source, device)
    with reproducible(torch_device):
        batch = torch.as_tensor(np.asarray(pictures[:BATCH], dtype=np.float32), device=torch_device)[:, None]
        batch.requires_grad_(True)
        answer = torch.as_tensor(np.asarray(labels[:BATCH]), device=torch_device, dtype=torch.int64)
        loss = torch.nn.functional.cross_entropy(model(batch), answer, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, batch)
    flat = gradient.flatten(1)
    if not bool(flat.isfinite().all()):
        raise AdvaudioError(f"The model {name} has gradients that are not finite; it cannot be attacked.")
    return {
        "accuracy": accuracy,
        "zero_gradient_share": float((flat.abs().amax(1) == 0).float().mean().item()),
    }
