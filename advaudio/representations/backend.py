"""The few array operations that NumPy and PyTorch spell differently.

The transforms are written once over these: SciPy's FFT for NumPy arrays (fastest on a CPU), torch.fft
(cuFFT on a GPU) for tensors. PyTorch is imported only where a tensor or a torch device comes in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeAlias

import numpy as np
import scipy.fft

from advaudio.core.errors import AdvaudioError

Array: TypeAlias = Any
"""A numpy.ndarray or a torch.Tensor; a function returns the kind that it was given, on the same device."""

Parameters = ParamSpec("Parameters")
_scratch = threading.local()


def is_tensor(array: Array) -> bool:
    """Whether `array` is a torch.Tensor (PyTorch is not imported to find out)."""
    return type(array).__module__.partition(".")[0] == "torch"


def device_of(array: Array) -> str | None:
    """Torch name of the device that `array` lies on, None for a NumPy array."""
    return str(array.device) if is_tensor(array) else None


def to_device(array: np.ndarray[Any, Any], device: str | None) -> Array:
    """`array` as a tensor on `device`, or as it is for None."""
    if device is None:
        return array
    import torch

    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def constants(
    make: Callable[Parameters, np.ndarray[Any, Any]], keep: int = 16
) -> Callable[[str | None], Callable[Parameters, Array]]:
    """Keep what `make` returns on every device that asked for it: `constants(make)(device)(*arguments)`.

    The arguments must be hashable; the `keep` arrays used last are kept on each device.
    """

    @lru_cache(maxsize=8)
    def on(device: str | None) -> Callable[Parameters, Array]:
        @lru_cache(maxsize=keep)
        @wraps(make)
        def made(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Array:
            return to_device(make(*args, **kwargs), device)

        return made  # type: ignore[return-value]

    return on


def numeric_array(audio: Array) -> Array:
    """`audio` as float32 (float64 stays), at least one-dimensional and not empty.

    Raises
    ------
    AdvaudioError
        If it is empty, is no array of real numbers, or holds NaN or infinity.
    """
    if is_tensor(audio):
        if not audio.is_floating_point() or audio.dtype.itemsize < 4:
            audio = audio.float()
        finite = bool(audio.isfinite().all())
    else:
        audio = np.asarray(audio)
        if audio.dtype.kind not in "fiub":
            raise AdvaudioError(f"Audio must be real numbers, not {audio.dtype}; decode it first.")
        if audio.dtype not in (np.float32, np.float64):
            audio = audio.astype(np.float32)
        finite = bool(np.isfinite(audio).all())
    if audio.ndim == 0 or audio.shape[-1] == 0:
        raise AdvaudioError("Audio must have at least one sample on its last axis; drop the empty clip.")
    if not finite:
        raise AdvaudioError("Audio holds NaN or infinity; fix or drop the clip.")
    return audio


def rfft(array: Array, length: int) -> Array:
    """One-sided spectrum of the last axis, cut or zero-padded to `length` samples."""
    if is_tensor(array):
        import torch

        return torch.fft.rfft(array, n=length)
    return scipy.fft.rfft(array, n=length)


def irfft(array: Array, length: int) -> Array:
    """Inverse of `rfft`: real, `length` samples."""
    if is_tensor(array):
        import torch

        return torch.fft.irfft(array, n=length)
    return scipy.fft.irfft(array, n=length)


def as_real(array: Array) -> Array:
    """View complex (..., n) as real (..., 2n): real and imaginary parts in turn."""
    if is_tensor(array):
        import torch

        return torch.view_as_real(array).flatten(-2)
    return array.view(np.float64 if array.dtype == np.complex128 else np.float32)


def as_complex(array: Array) -> Array:
    """Inverse of `as_real`."""
    if is_tensor(array):
        import torch

        return torch.view_as_complex(array.unflatten(-1, (-1, 2)))
    return array.view(np.complex128 if array.dtype == np.float64 else np.complex64)


def log10(array: Array) -> Array:
    """Common logarithm."""
    return array.log10() if is_tensor(array) else np.log10(array)


def log2(array: Array) -> Array:
    """Logarithm to base 2."""
    return array.log2() if is_tensor(array) else np.log2(array)


def amax(array: Array, axes: int | Sequence[int]) -> Array:
    """Maximum over `axes`, which stay with length 1."""
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    return array.amax(dim=axes, keepdim=True) if is_tensor(array) else array.max(axis=axes, keepdims=True)


def clip(array: Array, low: float | None, high: float | None) -> Array:
    """Limit values to [low, high]."""
    return array.clamp(low, high) if is_tensor(array) else np.clip(array, low, high)


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    """Join arrays along `axis`."""
    if is_tensor(arrays[0]):
        import torch

        return torch.cat(list(arrays), dim=axis)
    return np.concatenate(arrays, axis=axis)


def contiguous(array: Array, axes: Sequence[int]) -> Array:
    """Copy with its axes in the order of `axes`, also in memory."""
    if is_tensor(array):
        return array.permute(*axes).contiguous()
    return np.array(array.transpose(axes), order="C")


def matmul(left: Array, right: Array) -> Array:
    """Matrix product, which the same thread's next call may overwrite.

    NumPy would ask the system for the memory of every large result, which takes as long as computing it.
    """
    if is_tensor(left):
        return left @ right
    shape = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    kind = np.result_type(left, right)
    size = int(np.prod(shape)) * kind.itemsize
    memory = getattr(_scratch, "memory", None)
    if memory is None or memory.size < size:
        memory = _scratch.memory = np.empty(size, dtype=np.uint8)
    return np.matmul(left, right, out=memory[:size].view(kind).reshape(shape))


def typed(constant: Array, array: Array) -> Array:
    """`constant` in the floating type of `array`, as a matrix product of tensors demands."""
    return constant.to(array.dtype) if is_tensor(array) else constant


def stack(arrays: Sequence[Array], axis: int) -> Array:
    """Join arrays of one shape along a new `axis`."""
    if is_tensor(arrays[0]):
        import torch

        return torch.stack(list(arrays), dim=axis)
    return np.stack(arrays, axis=axis)


def double(array: Array) -> Array:
    """`array` as float64."""
    return array.double() if is_tensor(array) else np.asarray(array, dtype=np.float64)


def single(array: Array) -> Array:
    """`array` as float32."""
    return array.float() if is_tensor(array) else np.asarray(array, dtype=np.float32)


def indices(condition: Array) -> tuple[Array, ...]:
    """Indices where `condition` holds, one array per axis, in order."""
    return condition.nonzero(as_tuple=True) if is_tensor(condition) else np.nonzero(condition)


def bins_of(values: Array, edges: Array) -> Array:
    """Number of the bin [edges[i], edges[i + 1]) that each value, none below edges[0], lies in."""
    if is_tensor(values):
        import torch

        return torch.searchsorted(edges, values, right=True) - 1
    return np.searchsorted(edges, values, side="right") - 1


def count(numbers: Array, kinds: int) -> Array:
    """How often each of 0, …, kinds − 1 occurs among `numbers`."""
    return numbers.bincount(minlength=kinds) if is_tensor(numbers) else np.bincount(numbers, minlength=kinds)


def first_maximum(array: Array) -> Array:
    """Index of the first maximum along the last axis."""
    if is_tensor(array):
        # torch.argmax may return any of several equal maxima.
        return (array == array.amax(dim=-1, keepdim=True)).int().cumsum(-1).eq(0).sum(-1)
    return array.argmax(axis=-1)


def median_of_groups(values: Array, groups: Array, number: int) -> Array:
    """Median of the values of each group: shape (number,), 0 for an empty group.

    `groups` holds the group number of each value, ascending; an even count gives the mean of the middle two.
    """
    sizes = count(groups, number)
    starts = sizes.cumsum(0) - sizes
    if not is_tensor(values):
        pieces = np.split(values, starts[1:])
        return np.array([np.median(piece) if len(piece) else 0.0 for piece in pieces])
    if len(values) == 0:
        return sizes * 0.0
    order = values.argsort(stable=True)
    values = values[order[groups[order].argsort(stable=True)]]
    last = len(values) - 1
    low = clip(starts + (sizes - 1) // 2, 0, last)
    high = clip(starts + sizes // 2, 0, last)
    return (values[low] + values[high]) / 2 * (sizes > 0)


def where(condition: Array, yes: Array, no: float) -> Array:
    """`yes` where `condition` holds, else the number `no`."""
    if is_tensor(yes):
        return yes.masked_fill(~condition, no)
    return np.where(condition, yes, np.asarray(no, dtype=yes.dtype))


def to_length(audio: Array, length: int, before: int = 0) -> Array:
    """Put `before` zeros in front of the last axis and cut or zero-pad it to `length` in all."""
    kept = audio[..., : max(0, length - before)]
    after = length - before - kept.shape[-1]
    if before == 0 and after == 0:
        return kept
    if is_tensor(kept):
        import torch

        return torch.nn.functional.pad(kept, (before, after))
    return np.pad(kept, [(0, 0)] * (kept.ndim - 1) + [(before, after)])


def frames(audio: Array, length: int, hop: int) -> Array:
    """View (..., samples) as overlapping frames (..., frames, length), without a copy."""
    if is_tensor(audio):
        return audio.unfold(-1, length, hop)
    return np.lib.stride_tricks.sliding_window_view(audio, length, axis=-1)[..., ::hop, :]
