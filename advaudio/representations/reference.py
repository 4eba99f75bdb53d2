"""The reference engines: the same pictures made by librosa and PyWavelets, the libraries that the paper used.

They are slow, and here so that anyone can check the fast transforms in their own run (`stft.engine: librosa`,
`dwt.engine: pywt`, `tonnetz.engine: librosa`). They run on the CPU, one clip at a time. What the two engines share
is the last step, from power to a picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from advaudio.representations.backend import Array
from advaudio.representations.picture import Size, decibel_picture, unit_picture

Signal = np.ndarray[Any, Any]


def clip_by_clip(transform: Callable[[Signal], Signal], source_rate: int, rate: int, audio: Array) -> Array:
    """Apply `transform`, (samples,) at `rate` to a picture, to clips (clips, samples) at `source_rate`."""
    import librosa

    clips = [
        librosa.resample(clip, orig_sr=source_rate, target_sr=rate) if source_rate != rate else clip
        for clip in audio
    ]
    return np.stack([transform(clip).astype(np.float32) for clip in clips])


def stft_picture(audio: Signal, *, size: Size, n_fft: int, hop_length: int, dynamic_range: float) -> Signal:
    """`librosa.stft`'s squared magnitude as a picture; see `advaudio.representations.stft.pictures`."""
    import librosa

    power = np.abs(librosa.stft(audio, n_fft=n_fft, hop_length=hop_length)) ** 2
    return unit_picture(decibel_picture(power, dynamic_range), size)


def dwt_picture(
    audio: Signal,
    *,
    size: Size,
    wavelet: str,
    scales: Signal,
    hop: int,
    frames: int,
    dynamic_range: float,
) -> Signal:
    """`pywt.cwt`'s energy, averaged over Hann frames of two hops, as a picture.

    PyWavelets tabulates its wavelet as a staircase, which is 4 to 6 % away from the Morlet wavelet's formula.
    """
    import pywt

    coefficients, _ = pywt.cwt(audio, scales, wavelet, method="fft")
    energy = np.abs(coefficients) ** 2
    padded = np.pad(energy, [(0, 0), (0, max(0, (frames + 1) * hop - energy.shape[1]))])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop, axis=1)[:, ::hop][:, :frames]
    weights = np.sin(np.pi * np.arange(2 * hop) / (2 * hop)) ** 2
    return unit_picture(decibel_picture(windows @ (weights / weights.sum()), dynamic_range), size)


def tonnetz_picture(
    audio: Signal,
    *,
    size: Size,
    sample_rate: int,
    hop_length: int,
    smoothing: float,
    dynamic_range: float,
    bounds: tuple[float, ...],
) -> Signal:
    """`librosa.feature.tonnetz` of a CQT chroma as a picture; see `advaudio.representations.tonnetz.pictures`.

    librosa gives every frame but one of zeros a full chroma; as in the fast engine, frames more than
    `dynamic_range` dB below the clip's loudest count as silent.
    """
    import librosa
    import scipy.ndimage

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of silent clips, which have no tuning
        # In float64, where single peaks do not decide its tuning by their rounding.
        signal = audio.astype(np.float64)
        chroma = librosa.feature.chroma_cqt(y=signal, sr=sample_rate, hop_length=hop_length, norm=None)
        loudness = chroma.sum(axis=0)
        chroma[:, loudness < loudness.max() * 10 ** (-dynamic_range / 20)] = 0
        values = librosa.feature.tonnetz(chroma=chroma, sr=sample_rate)
    if smoothing > 0:
        values = scipy.ndimage.gaussian_filter1d(values, smoothing, axis=1, mode="nearest")
    return unit_picture(values / np.array(bounds)[:, None] / 2 + 0.5, size, rows="box")


def transform_of(
    picture: Callable[..., Signal], source_rate: int, rate: int, **settings: Any
) -> Callable[[Array], Array]:
    """The transform for `streaming.build`: picklable, from stored clips to pictures."""
    return partial(clip_by_clip, partial(picture, **settings), source_rate, rate)


def named(engine: str) -> dict[str, str]:
    """What a layout says of the engine: nothing of the fast one."""
    return {} if engine == "fast" else {"engine": engine}


def device_for(engine: str, device: str) -> str:
    """The device that an engine runs on: a reference knows the CPU alone."""
    return device if engine == "fast" else "cpu"
