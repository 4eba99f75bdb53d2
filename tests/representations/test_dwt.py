"""The wavelet transform against direct convolution with the float64 formula, and against PyWavelets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
import scipy.signal
import torch

from advaudio.core.errors import AdvaudioError
from advaudio.representations import dwt
from advaudio.representations.wavelet_plan import BEAT, Plan, parse_wavelet

RATE = 8000
SAMPLES = 12_000
TIME = np.arange(SAMPLES) / RATE


def convolved(
    audio: np.ndarray[Any, Any], scale: float, bandwidth: float, centre: float
) -> np.ndarray[Any, Any]:
    """W(s, τ) of the protocol at every sample, in float64, zeros beyond the clip."""
    reach = int(np.ceil(8 * scale * bandwidth**0.5))
    t = np.arange(-reach, reach + 1) / scale
    wavelet = (np.pi * bandwidth) ** -0.5 * np.exp(2j * np.pi * centre * t) * np.exp(-(t**2) / bandwidth)
    # Correlation with ψ: its conjugate, reversed in time, convolved.
    kernel = np.conj(wavelet)[::-1] / np.sqrt(scale)
    # By FFT in float64: the same sum to 1e-13, a hundred times faster.
    return scipy.signal.fftconvolve(audio.astype(np.float64), kernel)[reach : reach + len(audio)]


def tone(frequency: float) -> np.ndarray[Any, Any]:
    return np.sin(2 * np.pi * frequency * TIME)


SIGNALS: dict[str, np.ndarray[Any, Any]] = {
    "noise": np.random.default_rng(0).standard_normal(SAMPLES),
    "chirp": scipy.signal.chirp(TIME, 50, TIME[-1], 3500, method="logarithmic"),
    "impulse": np.eye(1, SAMPLES, 5003)[0],
    "constant": np.ones(SAMPLES),
    **{f"tone {f} Hz": tone(f) for f in (62.5, 125, 250, 500, 1000, 2000)},
}


def small_plan(**changes: object) -> Plan:
    settings = {"stored_rate": RATE, "sample_rate": RATE, "scales": 12} | changes
    return dwt.plan(SAMPLES, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(("minimum_frequency", "segments"), [(60.0, 1), (300.0, 4)])
def test_coefficients_are_the_direct_convolutions(name: str, minimum_frequency: float, segments: int) -> None:
    audio = SIGNALS[name]
    plan = small_plan(minimum_frequency=minimum_frequency)
    assert plan.segments == segments
    difference = size = 0.0
    for group, values in zip(plan.groups, dwt.coefficients(audio.astype(np.float32), plan), strict=True):
        step = plan.hop // group.rate
        for scale, row in zip(plan.scales[group.first : group.stop], values, strict=True):
            expected = convolved(audio, scale, plan.bandwidth, plan.centre)[::step]
            difference += float(np.linalg.norm(row[: len(expected)] - expected)) ** 2 * step
            size += float(np.linalg.norm(expected)) ** 2 * step
    assert (difference / size) ** 0.5 <= 1e-4


@pytest.mark.parametrize(
    ("wavelet", "frame_length"),
    [("cmor1.5-1.0", 480), ("cmor1.0-1.5", 256), ("cmor3-2", 300), ("cmor1-6", 480)],
)
def test_energy_is_the_full_rate_transforms_frame_average(wavelet: str, frame_length: int) -> None:
    audio = SIGNALS["noise"] * np.linspace(0, 1, SAMPLES)
    plan = small_plan(wavelet=wavelet, frame_length=frame_length)
    energy = dwt.energy(audio.astype(np.float32), plan)
    hop = frame_length // 2
    assert energy.shape == (12, (SAMPLES // hop) - 1)
    window = 0.5 - 0.5 * np.cos(np.pi * np.arange(frame_length) / hop)
    for scale, row in zip(plan.scales, energy, strict=True):
        power = abs(convolved(audio, scale, plan.bandwidth, plan.centre)) ** 2
        expected = [power[m * hop : m * hop + frame_length] @ window / hop for m in range(energy.shape[1])]
        assert np.abs(row - expected).max() <= BEAT * np.max(expected)


def test_nothing_is_lost_where_segments_meet() -> None:
    plan = small_plan(minimum_frequency=300.0)
    border = plan.segment_hops * plan.hop
    for position in (border - 1, border, border + 1):
        click = np.eye(1, SAMPLES, position)[0]
        for row, scale in zip(dwt.energy(click.astype(np.float32), plan), plan.scales, strict=True):
            power = abs(convolved(click, scale, plan.bandwidth, plan.centre)) ** 2
            window = 0.5 - 0.5 * np.cos(np.pi * np.arange(2 * plan.hop) / plan.hop)
            expected = [power[m * plan.hop :][: 2 * plan.hop] @ window / plan.hop for m in range(plan.frames)]
            # One click is the worst case: a beat and its mirror image add up, and nothing averages them.
            assert np.abs(row - expected).max() <= 2 * BEAT * np.max(expected)


def test_long_clips_take_as_much_work_per_second_as_short_ones() -> None:
    def work(seconds: int) -> float:
        plan = dwt.plan(22_050 * seconds)
        return plan.segments * plan.span / seconds

    assert work(60) == pytest.approx(work(5), rel=0.05)
    assert dwt.plan(22_050 * 60).span == dwt.plan(22_050 * 5).span


def test_later_transforms_leave_earlier_results_alone() -> None:
    audio = SIGNALS["noise"].astype(np.float32)
    plan = small_plan(scales=17)
    first = dwt.coefficients(audio, plan)
    kept = [values.copy() for values in first]
    dwt.coefficients(audio[::-1], plan)
    for values, copy in zip(first, kept, strict=True):
        np.testing.assert_array_equal(values, copy)


def test_pywavelets_agrees_within_its_own_error() -> None:
    # Its wavelet is a staircase of 1024 steps, which also lets some of every higher frequency through.
    plan = small_plan(maximum_frequency=1000.0)
    audio = SIGNALS["chirp"]
    transform, frequencies = pywt.cwt(audio, plan.scales, "cmor1.5-1.0", 1 / RATE, method="fft")
    np.testing.assert_allclose(frequencies, plan.frequencies, rtol=2e-3)
    for group, values in zip(plan.groups, dwt.coefficients(audio.astype(np.float32), plan), strict=True):
        expected = np.abs(transform[group.first : group.stop, :: plan.hop // group.rate])
        error = np.linalg.norm(np.abs(values)[:, : expected.shape[1]] - expected) / np.linalg.norm(expected)
        assert error < 0.06


@pytest.mark.parametrize("stored_rate", [8000, 16_000, 22_050, 44_100])
def test_the_clips_sample_rate_does_not_matter(stored_rate: int) -> None:
    def sound(rate: int) -> np.ndarray[Any, Any]:
        time = np.arange(rate) / rate
        bump = np.exp(-(((time - 0.5) / 0.1) ** 2))
        return (bump * (np.sin(2 * np.pi * 300 * time) + np.sin(2 * np.pi * 1900 * time))).astype(np.float32)

    def energy(rate: int) -> np.ndarray[Any, Any]:
        plan = dwt.plan(rate, stored_rate=rate, sample_rate=RATE, scales=20)
        result: np.ndarray[Any, Any] = dwt.energy(sound(rate), plan)
        return result

    expected = energy(RATE)
    np.testing.assert_allclose(energy(stored_rate), expected, atol=1e-5 * expected.max())


def test_sound_above_the_transforms_nyquist_frequency_is_left_out() -> None:
    time = np.arange(22_050) / 22_050
    plan = dwt.plan(22_050, sample_rate=RATE, scales=10, maximum_frequency=4000.0)
    high = (np.hanning(22_050) * np.sin(2 * np.pi * 5000 * time)).astype(np.float32)
    low = (np.hanning(22_050) * np.sin(2 * np.pi * 3500 * time)).astype(np.float32)
    assert dwt.energy(high, plan).max() < 1e-6 * dwt.energy(low, plan).max()


def test_rows_ascend_and_columns_run_on() -> None:
    plan = dwt.plan(22_050, scales=64)
    time = np.arange(22_050) / 22_050
    audio = np.where(time < 0.5, np.sin(2 * np.pi * 100 * time), np.sin(2 * np.pi * 3000 * time))
    picture = dwt.pictures(audio.astype(np.float32), plan, size=(32, 20))
    centre = np.log(np.array(plan.frequencies)).reshape(32, 2).mean(1)
    assert abs(int(picture[:, 4].argmax()) - int(np.abs(centre - np.log(100)).argmin())) <= 1
    assert abs(int(picture[:, 15].argmax()) - int(np.abs(centre - np.log(3000)).argmin())) <= 1


@pytest.mark.parametrize("make", [lambda n: np.zeros(n), lambda n: np.ones(n) * 1e-20])
def test_silence_and_nearly(make: Callable[[int], np.ndarray[Any, Any]]) -> None:
    audio = make(22_050).astype(np.float32)
    picture = dwt.pictures(audio, dwt.plan(22_050), size=(18, 24))
    assert np.isfinite(picture).all()
    assert (picture == 0).all() == (not audio.any())


@pytest.mark.parametrize("samples", [1, 10, 331, 3000])
def test_clips_shorter_than_a_frame(samples: int) -> None:
    picture = dwt.pictures(np.ones(samples, np.float32), dwt.plan(samples, scales=16), size=(8, 6))
    assert picture.shape == (8, 6)
    assert picture.max() > 0.5


def test_batches_and_devices_agree() -> None:
    audio = np.random.default_rng(4).standard_normal((2, 2, 22_050)).astype(np.float32)
    plan = dwt.plan(22_050, scales=40)
    batch = dwt.pictures(audio, plan, size=(18, 24))
    np.testing.assert_allclose(batch[1, 0], dwt.pictures(audio[1, 0], plan, size=(18, 24)), atol=1e-6)
    for kind in (torch.float32, torch.float64):
        on_torch = dwt.pictures(torch.from_numpy(audio).to(kind), plan, size=(18, 24))
        np.testing.assert_allclose(batch, on_torch.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wavelet": "morl"}, "dwt.wavelet"),
        ({"wavelet": "cmor0-1"}, "dwt.wavelet"),
        ({"wavelet": "cmor0.5-0.5"}, "too few oscillations"),
        ({"scales": 0}, "dwt.scales"),
        ({"minimum_frequency": 0.0}, "minimum_frequency"),
        ({"minimum_frequency": 5000.0}, "minimum_frequency"),
        ({"maximum_frequency": 9000.0}, "maximum_frequency"),
        ({"frame_length": 481}, "frame_length"),
        ({"sample_rate": 15_991}, "common grid"),
    ],
)
def test_parameters_that_make_no_sense(changes: dict[str, object], words: str) -> None:
    with pytest.raises(AdvaudioError, match=words):
        dwt.plan(22_050, **changes)  # type: ignore[arg-type]


def test_wavelet_names() -> None:
    assert parse_wavelet("cmor1.5-1.0") == (1.5, 1.0)
    assert parse_wavelet("cmor2-3") == (2.0, 3.0)
