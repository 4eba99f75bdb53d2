"""The demo data set: names and folds, determinism, and that each class sounds like what it is called."""

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from advaudio.core.errors import AdvaudioError
from advaudio.datasets import demo
from advaudio.datasets.demo_sounds import MODELS, SAMPLE_RATE, Signal, coloured_noise, reverberate
from advaudio.datasets.source import Clip, find_source

URBANSOUND8K = [
    "air_conditioner",
    "car_horn",
    "children_playing",
    "dog_bark",
    "drilling",
    "engine_idling",
    "gun_shot",
    "jackhammer",
    "siren",
    "street_music",
]


@pytest.fixture(scope="module")
def small() -> list[Clip]:
    return list(demo.generate(seed=3, recordings_per_class=5, clips_per_recording=2))


def _sound(name: str, recording: int, seconds: float = 3.0) -> Signal:
    """The bare sound of a class, without room and background."""
    label = URBANSOUND8K.index(name)
    device, event = np.random.default_rng([9, label, recording]), np.random.default_rng([8, label, recording])
    return MODELS[name](device, event, int(seconds * SAMPLE_RATE))


def _power(sound: Signal) -> tuple[Signal, Signal]:
    """Frequencies and power spectrogram (frequency, time) in frames of 46 ms."""
    frequency, _, spectrum = signal.stft(sound, SAMPLE_RATE, nperseg=1024, noverlap=512)
    return frequency, np.abs(spectrum) ** 2


def test_the_source_is_found_and_states_its_numbers(small: list[Clip]) -> None:
    source = find_source("demo")
    assert (source.classes, source.folds, source.remote) == (10, 5, None)
    assert source.make_clips is not None
    made = next(source.make_clips({"recordings_per_class": 5, "clips_per_recording": 2}, 3))
    assert np.array_equal(made.audio, small[0].audio)


def test_counts_names_labels_and_order(small: list[Clip]) -> None:
    assert len(small) == 10 * 5 * 2
    assert len({clip.clip for clip in small}) == len(small)
    assert [clip.class_name for clip in small[::10]] == URBANSOUND8K
    assert all(clip.class_name == URBANSOUND8K[clip.label] for clip in small)
    assert all(clip.clip.rsplit("-", 1)[0] == clip.source for clip in small)
    assert Counter(Counter(clip.source for clip in small).values()) == {2: 50}


@pytest.mark.parametrize("recordings", [1, 4, 5, 10, 13])
def test_folds_hold_whole_recordings_and_are_even_in_every_class(recordings: int) -> None:
    for label in range(10):
        folds = Counter(demo.official_folds(7, label, recordings).tolist())
        assert set(folds) <= set(range(1, 6))
        counts = [folds[fold] for fold in range(1, 6)]
        assert max(counts) - min(counts) <= 1


def test_clips_of_one_recording_share_its_fold(small: list[Clip]) -> None:
    assert all(
        len({clip.fold for clip in small if clip.source == source}) == 1
        for source in {c.source for c in small}
    )
    assert {(clip.label, clip.fold) for clip in small} == {
        (label, fold) for label in range(10) for fold in range(1, 6)
    }


def test_audio_is_bounded_short_and_on_the_16_bit_grid(small: list[Clip]) -> None:
    for clip in small:
        assert clip.audio.dtype == np.float32
        assert clip.sample_rate == SAMPLE_RATE
        assert 1.5 * SAMPLE_RATE - 1 <= len(clip.audio) <= 3 * SAMPLE_RATE
        assert 0.01 < np.abs(clip.audio).max() <= 1.0
        assert np.array_equal(clip.audio * 32_768, np.round(clip.audio * 32_768))
    assert len({len(clip.audio) for clip in small}) > 5


def test_a_second_run_is_bitwise_the_same_and_another_seed_differs(small: list[Clip]) -> None:
    again = islice(demo.generate(seed=3, recordings_per_class=5, clips_per_recording=2), 12)
    assert all(np.array_equal(one.audio, two.audio) for one, two in zip(small, again, strict=False))
    other = next(demo.generate(seed=4, recordings_per_class=5, clips_per_recording=2))
    assert not np.array_equal(other.audio, small[0].audio)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 9), st.integers(0, 30), st.integers(0, 9))
def test_a_clip_depends_on_its_own_numbers_alone(seed: int, label: int, recording: int, clip: int) -> None:
    audio = demo.synthesise(seed, label, recording, clip)
    demo.synthesise(seed, (label + 1) % 10, recording, clip)
    assert np.array_equal(audio, demo.synthesise(seed, label, recording, clip))
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() <= 1.0


def test_no_two_clips_are_alike(small: list[Clip]) -> None:
    assert len({clip.audio[:2000].tobytes() for clip in small}) == len(small)


