"""STFT spectrogram: the power of a Hann-windowed short-time Fourier transform, in decibels.

Protocol, section 2: S(m, ω) = | Σ_n a[n] w[n−m] e^{−jωn} |², w = Hann, window = n_fft.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from advaudio.core.errors import AdvaudioError
from advaudio.core.progress import Progress, silent
from advaudio.representations import reference, streaming
from advaudio.representations.backend import (
    Array,
    clip,
    concatenate,
    constants,
    device_of,
    frames,
    irfft,
    is_tensor,
    numeric_array,
    rfft,
    to_length,
)
from advaudio.representations.picture import (
    Size,
    check_positive,
    check_size,
    decibel_picture,
    resize,
    row_centres,
    unit_picture,
)
from advaudio.representations.resampling import at_rate

if TYPE_CHECKING:
    from advaudio.clips.clip_store import ClipStore

FRAMES_PER_BLOCK = 256
"""Frames that a CPU transforms at a time."""


def _hann(n_fft: int, dtype: str) -> np.ndarray[Any, Any]:
    window: np.ndarray[Any, Any] = np.sin(np.pi * np.arange(n_fft) / n_fft) ** 2
    return window.astype(dtype)


_window = constants(_hann)


def transform(audio: Array, *, n_fft: int = 2048, hop_length: int = 512) -> Array:
    """Short-time Fourier transform with a periodic Hann window, frames centred, zeros beyond the edges.

    Parameters
    ----------
    audio
        Shape (..., samples), float32 or float64, array or tensor.
    n_fft
        Window and FFT length, samples, even.
    hop_length
        Samples between frames.

    Returns
    -------
    Complex, shape (..., n_fft // 2 + 1, 1 + samples // hop_length); as `librosa.stft`.
    """
    return _spectra(_centred(numeric_array(audio), n_fft, hop_length)).swapaxes(-1, -2)


def blocks_of_spectra(audio: Array, n_fft: int, hop_length: int) -> Iterator[Array]:
    """`transform` block by block, shape (..., frames, bins): as it lies in memory, frame after frame.

    On a CPU a block holds so few frames that what is made of it stays in the processor's cache.
    """
    centred = _centred(audio, n_fft, hop_length)
    step = centred.shape[-2] if is_tensor(centred) else FRAMES_PER_BLOCK
    for start in range(0, centred.shape[-2], step):
        yield _spectra(centred[..., start : start + step, :])


def _centred(audio: Array, n_fft: int, hop_length: int) -> Array:
    return frames(to_length(audio, audio.shape[-1] + n_fft, before=n_fft // 2), n_fft, hop_length)


def _spectra(centred: Array) -> Array:
    n_fft = centred.shape[-1]
    window = _window(device_of(centred))(n_fft, str(centred.dtype).removeprefix("torch."))
    return rfft(centred * window, n_fft)


def power(audio: Array, *, n_fft: int = 2048, hop_length: int = 512) -> Array:
    """Squared magnitude of `transform`: the protocol's S, same shape, real."""
    blocks = blocks_of_spectra(numeric_array(audio), n_fft, hop_length)
    return concatenate([block.real**2 + block.imag**2 for block in blocks], -2).swapaxes(-1, -2)


def pictures(
    audio: Array,
    *,
    size: Size = (128, 128),
    n_fft: int = 2048,
    hop_length: int = 512,
    dynamic_range: float = 80.0,
) -> Array:
    """STFT pictures in [0, 1]: decibels below each clip's maximum, then an antialiased resize.

    Parameters
    ----------
    audio
        Shape (..., samples).
    size
        (height, width) in pixels; row 0 is the lowest frequency.
    dynamic_range
        Decibels from 0 to 1.

    Returns
    -------
    Shape (..., *size), of `audio`'s type; zeros for silence.
    """
    picture = decibel_picture(power(audio, n_fft=n_fft, hop_length=hop_length), dynamic_range)
    return unit_picture(picture, check_size(size, "size"))


def invert(
    picture: Array,
    audio: Array,
    *,
    n_fft: int = 2048,
    hop_length: int = 512,
    dynamic_range: float = 80.0,
) -> Array:
    """Audio that a changed STFT picture stands for: the original's phase, and its changed magnitude.

    A picture holds less than the spectrogram that it was made of, so only its *difference* from the
    original's picture is taken back: interpolated to all bins and frames, read as decibels, and applied as a
    gain to the original's transform. An unchanged picture gives the original audio.

    Parameters
    ----------
    picture
        Shape (..., height, width), values in [0, 1]: the changed picture of the spectrogram alone.
    audio
        Shape (..., samples): the original, at the rate and length that its picture was made of.

    Returns
    -------
    Audio of the shape of `audio`. Silence stays silence.
    """
    audio = numeric_array(audio)
    if picture.shape[:-2] != audio.shape[:-1]:
        raise AdvaudioError(
            f"Pictures of shape {tuple(picture.shape)} and audio of shape {tuple(audio.shape)} do not belong "
            "together; pass one picture for each clip."
        )
    spectrum = transform(audio, n_fft=n_fft, hop_length=hop_length)
    bins, columns = spectrum.shape[-2:]
    height, width = picture.shape[-2:]
    own = decibel_picture(spectrum.real**2 + spectrum.imag**2, dynamic_range)
    change = resize(picture - resize(own, (height, width)), (bins, columns))
    spectrum = spectrum * 10 ** (change * (dynamic_range / 20))
    return _inverse(spectrum, n_fft, hop_length, audio.shape[-1])


def _inverse(spectrum: Array, n_fft: int, hop_length: int, samples: int) -> Array:
    # Least squares (Griffin & Lim 1984): windowed overlap-add over the sum of squared windows.
    pieces = irfft(spectrum.swapaxes(-1, -2), n_fft)
    window = _window(device_of(pieces))(n_fft, str(pieces.dtype).removeprefix("torch."))
    pieces = pieces * window
    columns = pieces.shape[-2]
    length = n_fft + hop_length * (columns - 1)
    if is_tensor(pieces):
        audio = pieces.new_zeros((*pieces.shape[:-2], length))
        weight = pieces.new_zeros(length)
    else:
        audio = np.zeros((*pieces.shape[:-2], length), dtype=pieces.dtype)
        weight = np.zeros(length, dtype=pieces.dtype)
    for column in range(columns):
        start = column * hop_length
        audio[..., start : start + n_fft] += pieces[..., column, :]
        weight[start : start + n_fft] += window**2
    return to_length((audio / clip(weight, 1e-8, None))[..., n_fft // 2 :], samples)


def build_stft(
    store: ClipStore,
    path: Path,
    *,
    size: Size = (128, 128),
    clip_seconds: float = 5.0,
    sample_rate: int = 22_050,
    n_fft: int = 2048,
    hop_length: int = 512,
    dynamic_range: float = 80.0,
    engine: Literal["fast", "librosa"] = "fast",
    device: str = "cpu",
    progress: Progress = silent,
) -> None:
    """Write the STFT pictures of all clips of `store` to `path` and their layout beside it.

    Parameters
    ----------
    path
        Array to write: float32, (rows of the store, *size), in [0, 1]; `path` with .json is its layout.
    clip_seconds
        Clips are cut or zero-padded to this.
    sample_rate
        Hz at which the transform works; clips stored at another rate are resampled, band-limited.
    n_fft, hop_length
        Samples at `sample_rate`.
    dynamic_range
        dB below the clip's maximum that 0 stands for.
    engine
        `fast`: this module. `librosa`: the reference, on the CPU.
    device
        "cpu", or the torch name of a GPU.

    Raises
    ------
    AdvaudioError
        If a parameter makes no sense, or writing fails.
    """
    size = check_size(size, "spectrogram_size")
    check_positive(
        **{"clip_seconds": clip_seconds, "stft.sample_rate": sample_rate, "stft.dynamic_range": dynamic_range}
    )
    if n_fft < 2 or n_fft % 2 or not 1 <= hop_length <= n_fft:
        raise AdvaudioError(
            f"stft.n_fft is {n_fft} and stft.hop_length is {hop_length}; n_fft must be an even number, "
            "and hop_length between 1 and n_fft."
        )
    length = streaming.clip_length(clip_seconds, sample_rate)
    settings: dict[str, Any] = {"n_fft": n_fft, "hop_length": hop_length}
    made_of = {"size": size, **settings, "dynamic_range": dynamic_range}
    if engine == "fast":
        transform: streaming.Transform = partial(
            at_rate, partial(pictures, **made_of), store.sample_rate, sample_rate, length
        )
    else:
        transform = reference.transform_of(reference.stft_picture, store.sample_rate, sample_rate, **made_of)
    section = {
        "name": "spectrogram",
        "rows": size[0],
        "unit": "Hz",
        "row_values": row_centres(np.fft.rfftfreq(n_fft, 1 / sample_rate), size[0]),
        "decibels_per_unit": dynamic_range,
    }
    streaming.build(
        store,
        path,
        transform,
        "stft",
        section,
        size=size,
        clip_seconds=clip_seconds,
        frames=1 + length // hop_length,
        first_frame=0.0,
        frame_step=hop_length / sample_rate,
        settings={"sample_rate": sample_rate, **settings, **reference.named(engine)},
        device=reference.device_for(engine, device),
        progress=progress,
    )
