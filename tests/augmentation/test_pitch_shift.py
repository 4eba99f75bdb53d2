"""Pitch shift: against the method written out with angles, and by what it must do to known sounds."""

from __future__ import annotations

from typing import Any

import librosa
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from advaudio.augmentation import pitch_shift as module
from advaudio.augmentation.pitch_shift import HOP, N_FFT, check_scales, pitch_shift
from advaudio.core.errors import AdvaudioError

RATE = 22_050
SCALES = (0.75, 0.9, 1.15, 1.5)
Signal = np.ndarray[Any, Any]


def shift(audio: Signal, scale: float) -> Signal:
    return pitch_shift(audio, [scale])[0]


def decibels(part: Signal, whole: Signal) -> float:
    return float(10 * np.log10(np.sum(part.astype(float) ** 2) / np.sum(whole.astype(float) ** 2)))


def noise(samples: int, seed: int = 0, band: float = 1.0) -> Signal:
    """White noise up to `band` of half the sample rate."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    spectrum[int(band * len(spectrum)) :] = 0
    return 0.1 * np.fft.irfft(spectrum, samples)


def clicks(samples: int, period: int, first: int = 4_000) -> Signal:
    audio = np.zeros(samples)
    audio[first::period] = 1.0
    ringing = np.exp(-np.arange(200) / 30) * np.sin(2 * np.pi * 1_500 * np.arange(200) / RATE)
    return np.convolve(audio, ringing)[:samples]


def reference(audio: Signal, scale: float) -> Signal:
    """Identity phase locking (Laroche and Dolson 1999) with angles, bin by bin, on librosa's transforms."""
    spectrum = librosa.stft(audio, n_fft=N_FFT, hop_length=HOP).astype(np.complex128)
    magnitude, angle = np.abs(spectrum), np.angle(spectrum)
    bins, frames = spectrum.shape
    length = round(len(audio) * scale)
    chosen = [min(round(frame / scale), frames - 1) for frame in range(length // HOP + 1)]
    phase = angle[:, 0]
    output = np.zeros((bins, len(chosen)), dtype=np.complex128)
    for frame, here in enumerate(chosen):
        after = min(chosen[frame - 1] + 1, frames - 1)
        advanced = phase + angle[:, after] - angle[:, chosen[frame - 1]] if frame else phase
        size = magnitude[:, here]
        peaks = [
            k
            for k in range(bins)
            if all(size[k] > size[j] for j in (k - 2, k - 1) if j >= 0)
            and all(size[k] >= size[j] for j in (k + 1, k + 2) if j < bins)
        ]
        nearest = [min(peaks, key=lambda peak: (abs(peak - k), peak)) for k in range(bins)]
        phase = advanced[nearest] + angle[:, here] - angle[nearest, here]
        output[:, frame] = size * np.exp(1j * phase)
    stretched = librosa.istft(output, hop_length=HOP, length=length)
    return np.asarray(soxr.resample(stretched, scale, 1.0, quality="HQ")[: len(audio)])


@pytest.mark.parametrize("scale", SCALES)
def test_equals_the_method_written_out(scale: float) -> None:
    time = np.arange(6_000) / RATE
    audio = np.sin(2 * np.pi * (300 * time + 400 * time**2)) + 0.05 * noise(6_000)
    wanted = reference(audio, scale)
    found = shift(audio, scale)[: len(wanted)]
    assert np.linalg.norm(found - wanted) < 2e-3 * np.linalg.norm(wanted)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("frequency", [110.0, 440.0, 997.0, 3_000.0, 6_500.0])
def test_sine_comes_out_at_its_frequency_times_scale(frequency: float, scale: float) -> None:
    audio = 0.5 * np.sin(2 * np.pi * frequency * np.arange(3 * RATE) / RATE)
    shifted = shift(audio, scale)[RATE : 2 * RATE]
    spectrum = np.abs(np.fft.rfft(shifted * np.hanning(RATE), 2**19))
    found = np.argmax(spectrum) * RATE / 2**19
    assert found == pytest.approx(frequency * scale, rel=0.0005)
    # A clean sine of the same level: what is not at the frequency is 40 dB below.
    power = np.abs(np.fft.rfft(shifted * np.hanning(RATE))) ** 2
    near = np.abs(np.arange(len(power)) - frequency * scale) < 20
    assert power[~near].sum() < 1e-4 * power.sum()
    assert abs(decibels(shifted, audio[RATE : 2 * RATE])) < 0.1


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("period", [3_675, 7_350, 11_025])
def test_click_train_keeps_its_tempo(period: int, scale: float) -> None:
    audio = clicks(4 * RATE, period)
    energy = shift(audio, scale) ** 2
    wanted = np.arange(4_000, len(audio) - period // 2, period)
    centres = []
    for place in wanted:
        around = np.arange(place - period // 2, place + period // 2)
        centres.append(np.sum(around * energy[around]) / np.sum(energy[around]))
    tempo = np.polyfit(np.arange(len(wanted)), centres, 1)[0]
    assert tempo == pytest.approx(period, rel=0.005)
    # Each stays within 15 ms of where it was.
    assert np.abs(centres - wanted).max() < 0.015 * RATE


@pytest.mark.parametrize("scale", SCALES)
def test_energy_is_kept(scale: float) -> None:
    time = np.arange(3 * RATE) / RATE
    sounds = {
        "noise": noise(len(time), band=0.6),
        "low noise": noise(len(time), band=0.05),
        "sweep": np.sin(2 * np.pi * (200 * time + 400 * time**2)),
        "clicks": clicks(len(time), 5_000),
        "decay": noise(len(time), band=0.6) * np.exp(-3 * time),
        "harmonics": np.sin(2 * np.pi * 180 * np.outer(np.arange(1, 20), time)).sum(axis=0),
    }
    for name, audio in sounds.items():
        assert abs(decibels(shift(audio, scale), audio)) < 1.5, name


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("samples", [1_102, 2_205, 5_000])
def test_short_clips_keep_their_energy(samples: int, scale: float) -> None:
    audio = np.hanning(samples) * np.sin(2 * np.pi * 700 * np.arange(samples) / RATE)
    assert abs(decibels(shift(audio, scale), audio)) < 3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6_000), st.floats(0.25, 4.0), st.integers(0, 1000))
def test_duration_is_kept_to_the_sample(samples: int, scale: float, seed: int) -> None:
    shifted = shift(np.random.default_rng(seed).standard_normal(samples), scale)
    assert shifted.shape == (samples,)
    assert shifted.dtype == np.float32
    assert np.isfinite(shifted).all()


def test_silence_stays_silent_and_scale_one_changes_nothing() -> None:
    assert not shift(np.zeros(5_000), 1.15).any()
    audio = noise(5_000).astype(np.float32)
    np.testing.assert_array_equal(shift(audio, 1.0), audio)


def test_level_does_not_matter() -> None:
    audio = noise(9_000)
    for level in (2.0**-20, 2.0**8):
        np.testing.assert_array_equal(shift(level * audio, 1.15), np.float32(level) * shift(audio, 1.15))


def test_scales_do_not_influence_each_other() -> None:
    audio = noise(9_000)
    for scale, shifted in zip(SCALES, pitch_shift(audio, SCALES), strict=True):
        np.testing.assert_array_equal(shifted, shift(audio, scale))


def test_long_clips_are_worked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(40_000)
    whole = shift(audio, 1.15)
    monkeypatch.setattr(module, "FRAMES_AT_ONCE", 7)
    assert np.abs(shift(audio, 1.15) - whole).max() < 1e-4 * np.abs(whole).max()


@pytest.mark.parametrize("scales", [[0.2], [4.5], [0.0], [-1.0], [float("nan")], [0.9, 0.9]])
def test_bad_scales_are_named(scales: list[float]) -> None:
    with pytest.raises(AdvaudioError, match=r"augment\.pitch_scales"):
        check_scales(scales)
