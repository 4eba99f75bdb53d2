"""Adversarial examples made audible, where the picture can be turned back into sound: STFT cells."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from advaudio.clips.clip_store import FULL_SCALE, ClipStore
from advaudio.core.determinism import one_blas_thread
from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.examples import Example, most_fooled
from advaudio.report.pages.examples import class_name
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


@dataclass(frozen=True)
class Recording:
    """An adversarial example as sound: the model it fools, what that takes it for, its signal-to-noise ratio in dB."""

    model: str
    taken_for: str
    ratio: float
    flac: bytes


@dataclass(frozen=True)
class Listening:
    """One clip and its adversarial examples to hear.

    Attributes
    ----------
    silent
        Why there is nothing to hear; empty where there is something. `no inverse`: the representation cannot be
        turned back into sound. `never fooled`: no attack fooled a model on a kept clip. `no clips`: the clips are
        not on this disk.
    tonnetz
        Whether the pictures have a tonnetz, whose changes cannot be heard.
    original
        The clip as a FLAC file.
    attacks
        Attack → its recordings.
    """

    silent: Literal["", "no inverse", "never fooled", "no clips"]
    tonnetz: bool = False
    class_name: str = ""
    original: bytes = b""
    attacks: Mapping[str, Sequence[Recording]] = field(default_factory=dict)


def listening(
    examples: Sequence[Example],
    store: Callable[[], ClipStore],
    layout: Mapping[str, Any],
    names: Sequence[str],
) -> Listening:
    """The clip that most attacks fooled a model on, its original and its adversarial audio, of both models.

    Parameters
    ----------
    store
        Opens the clips; not called where there is nothing to play.
    layout
        Content of the JSON beside the pictures.
    names
        Class names by label.

    Raises
    ------
    AdvaudioError
        See `audible`.
    """
    if not layout["representation"].startswith("stft"):
        return Listening("no inverse")
    sample = most_fooled(examples)
    if sample is None:
        return Listening("never fooled")
    heard = audible([example for example in examples if example.sample == sample], store(), layout)
    attacks: dict[str, list[Recording]] = {}
    for example, audio, ratio in heard.adversarial:
        taken_for = class_name(names, example.adversarial_label)
        recording = Recording(example.model, taken_for, ratio, flac(audio, heard.sample_rate))
        attacks.setdefault(example.attack, []).append(recording)
    return Listening(
        "",
        tonnetz=len(layout["sections"]) > 1,
        class_name=class_name(names, heard.adversarial[0][0].label),
        original=flac(heard.original, heard.sample_rate),
        attacks=attacks,
    )


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
        raise AdvaudioError(f"{store.folder} has no clip {row}. Run `dvc repro` to make it again.")
    samples, _ = store.encoded(row)
    whole = np.zeros(clip_length(clip_seconds, store.sample_rate), dtype=np.float32)
    kept = min(len(whole), len(samples))
    whole[:kept] = samples[:kept] / np.float32(FULL_SCALE)
    resampled: NDArray[np.float32] = resample(
        whole, store.sample_rate, sample_rate, clip_length(clip_seconds, sample_rate)
    )
    return resampled
