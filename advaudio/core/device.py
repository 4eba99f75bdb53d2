"""Where tensors live: the meaning of the parameter `device`."""

from __future__ import annotations

import os

from advaudio.core.errors import AdvaudioError
from advaudio.core.gpu_claim import claim_one, one_gpu_wanted


def torch_devices(wanted: str) -> tuple[str, ...]:
    """Torch names of the devices for `auto`, `cpu` or `cuda`: every GPU there is, or the CPU.

    Where several experiments run at once (`advaudio.core.gpu_claim.one_gpu_wanted`), it is one GPU: one that no
    other such process has, as long as there is one.

    Raises
    ------
    AdvaudioError
        If `cuda` is wanted and PyTorch finds no usable GPU, or `wanted` is none of the three.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise AdvaudioError(f"The parameter device is {wanted!r}; it must be auto, cpu or cuda.")
    if wanted == "cpu":
        return ("cpu",)
    import torch

    if torch.cuda.is_available():
        names = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        if len(names) > 1 and one_gpu_wanted():
            return (names[claim_one(_identities(len(names)))],)
        return names
    if wanted == "cuda":
        raise AdvaudioError(
            "The parameter device is cuda, but PyTorch finds no usable GPU: check `nvidia-smi`, "
            "CUDA_VISIBLE_DEVICES, and that a CUDA build of torch is installed; or set device: cpu."
        )
    return ("cpu",)


def visible_gpus() -> tuple[str, ...]:
    """Values of CUDA_VISIBLE_DEVICES that give one process each one of the GPUs visible here."""
    import torch

    if not torch.cuda.is_available():
        return ()
    return _named() or tuple(str(index) for index in range(torch.cuda.device_count()))


def _named() -> tuple[str, ...]:
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return tuple(name.strip() for name in names if name.strip())


def _identities(count: int) -> tuple[str, ...]:
    """Names that mean the same GPU to every process of this machine, whatever CUDA_VISIBLE_DEVICES hides."""
    import torch

    return tuple(str(torch.cuda.get_device_properties(index).uuid) for index in range(count))
