"""Decode one audio file to one channel at the store's rate, and say what is wrong with a bad one."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from advaudio.clips.clip_store import encode
from advaudio.datasets.audio_length import name_format, settle_length
from advaudio.datasets.bad_audio import BadAudio

EXTENSIONS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
LOWEST_RATE = 1_000
HIGHEST_RATE = 400_000
LONGEST_CLIP = 300.0
MOST_CHANNELS = 64
BLOCK = 2**18
# One step of 16 bits: less is what rounding leaves of silence.
SILENCE = 2.0**-15


@dataclass(frozen=True)
class Decoded:
    """A clip as the store keeps it.

    Attributes
    ----------
    samples, gain
        As `clip_store.encode` gives them.
    original_sample_rate
        Hz, before resampling.
    channels
        Before mixing.
    encoding
        Name of the file's sample format, e.g. "PCM_16".
    duration
        Seconds, before resampling.
    """

    samples: np.ndarray[Any, Any]
    gain: float
    original_sample_rate: int
    channels: int
    encoding: str
    duration: float


def decode_audio(content: bytes, sample_rate: int) -> Decoded:
    """Decode an audio file, average its channels, resample it.

    Parameters
    ----------
    content
        Bytes of a file in any format that libsndfile reads: wav (8, 16, 24, 32 bit, float, ADPCM), flac, ogg,
        mp3, aiff…
    sample_rate
        Hz wanted. Resampling is soxr's HQ (band-limited, linear phase).

    Raises
    ------
    BadAudio
        If it is no audio, is truncated, empty, silent (peak below one step of 16 bits), longer than five
        minutes, or holds NaN or infinity.
    """
    import soundfile

    if not content:
        raise BadAudio("it is empty (0 bytes)")
    sized = settle_length(content, LONGEST_CLIP)
    try:
        with soundfile.SoundFile(io.BytesIO(sized.content)) as file:
            stated = file.frames if sized.samples is None else sized.samples
            _check_header(file, stated)
            audio = _mixed(file, stated)
            rate, channels, encoding = file.samplerate, file.channels, f"{file.format}/{file.subtype}"
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise BadAudio(_why_not_decoded(content, error)) from error
    if len(audio) == 0:
        raise BadAudio("it has no samples")
    if not np.isfinite(audio).all():
        raise BadAudio("it holds NaN or infinity")
    if np.abs(audio).max() < SILENCE:
        raise BadAudio("it is silent" if channels == 1 else "it is silent once its channels are averaged")
    samples, gain = encode(resample(audio, rate, sample_rate))
    if gain == 0.0:
        raise BadAudio("nothing is left of it after resampling")
    return Decoded(samples, gain, rate, channels, encoding, len(audio) / rate)


def resample(audio: np.ndarray[Any, Any], rate: int, wanted: int) -> np.ndarray[Any, Any]:
    """Resample one channel of shape (samples,) from `rate` to `wanted` Hz; at least one sample comes out."""
    import soxr

    if rate == wanted:
        return audio
    length = max(1, round(len(audio) * wanted / rate))
    # The silence after the clip lets the last samples come out.
    ended = np.pad(audio, (0, 2 * (rate // wanted + 1)))
    return soxr.resample(ended, rate, wanted, quality="HQ")[:length]


def _why_not_decoded(content: bytes, error: Exception) -> str:
    # The error's own text holds an address in memory, which would differ from run to run.
    reason = str(getattr(error, "error_string", type(error).__name__)).rstrip(".")
    known = name_format(content)
    if known:
        name, ending = known
        return f"{name} audio is not read here: convert it with `ffmpeg -i NAME.{ending} NAME.wav` and name the wav"
    return f"it cannot be decoded ({reason}); if a player plays it, convert it with `ffmpeg -i FILE NAME.wav`"


def _check_header(file: Any, stated: int) -> None:
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise BadAudio(f"its sample rate is {file.samplerate} Hz, outside {LOWEST_RATE} to {HIGHEST_RATE}")
    if file.channels > MOST_CHANNELS:
        raise BadAudio(f"it has {file.channels} channels, more than {MOST_CHANNELS}")
    if stated > LONGEST_CLIP * file.samplerate:
        seconds = stated / file.samplerate
        raise BadAudio(f"it lasts {seconds:.0f} s, more than {LONGEST_CLIP:.0f} s: cut it into clips")


def _mixed(file: Any, stated: int) -> np.ndarray[Any, Any]:
    """Average of the channels, read block by block: a small file can state or hold hours."""
    blocks: list[np.ndarray[Any, Any]] = []
    length = 0
    while True:
        block = file.read(BLOCK, dtype="float32", always_2d=True)
        if len(block) == 0:
            break
        length += len(block)
        if length > LONGEST_CLIP * file.samplerate:
            raise BadAudio(f"it lasts more than {LONGEST_CLIP:.0f} s: cut it into clips")
        blocks.append(block[:, 0] if file.channels == 1 else block.mean(axis=1))
    if length < 0.99 * stated:
        raise BadAudio(f"it is truncated: {length} of its {stated} samples can be decoded")
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)


def audio_names(names: Iterable[str]) -> list[str]:
    """Those of `names` that are audio by their extension, without the hidden companions that macOS makes."""
    return [
        name
        for name in names
        if name.lower().endswith(EXTENSIONS)
        and not name.rsplit("/", 1)[-1].startswith(".")
        and not name.startswith("__MACOSX/")
    ]
