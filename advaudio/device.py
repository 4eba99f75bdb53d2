"""Where tensors live: the meaning of the parameter `device`."""

from __future__ import annotations

from advaudio.errors import AdvaudioError


def torch_devices(wanted: str) -> tuple[str, ...]:
    """Torch names of the devices for `auto`, `cpu` or `cuda`: every GPU there is, or the CPU.

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
        return tuple(f"cuda:{index}" for index in range(torch.cuda.device_count()))
    if wanted == "cuda":
        raise AdvaudioError(
            "The parameter device is cuda, but PyTorch finds no usable GPU: check `nvidia-smi`, "
            "CUDA_VISIBLE_DEVICES, and that a CUDA build of torch is installed; or set device: cpu."
        )
    return ("cpu",)
