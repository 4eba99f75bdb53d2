"""Decode one audio file to one channel at the store's rate, and say what is wrong with a bad one."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from advaudio.clips.clip_store import encode

EXTENSIONS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au")
LOWEST_RATE = 1_000
HIGHEST_RATE = 400_000
LONGEST_CLIP = 300.0
MOST_CHANNELS = 64
BLOCK = 2**18
STREAMED = 0xFFFFFF00
OGG_END = 4
# One step of 16 bits: less is what rounding leaves of silence.
SILENCE = 2.0**-15


class BadAudio(Exception):
    """Why a file cannot be a clip; the message is a phrase such as "it is silent"."""


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
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_header(file, content)
            audio = _mixed(file)
            rate, channels, encoding = file.samplerate, file.channels, f"{file.format}/{file.subtype}"
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        # The error's own text holds an address in memory, which would differ from run to run.
        reason = str(getattr(error, "error_string", type(error).__name__)).rstrip(".")
        raise BadAudio(f"it cannot be decoded ({reason})") from error
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


def _check_header(file: Any, content: bytes) -> None:
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise BadAudio(f"its sample rate is {file.samplerate} Hz, outside {LOWEST_RATE} to {HIGHEST_RATE}")
    if file.channels > MOST_CHANNELS:
        raise BadAudio(f"it has {file.channels} channels, more than {MOST_CHANNELS}")
    if file.frames > LONGEST_CLIP * file.samplerate:
        seconds = file.frames / file.samplerate
        raise BadAudio(f"it lasts {seconds:.0f} s, more than {LONGEST_CLIP:.0f} s: cut it into clips")
    # libsndfile reads what is there without a word. A few bytes less are a writer's miscount.
    stated, present = _sample_bytes(content)
    if present < 0.99 * stated:
        raise BadAudio(f"it is truncated: {present} of the {stated} bytes of its samples are there")
    if content[:4] == b"OggS" and not _ogg_is_whole(content):
        raise BadAudio("it is truncated: its last page is cut, or is not the last")


def _sample_bytes(content: bytes) -> tuple[int, int]:
    """Bytes of samples that a wav or aiff file states and has; (0, 0) for others and streamed ones."""
    order: Literal["little", "big"]
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        chunk, order = b"data", "little"
    elif content[:4] == b"FORM" and content[8:12] in (b"AIFF", b"AIFC"):
        chunk, order = b"SSND", "big"
    else:
        return 0, 0
    place = 12
    while place + 8 <= len(content):
        size = int.from_bytes(content[place + 4 : place + 8], order)
        if content[place : place + 4] == chunk:
            return (0, 0) if size >= STREAMED else (size, len(content) - place - 8)
        place += 8 + size + size % 2
    return 0, 0


def _ogg_is_whole(content: bytes) -> bool:
    """Whether the last page of an Ogg stream is complete and marked as the last (RFC 3533, section 6)."""
    page = content[content.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & OGG_END:
        return False
    segments = page[26]
    return len(page) >= 27 + segments + sum(page[27 : 27 + segments])


def _mixed(file: Any) -> np.ndarray[Any, Any]:
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
    # An mp3 may state its length inexactly; the other formats are exact.
    if length < (0.9 if file.format == "MP3" else 0.99) * file.frames:
        raise BadAudio(f"it is truncated: {length} of its {file.frames} samples can be decoded")
    return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)