def test_more_background_is_what_the_knob_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quieter gaps: the ratio of loud to quiet frames of shots falls as the background rises."""

    def contrast(level: float) -> float:
        monkeypatch.setattr(demo, "BACKGROUND_LEVEL", level)
        ratios = []
        for recording in range(6):
            _, power = _power(demo.synthesise(0, URBANSOUND8K.index("gun_shot"), recording, 0))
            energy = power.sum(axis=0)
            ratios.append(10 * np.log10(np.quantile(energy, 0.98) / np.quantile(energy, 0.1)))
        return float(np.mean(ratios))

    assert contrast(-30.0) > contrast(0.0) + 5.0 > contrast(20.0) + 10.0


@pytest.mark.parametrize(
    ("source_settings", "message"),
    [
        ({"recordings_per_class": 0}, "datasets.demo.source.recordings_per_class is 0"),
        ({"clips_per_recording": -2}, "datasets.demo.source.clips_per_recording is -2"),
        ({"clips_per_recording": 1.5}, "datasets.demo.source.clips_per_recording is 1.5"),
        ({"recordings_per_class": True}, "datasets.demo.source.recordings_per_class is True"),
        ({"recordings": 3}, "datasets.demo.source.recordings is no setting"),
    ],
)
def test_bad_settings_are_named_before_the_first_clip(source_settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        demo.make_clips(source_settings, 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(AdvaudioError, match="seed is -1"):
        demo.generate(seed=-1)


@pytest.mark.parametrize("slope", [-6.0, -3.0, 0.0])
def test_coloured_noise_has_the_slope_asked_for(slope: float) -> None:
    noise = coloured_noise(np.random.default_rng(0), 10 * SAMPLE_RATE, low=30.0, high=10_000.0, slope=slope)
    frequency, density = signal.welch(noise, SAMPLE_RATE, nperseg=4096)
    band = (frequency > 150) & (frequency < 4000)
    measured = np.polyfit(np.log2(frequency[band]), 10 * np.log10(density[band]), 1)[0]
    assert measured == pytest.approx(slope, abs=0.2)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1.0)


def test_the_room_decays_by_60_decibels_in_its_time() -> None:
    click = np.zeros(SAMPLE_RATE)
    click[0] = 1.0
    response = reverberate(click, np.random.default_rng(1), seconds=0.6, wet=0.25)
    assert np.sum(response[1:] ** 2) == pytest.approx(0.25, rel=0.1)
    remaining = 10 * np.log10(np.cumsum(response[:0:-1] ** 2)[::-1])
    early, late = int(0.1 * SAMPLE_RATE), int(0.4 * SAMPLE_RATE)
    assert remaining[early] - remaining[late] == pytest.approx(60.0 * 0.3 / 0.6, abs=3.0)


@pytest.mark.parametrize("name", URBANSOUND8K)
def test_models_give_a_sound_of_any_length(name: str) -> None:
    for seconds in (0.3, 1.7, 3.0):
        sound = _sound(name, 0, seconds)
        assert sound.shape == (int(seconds * SAMPLE_RATE),)
        assert np.isfinite(sound).all()
    assert np.abs(_sound(name, 1)).max() > 0.0


def _flatness(sound: Signal) -> float:
    """Spectral flatness of the louder half of the frames, 200 Hz to 8 kHz: 0 tonal, 1 white noise."""
    frequency, power = _power(sound)
    loud = power[:, power.sum(axis=0) >= np.median(power.sum(axis=0))]
    band = loud[(frequency > 200) & (frequency < 8000)] + 1e-12 * power.max()
    return float(np.median(np.exp(np.mean(np.log(band), axis=0)) / np.mean(band, axis=0)))


def _crest(sound: Signal) -> float:
    """Loudest 46 ms over the median one, in decibels: large for sparse events, small for steady sounds."""
    energy = _power(sound)[1].sum(axis=0)
    return float(10 * np.log10(energy.max() / (np.median(energy) + 1e-9 * energy.max())))


def _glide(sound: Signal) -> float:
    """How many different frequencies (22 Hz apart, 200 Hz to 2.5 kHz) are once the strongest partial."""
    frequency, power = _power(sound)
    power = power[:, power.sum(axis=0) >= np.median(power.sum(axis=0))]
    return float(len(np.unique(power[(frequency > 200) & (frequency < 2500)].argmax(axis=0))))


def _low_share(sound: Signal) -> float:
    """Share of the energy below 500 Hz."""
    frequency, power = _power(sound)
    return float(power[frequency < 500].sum() / power.sum())


@pytest.mark.parametrize(
    ("measure", "more", "less"),
    [
        (_flatness, "air_conditioner", "car_horn"),
        (_flatness, "drilling", "siren"),
        (_flatness, "jackhammer", "street_music"),
        (_crest, "gun_shot", "air_conditioner"),
        (_crest, "dog_bark", "engine_idling"),
        (_crest, "gun_shot", "jackhammer"),
        (_glide, "siren", "car_horn"),
        (_low_share, "engine_idling", "drilling"),
        (_low_share, "engine_idling", "dog_bark"),
    ],
)
def test_classes_differ_in_the_way_their_names_say(measure: Any, more: str, less: str) -> None:
    high, low = ([measure(_sound(name, recording)) for recording in range(8)] for name in (more, less))
    assert np.median(high) > 1.3 * np.median(low)


def test_a_jackhammer_strikes_nine_to_twenty_times_a_second() -> None:
    for recording in range(6):
        sound = _sound("jackhammer", recording)
        envelope = np.convolve(np.abs(sound), np.ones(110) / 110, mode="same")[::110]
        envelope -= envelope.mean()
        correlation = np.correlate(envelope, envelope, mode="full")[len(envelope) - 1 :]
        rate = SAMPLE_RATE / 110
        shortest, longest = int(rate / 24), int(rate / 7)
        lag = shortest + int(correlation[shortest:longest].argmax())
        assert correlation[lag] > 0.15 * correlation[0]
