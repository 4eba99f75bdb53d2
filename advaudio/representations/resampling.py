"""Band-limited resampling by one FFT, the same on every device."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import scipy.fft

from advaudio.representations.backend import Array, irfft, rfft, to_length


def resample(audio: Array, source_rate: int, target_rate: int, length: int | None = None) -> Array:
    """Resample (..., samples) from `source_rate` to `target_rate` Hz, as if zeros followed and came before.

    The spectrum above the lower of the two Nyquist frequencies is dropped, all below is kept exactly.

    Parameters
    ----------
    length
        Samples returned; by default as many as cover the clip.
    """
    samples = audio.shape[-1]
    if length is None:
        length = -(-samples * target_rate // source_rate)
    if source_rate == target_rate:
        return to_length(audio, length)
    common = gcd(source_rate, target_rate)
    source_step, target_step = source_rate // common, target_rate // common
    # A twentieth more than the clip keeps the ringing at one edge from wrapping round to the other.
    blocks = scipy.fft.next_fast_len(-(-(samples + samples // 20) // source_step) + 1, real=True)
    spectrum = rfft(audio, blocks * source_step)
    kept = min(source_step, target_step) * blocks // 2
    resampled = irfft(to_length(spectrum[..., :kept], target_step * blocks // 2 + 1), blocks * target_step)
    return to_length(resampled * (target_step / source_step), length)


def at_rate(
    transform: Callable[[Array], Array], source_rate: int, target_rate: int, length: int, audio: Array
) -> Array:
    """`transform` of `audio` after `resample`; with all but `audio` bound, it is picklable."""
    return transform(resample(audio, source_rate, target_rate, length))
