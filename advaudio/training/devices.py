"""Which devices train, and how exactly they repeat themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from advaudio.errors import AdvaudioError


def training_devices(device: str) -> tuple[str, ...]:
    """Torch names of the devices that folds are dealt to, for the parameter `device` (auto, cpu or cuda).

    Raises
    ------
    AdvaudioError
        If `cuda` is asked for and there is no GPU that torch can use.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise AdvaudioError(f"Parameter `device` is {device!r}; it must be auto, cpu or cuda.")
    gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    if device == "cuda" and not gpus:
        raise AdvaudioError(
            "Parameter `device` is cuda, but torch finds no usable GPU: check `nvidia-smi`, "
            "CUDA_VISIBLE_DEVICES, and that a CUDA build of torch is installed; or set `device: cpu`."
        )
    return tuple(f"cuda:{index}" for index in range(gpus)) or ("cpu",)


@contextmanager
def exact_numerics(device: torch.device, deterministic: bool) -> Iterator[None]:
    """Inside: on the CPU one numeric thread; on CUDA that device, with deterministic kernels if asked for."""
    if device.type == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
        return
    # cuBLAS reads this when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = not deterministic
    try:
        with torch.cuda.device(device):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.deterministic = before[1]
        torch.backends.cudnn.benchmark = before[2]
