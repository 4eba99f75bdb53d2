"""Tonnetz against librosa, on real and made-up clips of any length."""

import warnings
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch

from advaudio.core.errors import AdvaudioError
from advaudio.representations import tonnetz
from advaudio.representations.halving import halve
from advaudio.representations.tuning import TUNINGS, tuning_index

RATE = 22_050


def chord(seconds: float, rate: int = RATE, detune: float = 0.0) -> np.ndarray[Any, Any]:
    time = np.arange(int(seconds * rate)) / rate
    notes = [261.63, 329.63, 392.0, 523.25]
    sound = sum(
        np.sin(2 * np.pi * note * 2 ** (detune / 36) * time) / (i + 1) for i, note in enumerate(notes)
    )
    audio: np.ndarray[Any, Any] = (0.2 * sound * np.exp(-time)).astype(np.float32)
    return audio


def noise(samples: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(seed).standard_normal(samples) * 0.1).astype(np.float32)


def beside_silence(samples: int) -> np.ndarray[Any, Any]:
    audio = noise(samples)
    audio[samples // 4 :] = 0
    return audio


def librosas(audio: np.ndarray[Any, Any], rate: int = RATE) -> np.ndarray[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # In float64, where single peaks do not decide its tuning by their rounding.
        result: np.ndarray[Any, Any] = librosa.feature.tonnetz(y=audio.astype(np.float64), sr=rate)
    return result


@pytest.mark.parametrize(
    ("audio", "rate"),
    [
        (chord(2), RATE),
        (chord(1, detune=0.37), RATE),
        (chord(1, 44_100), 44_100),
        (chord(1, 16_000), 16_000),
        (noise(40_000), RATE),
        (noise(40_000).astype(np.float64), RATE),
        (beside_silence(66_150), RATE),
        (np.zeros(30_000, np.float32), RATE),
        (noise(3000), RATE),
        (noise(1000), RATE),
        (noise(100), RATE),
        (noise(1), RATE),
    ],
)
def test_centroids_are_librosas(audio: np.ndarray[Any, Any], rate: int) -> None:
    expected = librosas(audio, rate)
    values = tonnetz.centroids(audio, sample_rate=rate)
    assert values.shape == expected.shape
    np.testing.assert_allclose(values, expected, atol=1e-4)


@pytest.mark.realdata
def test_real_clips(realdata: Path) -> None:
    errors = []
    for path in sorted((realdata / "data" / "esc10" / "audio").glob("*.ogg"))[::40]:
        audio, rate = soundfile.read(path)
        audio = soxr.resample(audio, rate, RATE).astype(np.float32)
        errors.append(np.abs(tonnetz.centroids(audio) - librosas(audio)).mean())
    assert np.mean(errors) <= 1e-5


@pytest.mark.parametrize("detune", [-0.5, -0.31, 0.0, 0.2, 0.49])
def test_tuning_is_librosas(detune: float) -> None:
    audio = chord(1, detune=detune).astype(np.float64) + noise(RATE) * 0.01
    expected = librosa.estimate_tuning(y=audio, sr=RATE, bins_per_octave=36)
    assert TUNINGS[int(tuning_index(audio[None], RATE)[0])] == expected
    assert TUNINGS[int(tuning_index(torch.from_numpy(audio)[None], RATE)[0])] == expected


@pytest.mark.parametrize("samples", [1, 2, 127, 128, 5001])
def test_halving_a_tensor_is_soxrs(samples: int) -> None:
    audio = np.random.default_rng(5).standard_normal((2, samples)).astype(np.float32)
    expected = [
        librosa.resample(clip, orig_sr=2, target_sr=1, res_type="soxr_hq", scale=True) for clip in audio
    ]
    np.testing.assert_array_equal(halve(audio), expected)
    np.testing.assert_allclose(halve(torch.from_numpy(audio)).numpy(), expected, atol=3e-6)


def test_a_c_major_chord_leans_towards_c_and_g() -> None:
    classes = tonnetz.chroma(chord(2))
    assert classes.shape == (12, 1 + 2 * RATE // 512)
    np.testing.assert_allclose(classes.sum(0), 1, atol=1e-5)
    assert set(np.argsort(classes.mean(1))[-3:]) == {0, 4, 7}


def test_batches_and_devices_agree() -> None:
    audio = np.stack([chord(1.5), beside_silence(33_075), noise(33_075), np.zeros(33_075, np.float32)])
    batch = tonnetz.pictures(audio.reshape(2, 2, -1), size=(12, 24))
    assert batch.shape == (2, 2, 12, 24)
    for clip, picture in zip(audio, batch.reshape(4, 12, 24), strict=True):
        np.testing.assert_allclose(tonnetz.pictures(clip, size=(12, 24)), picture, atol=1e-6)
    on_torch = tonnetz.pictures(torch.from_numpy(audio), size=(12, 24))
    np.testing.assert_allclose(batch.reshape(4, 12, 24), on_torch.numpy(), atol=1e-4)


def test_the_tuning_of_long_clips_in_a_batch_is_each_clips_own() -> None:
    clips = np.stack([chord(9, detune=detune) for detune in (0.0, 0.2, -0.4)])
    found = tuning_index(clips, RATE)
    on_torch = tuning_index(torch.from_numpy(clips), RATE)
    assert found.tolist() == [int(tuning_index(clip[None], RATE)[0]) for clip in clips] == on_torch.tolist()
    assert len(set(found.tolist())) == 3


def test_silence_is_the_centre_also_beside_sound() -> None:
    assert (tonnetz.pictures(np.zeros(20_000, np.float32), size=(6, 24)) == 0.5).all()
    picture = tonnetz.pictures(beside_silence(4 * RATE), size=(6, 40))
    # How the resize adds up weights of one half depends on the CPU.
    np.testing.assert_allclose(picture[:, 35:], 0.5, rtol=0, atol=1e-6)
    assert np.abs(picture[:, :8] - 0.5).max() > 0.01


def test_every_row_uses_its_own_radius() -> None:
    audio = chord(1)
    picture = tonnetz.pictures(audio, size=(12, 44), dynamic_range=200.0)
    expected = 0.5 + tonnetz.centroids(audio) / (2 * np.array(tonnetz.BOUNDS)[:, None])
    np.testing.assert_allclose(picture[::2], expected, atol=1e-6)
    np.testing.assert_array_equal(picture[::2], picture[1::2])


def test_smoothing_averages_over_time() -> None:
    audio = noise(40_000)
    rough, smooth = tonnetz.centroids(audio), tonnetz.centroids(audio, smoothing=3.0)
    assert np.diff(smooth).std() < 0.5 * np.diff(rough).std()
    weights = np.exp(-0.5 * (np.arange(-12, 13) / 3) ** 2)
    expected = np.convolve(rough[2], weights / weights.sum(), mode="valid")
    np.testing.assert_allclose(smooth[2, 12:-12], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sample_rate": 8000}, "tonnetz.sample_rate"),
        ({"hop_length": 500}, "tonnetz.hop_length"),
        ({"hop_length": 0}, "tonnetz.hop_length"),
    ],
)
def test_parameters_that_make_no_sense(settings: dict[str, int], words: str) -> None:
    with pytest.raises(AdvaudioError, match=words):
        tonnetz.centroids(noise(2000), **settings)


def test_a_picture_lower_than_six_rows() -> None:
    with pytest.raises(AdvaudioError, match="tonnetz_size"):
        tonnetz.pictures(noise(2000), size=(5, 24))
