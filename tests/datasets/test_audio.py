"""Decoding against signals written by libsndfile in every format that the data sets hold."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile

from advaudio.clips.clip_store import decode
from advaudio.datasets.audio import Decoded, decode_audio, resample
from advaudio.datasets.bad_audio import BadAudio

RATE = 22_050


def tone(rate: int, seconds: float, frequency: float = 440.0) -> np.ndarray[Any, Any]:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def written(audio: np.ndarray[Any, Any], rate: int, kind: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, audio, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


def amplitudes(clip: Decoded) -> np.ndarray[Any, Any]:
    return decode(clip.samples, clip.gain)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1 / 100),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 3e-5),
        ("WAV", "PCM_32", 3e-5),
        ("WAV", "FLOAT", 3e-5),
        ("WAV", "DOUBLE", 3e-5),
        ("WAV", "ULAW", 0.02),
        ("WAV", "IMA_ADPCM", 0.02),
        ("WAV", "MS_ADPCM", 0.02),
        ("WAVEX", "PCM_16", 1e-4),
        ("FLAC", "PCM_16", 1e-4),
        ("FLAC", "PCM_24", 3e-5),
        ("AIFF", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.02),
        ("MP3", None, 0.02),
    ],
)
def test_formats(kind: str, subtype: str | None, tolerance: float) -> None:
    audio = tone(RATE, 0.5)
    clip = decode_audio(written(audio, RATE, kind, subtype), RATE)
    found = amplitudes(clip)
    assert len(found) >= len(audio)
    # ADPCM pads to whole blocks, and lossy codecs spoil the ends.
    middle = slice(2_000, 9_000)
    assert np.abs(found[: len(audio)] - audio)[middle].max() < tolerance
    assert clip.original_sample_rate == RATE
    assert clip.channels == 1


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_rates(rate: int) -> None:
    clip = decode_audio(written(tone(rate, 0.5), rate, "WAV", "FLOAT"), RATE)
    wanted = tone(RATE, 0.5)[: len(clip.samples)]
    assert len(clip.samples) == round(round(rate * 0.5) * RATE / rate)
    assert np.abs(amplitudes(clip) - wanted)[500:-500].max() < 1e-3
    assert clip.duration == round(rate * 0.5) / rate


def test_nothing_above_half_the_rate_folds_back() -> None:
    audio = tone(RATE, 0.5) + tone(RATE, 0.5, 9_000.0)
    clip = decode_audio(written(audio, RATE, "WAV", "FLOAT"), 16_000)
    spectrum = np.abs(np.fft.rfft(amplitudes(clip) * np.hanning(len(clip.samples))))
    frequencies = np.fft.rfftfreq(len(clip.samples), 1 / 16_000)
    # 9 kHz would come back at 7 kHz.
    assert spectrum[np.abs(frequencies - 7_000) < 50].max() < 1e-4 * spectrum.max()


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_are_averaged(channels: int) -> None:
    parts = np.stack([tone(RATE, 0.2, 200.0 * (1 + number)) for number in range(channels)], axis=1)
    clip = decode_audio(written(parts, RATE, "WAV", "FLOAT"), RATE)
    assert clip.channels == channels
    assert np.abs(amplitudes(clip) - parts.mean(axis=1)).max() < 3e-5


@pytest.mark.parametrize("level", [1e-4, 1e-2, 1.0, 30.0])
def test_quiet_and_loud_clips_keep_their_shape(level: float) -> None:
    audio = level * tone(RATE, 0.2)
    clip = decode_audio(written(audio, RATE, "WAV", "FLOAT"), RATE)
    assert np.abs(amplitudes(clip) - audio).max() <= 1e-4 * level


@pytest.mark.parametrize(
    ("samples", "rate"), [(1, 44_100), (2, 96_000), (7, 8_000), (1_102, 22_050), (2_205, 44_100)]
)
def test_very_short_clips(samples: int, rate: int) -> None:
    clip = decode_audio(written(np.full(samples, 0.25), rate, "WAV"), RATE)
    assert len(clip.samples) == max(1, round(samples * RATE / rate))
    assert clip.duration == samples / rate


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF", "MP3"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_truncated_files_are_bad(kind: str, share: float) -> None:
    content = written(np.random.default_rng(0).normal(0, 0.1, RATE), RATE, kind)
    with pytest.raises(BadAudio):
        decode_audio(content[: int(share * len(content))], RATE)


def test_streamed_wav_without_a_length_is_read() -> None:
    content = bytearray(written(tone(RATE, 0.2), RATE, "WAV"))
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    assert len(decode_audio(bytes(content), RATE).samples) == round(0.2 * RATE)


def test_small_file_of_hours_is_refused_early() -> None:
    content = written(np.full(400 * 8_000, 0.5), 8_000, "FLAC")
    assert len(content) < 100_000
    with pytest.raises(BadAudio, match="it lasts 400 s"):
        decode_audio(content, RATE)


def test_resample_keeps_equal_rates_untouched() -> None:
    audio = tone(RATE, 0.1)
    assert resample(audio, RATE, RATE) is audio
