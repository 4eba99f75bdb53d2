"""The STFT against librosa and against the protocol's formula; its inverse against known gains."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import librosa
import numpy as np
import pytest
import torch

from advaudio.core.errors import AdvaudioError
from advaudio.representations import stft


def noise(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 100, 2047, 2048, 22_050, 30_001])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(2048, 512), (512, 100)])
def test_power_is_librosas(samples: int, n_fft: int, hop_length: int) -> None:
    audio = noise(samples)
    too_short: AbstractContextManager[Any] = nullcontext()
    if samples < n_fft:
        too_short = pytest.warns(UserWarning, match="is too large for input signal")
    with too_short:
        expected = np.abs(librosa.stft(audio, n_fft=n_fft, hop_length=hop_length)) ** 2
    power = stft.power(audio, n_fft=n_fft, hop_length=hop_length)
    assert power.shape == expected.shape
    assert np.linalg.norm(power - expected) <= 1e-5 * np.linalg.norm(expected)


def test_power_is_the_protocols_sum() -> None:
    audio = noise(600, seed=3)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    padded = np.concatenate([np.zeros(32), audio, np.zeros(32)])
    frame, frequency = 7, 11
    n = np.arange(64)
    expected = abs(np.sum(padded[frame * 20 + n] * window * np.exp(-2j * np.pi * frequency * n / 64))) ** 2
    assert stft.power(audio, n_fft=64, hop_length=20)[frequency, frame] == pytest.approx(expected, rel=1e-5)


def test_batches_and_devices_agree() -> None:
    audio = noise(2, 3, 9000)
    batch = stft.pictures(audio, size=(18, 24))
    assert batch.shape == (2, 3, 18, 24)
    np.testing.assert_allclose(batch[1, 2], stft.pictures(audio[1, 2], size=(18, 24)), atol=1e-6)
    for kind in (torch.float32, torch.float64):
        on_torch = stft.pictures(torch.from_numpy(audio).to(kind), size=(18, 24))
        np.testing.assert_allclose(batch, on_torch.numpy(), atol=1e-4)


def test_a_high_tone_lies_in_a_high_row_and_early_sound_on_the_left() -> None:
    time = np.arange(22_050) / 22_050
    tone = np.sin(2 * np.pi * 11_025 * 0.75 * time) * (time < 0.3)
    picture = stft.pictures(tone.astype(np.float32), size=(40, 40))
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert abs(int(row) - 29.5) <= 1
    assert column < 0.35 * 40
    assert picture[:, 20:].max() == 0


def test_silence_and_clips_shorter_than_a_window() -> None:
    assert (stft.pictures(np.zeros(5000, np.float32), size=(8, 8)) == 0).all()
    short = stft.pictures(np.ones(1, np.float32), size=(8, 8))
    assert np.isfinite(short).all()


def test_an_unchanged_picture_gives_the_audio_back() -> None:
    audio = noise(2, 20_000) * 0.1
    picture = stft.pictures(audio, size=(32, 24))
    np.testing.assert_allclose(stft.invert(picture, audio), audio, atol=1e-5)


def test_a_change_in_the_picture_is_a_gain_in_decibels() -> None:
    audio = noise(30_000) * 0.1
    picture = stft.pictures(audio, size=(16, 16)) - np.float32(0.125)
    expected = audio * 10 ** (-0.125 * 80 / 20)
    np.testing.assert_allclose(stft.invert(picture, audio), expected, atol=1e-5)


def test_only_the_changed_band_sounds_different() -> None:
    audio = noise(30_000) * 0.1
    picture = stft.pictures(audio, size=(16, 16))
    picture[12:] -= np.float32(0.25)
    before = stft.power(audio).mean(1)
    after = stft.power(stft.invert(picture, audio)).mean(1)
    assert 10 * np.log10(after[:640] / before[:640]).mean() == pytest.approx(0, abs=0.2)
    assert 10 * np.log10(after[850:] / before[850:]).mean() == pytest.approx(-20, abs=0.5)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.array([1.0, np.nan]), "NaN"),
        (np.zeros((2, 0)), "at least one sample"),
        (np.array([1j, 2]), "real"),
    ],
)
def test_audio_that_is_none(audio: np.ndarray[Any, Any], words: str) -> None:
    with pytest.raises(AdvaudioError, match=words):
        stft.pictures(audio)


def test_pictures_and_audio_must_belong_together() -> None:
    with pytest.raises(AdvaudioError, match="one picture for each clip"):
        stft.invert(np.zeros((3, 8, 8), np.float32), noise(2, 4000))


def test_long_clips_are_transformed_block_by_block_alike() -> None:
    audio = np.random.default_rng(3).standard_normal((2, 600 * 64)).astype(np.float32)
    power = stft.power(audio, n_fft=256, hop_length=64)
    assert power.shape == (2, 129, 601)
    expected = abs(stft.transform(audio, n_fft=256, hop_length=64)) ** 2
    np.testing.assert_allclose(power, expected, rtol=1e-5)
