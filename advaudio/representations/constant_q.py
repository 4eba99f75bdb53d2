"""The magnitude of librosa's constant-Q transform, for whole batches on any device.

`librosa.cqt` filters each octave at half the rate of the octave above, so that one set of filters serves all
octaves; here the frames of all octaves of a clip meet that set in a single matrix product.
"""

from __future__ import annotations

from math import ceil, floor, log2
from typing import Any

import numpy as np

from advaudio.core.errors import AdvaudioError
from advaudio.representations.backend import Array, constants, device_of, frames, stack, to_length
from advaudio.representations.halving import halve
from advaudio.representations.tuning import TUNINGS

BINS_PER_OCTAVE = 36
OCTAVES = 7
LOWEST = 440.0 * 2 ** (-45 / 12)
"""Hz of the pitch C1, the first bin."""
SPARSITY = 0.01
"""Share of a filter's summed magnitude spectrum that librosa drops, smallest bins first."""
_STEP = 2 ** (2 / BINS_PER_OCTAVE)
_RELATIVE_BANDWIDTH = (_STEP - 1) / (_STEP + 1)
_HANN_BANDWIDTH = 1.50018310546875
"""Equivalent noise bandwidth of a Hann window in bins, as librosa has it."""


def early_halvings(sample_rate: int, hop_length: int) -> int:
    """How often librosa halves the rate before the top octave, which needs no more than its own band.

    Raises
    ------
    AdvaudioError
        If the rate is too low for seven octaves, or the hop cannot be halved for each of them.
    """
    highest = LOWEST * 2 ** (OCTAVES - 1 / BINS_PER_OCTAVE + 0.5 / BINS_PER_OCTAVE)
    cutoff = highest * (1 + 0.5 * _HANN_BANDWIDTH * _RELATIVE_BANDWIDTH)
    nyquist = sample_rate / 2
    if cutoff > nyquist:
        raise AdvaudioError(
            f"tonnetz.sample_rate is {sample_rate} Hz; its seven octaves of chroma reach {cutoff:.0f} Hz, "
            f"so it must be at least {2 * ceil(cutoff)} Hz. 22050 is librosa's rate."
        )
    twos = (hop_length & -hop_length).bit_length() - 1 if hop_length > 0 else -1
    if twos < OCTAVES - 1:
        raise AdvaudioError(
            f"tonnetz.hop_length is {hop_length}; it must be a multiple of {2 ** (OCTAVES - 1)}, since each "
            "octave is analysed at half the rate of the one above."
        )
    return min(max(0, ceil(log2(nyquist / cutoff)) - 2), max(0, twos - OCTAVES + 1))


def octave_filters(sample_rate: float, tuning: float) -> np.ndarray[Any, Any]:
    """The filters of one octave, top octave of `LOWEST`'s seven, at `sample_rate`.

    Parameters
    ----------
    sample_rate
        Hz, after the early halvings.
    tuning
        In fractions of a bin.

    Returns
    -------
    float64, shape (window, 2 · 36): cosine and sine parts, to be multiplied with frames of `window` samples.
    """
    top = LOWEST * 2 ** ((np.arange(BINS_PER_OCTAVE) + tuning) / BINS_PER_OCTAVE + OCTAVES - 1)
    lengths = sample_rate / (_RELATIVE_BANDWIDTH * top)
    window = window_length(sample_rate)
    kernels = np.zeros((BINS_PER_OCTAVE, window), dtype=complex)
    for kernel, length, frequency in zip(kernels, lengths, top, strict=True):
        samples = np.arange(floor(-length / 2), floor(length / 2))
        wave = np.exp(2j * np.pi * samples * frequency / sample_rate)
        wave *= np.sin(np.pi * np.arange(len(wave)) / len(wave)) ** 2
        wave *= length / window / np.abs(wave).sum()
        before = (window - len(wave)) // 2
        kernel[before : before + len(wave)] = wave
    # In single precision, as in librosa: the rounding is all that a filter passes of a distant sound.
    spectra = _sparse(np.fft.fft(kernels.astype(np.complex64))[:, : window // 2 + 1])
    # librosa weighs a frame's spectrum by these; the same sum, seen from the frame's samples, is their FFT.
    filters = (np.fft.fft(spectra.astype(complex), window) / np.sqrt(lengths)[:, None]).T
    return np.concatenate([filters.real, filters.imag], axis=1)


def window_length(sample_rate: float) -> int:
    """Samples of a frame: the longest filter of the octave, at the lowest tuning, up to a power of two."""
    lowest = LOWEST * 2 ** (OCTAVES - 1 - 0.5 / BINS_PER_OCTAVE)
    return 2 ** ceil(log2(sample_rate / (_RELATIVE_BANDWIDTH * lowest)))


def _sparse(spectra: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    magnitude = np.abs(spectra)
    ascending = np.sort(magnitude, axis=1)
    share = np.cumsum(ascending / magnitude.sum(axis=1, keepdims=True), axis=1)
    first_kept = np.argmin(share < SPARSITY, axis=1)
    threshold = np.take_along_axis(ascending, first_kept[:, None], axis=1)
    sparse: np.ndarray[Any, Any] = np.where(magnitude >= threshold, spectra, 0)
    return sparse


def _all_filters(sample_rate: float) -> np.ndarray[Any, Any]:
    return np.stack([octave_filters(sample_rate, tuning) for tuning in TUNINGS]).astype(np.float32)


_filters = constants(_all_filters)


def octave_sum(audio: Array, tuning: Array, sample_rate: int, *, hop_length: int = 512) -> Array:
    """Constant-Q magnitudes summed over the octaves: all that chroma needs.

    Parameters
    ----------
    audio
        Shape (clips, samples), float32.
    tuning
        Shape (clips,): index into `TUNINGS`.
    sample_rate
        Hz.
    hop_length
        Samples between frames, a multiple of 64.

    Returns
    -------
    float32, shape (clips, frames, 36), from the pitch C up in thirds of a semitone: sum over the octaves of
    the magnitude of `librosa.cqt(audio, n_bins=252, bins_per_octave=36, tuning=...)`.
    """
    halvings = early_halvings(sample_rate, hop_length)
    for _ in range(halvings):
        audio = halve(audio)
    hop = hop_length >> halvings
    filters = _filters(device_of(audio))(sample_rate / 2**halvings)
    window = filters.shape[1]
    octaves = []
    for _ in range(OCTAVES):
        octaves.append(frames(to_length(audio, audio.shape[-1] + window, window // 2), window, hop))
        audio = halve(audio)
        hop //= 2
    columns = min(octave.shape[1] for octave in octaves)
    pieces = stack([octave[:, :columns] for octave in octaves], axis=1)
    clips = pieces.shape[0]
    response = pieces.reshape(clips, OCTAVES * columns, window) @ filters[tuning]
    real, imaginary = response[..., :BINS_PER_OCTAVE], response[..., BINS_PER_OCTAVE:]
    magnitude = (real**2 + imaginary**2) ** 0.5
    return magnitude.reshape(clips, OCTAVES, columns, BINS_PER_OCTAVE).sum(1)
