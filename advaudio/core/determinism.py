"""The same bits whatever the number of cores: everything that sees to it, from the environment to cuDNN.

Sums have one order if one thread adds them up. BLAS, OpenMP and Numba read their number of threads from the
environment as they start, so it is set before NumPy and PyTorch are imported: this module imports neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

AVX2_CODE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products; with AVX2 they differ between makers of CPUs
}
"""Each of these libraries adds up in vectors as long as the CPU has, and the length decides how sums are rounded."""

NUMPY_BEYOND_AVX2 = "X86_V4 AVX512_ICL AVX512_SPR"
"""What NumPy 2.4 and later call the instructions beyond AVX2 (AVX-512): there it takes logarithms and exponentials from
a library of Intel's, elsewhere from the C library, which rounds otherwise. A CPU without them ignores the setting."""
NUMPY_BEYOND_AVX2_BEFORE_2_4 = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def fix_this_process() -> None:
    """One numeric thread, and code for CPUs with AVX2, for this process and those that it starts.

    Libraries read their choice as they start. All x86-64 CPUs since Haswell (2013) have AVX2, so that they all make
    the same pictures with OpenBLAS's code for Haswell and NumPy's for AVX2, and the same networks with `AVX2_CODE`. A
    variable that is set already stays as it is.
    """
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    if not _has_avx2():
        return
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")
        os.environ.setdefault("NPY_DISABLE_CPU_FEATURES", _numpy_beyond_avx2())
    if "torch" not in sys.modules:
        for name, value in AVX2_CODE.items():
            os.environ.setdefault(name, value)


@contextmanager
def one_numeric_thread() -> Iterator[None]:
    """Make processes started inside use one thread in BLAS, OpenMP and Numba."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def one_blas_thread() -> Any:
    """A context in which BLAS of this process uses one thread."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    return threadpool_limits(limits=1)


@contextmanager
def exact_training(device: torch.device, deterministic: bool) -> Iterator[None]:
    """Inside: on the CPU one numeric thread; on CUDA that device, with deterministic kernels if asked for."""
    import torch

    if device.type == "cpu":
        with _one_torch_thread():
            yield
        return
    # cuBLAS reads this when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(deterministic)
    try:
        with _cudnn(deterministic=deterministic, benchmark=not deterministic), torch.cuda.device(device):
            yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def exact_attack(device: torch.device) -> Iterator[None]:
    """Inside: on the CPU one numeric thread; on CUDA deterministic kernels of cuDNN.

    cuDNN's autotuner stays off: the batches shrink, and every new size would be tuned again.
    """
    with _cudnn(deterministic=True, benchmark=False):
        if device.type == "cpu":
            with _one_torch_thread():
                yield
        else:
            yield


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _cudnn(*, deterministic: bool, benchmark: bool) -> Iterator[None]:
    import torch

    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = deterministic, benchmark
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark = before


def _numpy_beyond_avx2() -> str:
    """The setting that keeps the installed NumPy, which must not be imported yet, from AVX-512."""
    major, minor = (int(part) for part in version("numpy").split(".")[:2])
    return NUMPY_BEYOND_AVX2 if (major, minor) >= (2, 4) else NUMPY_BEYOND_AVX2_BEFORE_2_4


def _has_avx2() -> bool:
    """Whether this is an x86-64 CPU with AVX2, as Linux tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return {"avx2", "fma"} <= set(flags)
