"""From power to a picture in [0, 1]: decibels below the clip's maximum, then an antialiased resize."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from advaudio.core.errors import AdvaudioError
from advaudio.representations.backend import Array, amax, clip, constants, device_of, log10, typed, where

Filter = Literal["triangle", "box"]
Size = tuple[int, int]


def decibel_picture(power: Array, dynamic_range: float) -> Array:
    """Map power to [0, 1]: 1 is the clip's maximum, 0 is `dynamic_range` dB below it or less.

    Parameters
    ----------
    power
        Shape (..., bins, frames), at least 0, any scale.
    dynamic_range
        Decibels between 0 and 1 of the picture, above 0; a step of x in the picture is x·dynamic_range dB.

    Returns
    -------
    Shape and type of `power`. The reference is the maximum of each clip over bins and frames; silence has
    none and gives a picture of zeros.
    """
    reference = amax(power, (-2, -1))
    sounding = reference > 0
    floor = 10.0 ** (-dynamic_range / 10)
    ratio = clip(power / where(sounding, reference, 1.0), floor, 1.0)
    return where(sounding, clip(1 + log10(ratio) * (10 / dynamic_range), 0.0, 1.0), 0.0)


def _resize_matrix(output: int, source: int, filter: Filter) -> np.ndarray[Any, Any]:
    """Weights (output, source), float32, of a separable antialiased resize; rows sum to 1.

    The filter is stretched by the reduction factor, and never narrower than one source pixel: as in Pillow
    and in PyTorch's `interpolate(mode="bilinear", antialias=True)`.
    """
    scale = source / output
    stretch = max(scale, 1.0)
    # Pixel i covers [i, i + 1); both grids span the same extent, edge to edge.
    centres = (np.arange(output) + 0.5) * scale
    distance = np.abs((np.arange(source) + 0.5)[None, :] - centres[:, None]) / stretch
    if filter == "triangle":
        weights = np.clip(1 - distance, 0, None)
    elif scale > 1:
        edges = np.arange(output + 1) * scale
        low = np.maximum(edges[:-1, None], np.arange(source)[None, :])
        high = np.minimum(edges[1:, None], np.arange(1, source + 1)[None, :])
        weights = np.clip(high - low, 0, None)
    else:
        weights = np.zeros((output, source))
        weights[np.arange(output), np.floor(centres).astype(int)] = 1
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


_resize_weights = constants(_resize_matrix)


def resize(pictures: Array, size: Size, *, rows: Filter = "triangle", columns: Filter = "triangle") -> Array:
    """Resize (..., height, width) to (..., *size), antialiased; values keep their range.

    Parameters
    ----------
    size
        (height, width).
    rows, columns
        "triangle" interpolates linearly (stretched when reducing); "box" averages areas when reducing and
        repeats when enlarging, for rows that are not neighbours in any sense.
    """
    height, width = size
    device = device_of(pictures)
    if width != pictures.shape[-1]:
        weights = _resize_weights(device)(width, pictures.shape[-1], columns)
        pictures = pictures @ typed(weights, pictures).T
    if height != pictures.shape[-2]:
        weights = _resize_weights(device)(height, pictures.shape[-2], rows)
        pictures = typed(weights, pictures) @ pictures
    return pictures


def unit_picture(values: Array, size: Size, *, rows: Filter = "triangle") -> Array:
    """`resize` of values in [0, 1], without the rounding errors that would leave that range."""
    return clip(resize(values, size, rows=rows), 0.0, 1.0)


def check_size(size: Size, name: str) -> Size:
    """Return `size` as two ints of at least 1, or raise an AdvaudioError that names the parameter."""
    if len(size) != 2 or not all(isinstance(side, int | np.integer) and side >= 1 for side in size):
        raise AdvaudioError(f"{name} is {size!r}; it must be [height, width], whole numbers of at least 1.")
    return int(size[0]), int(size[1])


def check_positive(**values: float) -> None:
    """Raise an AdvaudioError that names the first value that is not a finite number above 0."""
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise AdvaudioError(f"{name} is {value!r}; it must be a number above 0.")


def row_centres(values: np.ndarray[Any, Any], height: int) -> list[float]:
    """What each of `height` picture rows stands for, where the unresized rows stand for `values`.

    Linear interpolation of `values` (of their logarithm if they are all above 0) at the rows' centres.
    """
    positions = (np.arange(height) + 0.5) * len(values) / height - 0.5
    positions = np.clip(positions, 0, len(values) - 1)
    if np.all(values > 0):
        centres = np.exp(np.interp(positions, np.arange(len(values)), np.log(values)))
    else:
        centres = np.interp(positions, np.arange(len(values)), values)
    return [float(value) for value in centres]
