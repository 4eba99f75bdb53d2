"""Halve a sample rate with the low-pass filter of soxr's "HQ" quality, the one that librosa's CQT uses.

NumPy arrays go through soxr itself, to match librosa to the last bits. Tensors, which it cannot take, are
filtered by matrix products, with soxr's own filter: symmetric, 387 samples long, measured once through soxr.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from advaudio.representations.backend import Array, constants, device_of, frames, is_tensor, to_length

REACH = 193
"""Samples before and after the centre that the filter has; what soxr returns beyond is rounding."""
BLOCK = 64
"""Output samples that one matrix product makes."""


def filter_taps() -> np.ndarray[Any, Any]:
    """Impulse response of soxr's HQ halving: float64, shape (2 · REACH + 1,), symmetric, sum 1."""
    length = 8192
    taps = np.zeros(2 * REACH + 1)
    for position in (length // 2, length // 2 + 1):
        impulse = np.zeros(length)
        impulse[position] = 1
        response = soxr.resample(impulse, 2, 1, quality="HQ")
        # Output sample m weighs input sample p with tap 2m − p.
        tap = 2 * np.arange(len(response)) - position
        inside = np.abs(tap) <= REACH
        taps[tap[inside] + REACH] = response[inside]
    taps = (taps + taps[::-1]) / 2
    return taps / taps.sum()


def _block_matrix(dtype: str) -> np.ndarray[Any, Any]:
    taps = filter_taps()
    matrix = np.zeros((2 * (BLOCK - 1) + len(taps), BLOCK))
    for output in range(BLOCK):
        matrix[2 * output : 2 * output + len(taps), output] = taps
    return (matrix / np.sqrt(0.5)).astype(dtype)


_matrix = constants(_block_matrix)


def halve(audio: Array) -> Array:
    """Every second sample of the low-passed (clips, samples), times √2, which keeps the energy.

    Returns
    -------
    Shape (clips, ceil(samples / 2)), zeros taken beyond the edges: as `librosa.resample(audio, orig_sr=2,
    target_sr=1, res_type="soxr_hq", scale=True)`, bit for bit on NumPy arrays.
    """
    samples = -(-audio.shape[-1] // 2)
    if not is_tensor(audio):
        halved = np.stack([to_length(soxr.resample(clip, 2, 1, quality="HQ"), samples) for clip in audio])
        # In place: the quotient is taken in float64 and rounded once.
        halved /= np.sqrt(0.5)
        return halved
    matrix = _matrix(device_of(audio))(str(audio.dtype).removeprefix("torch."))
    blocks = -(-samples // BLOCK)
    padded = to_length(audio, 2 * BLOCK * (blocks - 1) + matrix.shape[0], before=REACH)
    output = frames(padded, matrix.shape[0], 2 * BLOCK) @ matrix
    return output.reshape(len(audio), blocks * BLOCK)[:, :samples]
