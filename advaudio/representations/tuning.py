"""How far a clip's pitches lie from the equal-tempered scale: librosa's estimate, for whole batches.

The same definition as `librosa.estimate_tuning` (parabolic peaks of the STFT, the louder half of them, the
mode of their deviations), in float64 on every device: the mode of a noisy clip is decided by single peaks,
which rounding in float32 moves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from advaudio.representations.backend import (
    Array,
    amax,
    as_real,
    bins_of,
    constants,
    count,
    device_of,
    double,
    first_maximum,
    indices,
    log2,
    median_of_groups,
)
from advaudio.representations.stft import blocks_of_spectra

N_FFT = 2048
HOP_LENGTH = 512
LOWEST, HIGHEST = 150.0, 4000.0
PEAK_THRESHOLD = 0.1
STEPS = 100
"""Bins of the histogram of deviations: hundredths of a step of the scale."""
REFERENCE = 27.5
"""Hz of the pitch A0, from which the scale's steps are counted."""


def _histogram_edges() -> np.ndarray[Any, Any]:
    return np.linspace(-0.5, 0.5, STEPS + 1)


_edges = constants(_histogram_edges)
TUNINGS: tuple[float, ...] = tuple(float(edge) for edge in _histogram_edges()[:STEPS])
"""The tunings that `tuning_index` counts: −0.5 to 0.49."""
NO_TUNING = STEPS // 2
"""Index of tuning 0, for clips without a peak (silence)."""


def tuning_index(audio: Array, sample_rate: int, *, bins_per_octave: int = 36) -> Array:
    """Index into `TUNINGS` of each clip's tuning.

    Parameters
    ----------
    audio
        Shape (clips, samples).
    sample_rate
        Hz.

    Returns
    -------
    Whole numbers, shape (clips,). TUNINGS[index] is `librosa.estimate_tuning(y=..., sr=sample_rate,
    bins_per_octave=bins_per_octave)` of the clip in float64, in fractions of a bin.
    """
    clips = audio.shape[0]
    clip, pitch, height = _peaks(double(audio), sample_rate)
    loud = height >= median_of_groups(height, clip, clips)[clip]
    deviation = (bins_per_octave * log2(pitch[loud] / REFERENCE)) % 1.0
    deviation = deviation - 1.0 * (deviation >= 0.5)
    step = bins_of(deviation, _edges(device_of(audio))())
    histogram = count(clip[loud] * STEPS + step, clips * STEPS).reshape(clips, STEPS)
    most = first_maximum(histogram)
    most[histogram.sum(-1) == 0] = NO_TUNING
    return most


def _peaks(audio: Array, sample_rate: int) -> tuple[Array, Array, Array]:
    # Clip number, interpolated frequency in Hz and interpolated height of every peak, clip by clip.
    found = [_peaks_of(block, sample_rate) for block in blocks_of_spectra(audio, N_FFT, HOP_LENGTH)]
    if len(found) == 1:
        return found[0]
    clip, pitch, height = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = clip.argsort(kind="stable")
    return clip[order], pitch[order], height[order]


def _peaks_of(spectra: Array, sample_rate: int) -> tuple[Array, Array, Array]:
    bins = spectra.shape[-1]
    bin_width = sample_rate / N_FFT
    first = max(1, int(np.ceil(LOWEST / bin_width)))
    stop = min(bins - 1, int(np.ceil(min(HIGHEST, sample_rate / 2) / bin_width)))
    parts = as_real(spectra)
    parts *= parts
    power = parts[..., ::2] + parts[..., 1::2]
    threshold = PEAK_THRESHOLD * amax(power, -1) ** 0.5
    magnitude = power[..., first - 1 : stop + 1] ** 0.5
    below, here, above = magnitude[..., :-2], magnitude[..., 1:-1], magnitude[..., 2:]
    where = indices((here > threshold) & (here > below) & (here >= above))
    below, here, above = below[where], here[where], above[where]
    curvature = above + below - 2 * here
    slope = (above - below) / 2
    # A parabola whose top lies beyond the neighbouring bins is not believed.
    inside = abs(slope) < abs(curvature)
    shift = -slope * inside / (curvature + 1.0 * ~inside)
    return where[0], (where[2] + first + shift) * bin_width, here + 0.5 * slope * shift
