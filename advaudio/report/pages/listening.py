"""Adversarial examples made audible, where the picture can be turned back into sound: STFT cells."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from advaudio.clips.clip_store import FULL_SCALE, ClipStore
from advaudio.core.determinism import one_blas_thread
from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.examples import Example
from advaudio.representations.resampling import resample
from advaudio.representations.stft import invert, pictures
from advaudio.representations.streaming import clip_length

SAME_PICTURE = 0.01
LOUDEST = 0.89
"""Peak of every recording in the page, 1 dB below full scale."""


@dataclass(frozen=True)
class Audible:
    """A clip and what attacks made of it, at one common gain.

    Attributes
    ----------
    original
        Audio (samples,), peak at most `LOUDEST`.
    adversarial
        Each example with its audio and its signal-to-noise ratio in dB (infinite: nothing changed).
    """

    original: NDArray[np.float32]
    adversarial: Sequence[tuple[Example, NDArray[np.float32], float]]
    sample_rate: int


def audible(examples: Sequence[Example], store: ClipStore, layout: Mapping[str, Any]) -> Audible:
    """Turn the adversarial pictures of one clip into audio: the original's phase, the changed magnitude.

    Parameters
    ----------
    examples
        All of the same clip.
    store
        The clips and copies that the pictures were made of.
    layout
        Content of the JSON beside the pictures; its spectrogram must be an STFT.

    Raises
    ------
    AdvaudioError
        If the clip in the store is not the one of the pictures.
    """
    settings = layout["settings"].get("spectrogram", layout["settings"])
    spectrogram = layout["sections"][0]
    transform = {
        "n_fft": settings["n_fft"],
        "hop_length": settings["hop_length"],
        "dynamic_range": spectrogram["decibels_per_unit"],
    }
    height = spectrogram["rows"]
    sample = examples[0].sample
    with one_blas_thread():
        audio = _clip(store, sample, layout["clip_seconds"], settings["sample_rate"])
        own = pictures(audio, size=(height, layout["width"]), **transform)
        if np.abs(own - examples[0].clean[:height]).max() > SAME_PICTURE:
            raise AdvaudioError(
                f"Clip {sample} of {store.folder} is not the one that was attacked: its picture is another. "
                "Run `dvc repro` to make both from the same clips."
            )
        changed = [invert(example.adversarial[:height], audio, **transform) for example in examples]
    peak = max(float(np.abs(sound).max()) for sound in [audio, *changed])
    gain = LOUDEST / peak if peak else 1.0
    return Audible(
        original=np.asarray(audio * gain, dtype=np.float32),
        adversarial=[
            (example, np.asarray(sound * gain, dtype=np.float32), signal_to_noise(audio, sound))
            for example, sound in zip(examples, changed, strict=True)
        ],
        sample_rate=settings["sample_rate"],
    )


def signal_to_noise(signal: NDArray[Any], changed: NDArray[Any]) -> float:
    """Energy of a signal over that of its change, in dB; infinite where nothing changed."""
    noise = float(np.square(changed.astype(np.float64) - signal).sum())
    energy = float(np.square(signal.astype(np.float64)).sum())
    return 10 * float(np.log10(energy / noise)) if noise else float("inf")


def flac(audio: NDArray[np.float32], sample_rate: int) -> bytes:
    """Audio (samples,) in [-1, 1] as a FLAC file of 16 bits, which browsers play."""
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, sample_rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _clip(store: ClipStore, row: int, clip_seconds: float, sample_rate: int) -> NDArray[np.float32]:
    """A clip as the transform sees it: peak-normalised, cut or padded, resampled."""
    if row >= len(store):
        raise AdvaudioError(f"{store.folder} has no clip {row}. Run `dvc repro` to make it anew.")
    samples, _ = store.encoded(row)
    whole = np.zeros(clip_length(clip_seconds, store.sample_rate), dtype=np.float32)
    kept = min(len(whole), len(samples))
    whole[:kept] = samples[:kept] / np.float32(FULL_SCALE)
    resampled: NDArray[np.float32] = resample(
        whole, store.sample_rate, sample_rate, clip_length(clip_seconds, sample_rate)
    )
    return resampled
