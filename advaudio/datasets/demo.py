"""The demo data set: synthetic sounds of UrbanSound8K's ten classes, made on the spot from a seed.

It needs no download and no licence, and exists so that the whole pipeline runs in minutes anywhere. Its clips
are built to be confusable, not clean: each has the noise of its place and, now and then, an event of a
neighbouring class in the background, so that a good network stays below 100 % on recordings it has not heard.
Accuracies on it say nothing about real sounds.

Clips of one recording share the device (pitch, timbre, mechanics), the room, the microphone and the kind of
background; they differ in timing, contour, level, and in how loud the background is.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advaudio.core.errors import AdvaudioError
from advaudio.datasets.demo_sounds import MODELS, SAMPLE_RATE, Signal, coloured_noise, reverberate
from advaudio.datasets.source import Clip, Source

CLASS_NAMES: tuple[str, ...] = tuple(MODELS)
FOLDS = 5
MAXIMUM_SECONDS = 3.0

# The knob of difficulty: decibels added to everything but the labelled sound. More lowers the accuracy.
BACKGROUND_LEVEL = 0.0

# What may be heard behind a class: the sounds that it is most easily taken for.
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "air_conditioner": ("engine_idling", "drilling", "street_music"),
    "car_horn": ("siren", "street_music", "engine_idling"),
    "children_playing": ("dog_bark", "street_music", "air_conditioner"),
    "dog_bark": ("children_playing", "gun_shot", "car_horn"),
    "drilling": ("jackhammer", "air_conditioner", "children_playing"),
    "engine_idling": ("air_conditioner", "jackhammer", "car_horn"),
    "gun_shot": ("jackhammer", "dog_bark", "siren"),
    "jackhammer": ("drilling", "gun_shot", "engine_idling"),
    "siren": ("car_horn", "street_music", "children_playing"),
    "street_music": ("siren", "children_playing", "car_horn"),
}


def _decibels(level: float) -> float:
    return float(10.0 ** (level / 20.0))


def _loudness(sound: Signal) -> float:
    """Root mean square of the loudest tenth of the 20 ms frames: short events count like long ones."""
    frame = SAMPLE_RATE // 50
    power = np.mean(sound[: len(sound) // frame * frame].reshape(-1, frame) ** 2, axis=1)
    loudest = np.sort(power)[-max(len(power) // 10, 1) :]
    return float(np.sqrt(np.mean(loudest))) + 1e-9


def synthesise(seed: int, label: int, recording: int, clip: int) -> Signal:
    """One clip, float64 (samples,) in [-1, 1] at 22,050 Hz.

    It depends on the four arguments alone, not on which other clips are made.
    """
    name = CLASS_NAMES[label]
    # Seed sequences are padded with zeros, so clip 0 would share the stream of a shorter one: count from 1.
    event = np.random.default_rng([seed, label, recording, clip + 1])
    place = np.random.default_rng([seed, label, recording, 0, 1])
    device = np.random.default_rng([seed, label, recording, 0, 2])
    other_device = np.random.default_rng([seed, label, recording, 0, 3])

    slope, hum_corner = place.uniform(-8.0, -2.0), place.uniform(2000.0, 10_000.0)
    noise_level = place.uniform(-36.0, -18.0)
    neighbour = str(place.choice(NEIGHBOURS[name]))
    crowdedness = place.uniform(0.2, 0.7)
    reverberation, wet = place.uniform(0.1, 0.8), _decibels(place.uniform(-24.0, -8.0)) ** 2
    distance = place.uniform(-22.0, 0.0)

    seconds = MAXIMUM_SECONDS if event.random() < 0.75 else event.uniform(1.5, MAXIMUM_SECONDS)
    samples = int(seconds * SAMPLE_RATE)
    sound = MODELS[name](device, event, samples)
    mixture = sound / _loudness(sound)
    if event.random() < crowdedness:
        other = MODELS[neighbour](other_device, event, samples)
        level = event.uniform(-33.0, -15.0) + BACKGROUND_LEVEL
        mixture = mixture + _decibels(level) / _loudness(other) * other
    mixture = reverberate(mixture, place, seconds=reverberation, wet=wet)
    noise = coloured_noise(event, samples, low=60.0, high=hum_corner, slope=slope)
    mixture += _decibels(noise_level + event.uniform(-4.0, 4.0) + BACKGROUND_LEVEL) * noise
    peak = _decibels(min(distance + event.uniform(-4.0, 3.0), -0.3))
    mixture *= peak / np.abs(mixture).max()
    quantised: Signal = np.round(mixture * 32_768.0) / 32_768.0
    return quantised


def official_folds(seed: int, label: int, recordings: int) -> NDArray[np.int64]:
    """Official fold of each recording of a class: dealt in turn, from a random start, in random order."""
    dealer = np.random.default_rng([seed, label])
    order = dealer.permutation(recordings)
    folds: NDArray[np.int64] = (order + int(dealer.integers(FOLDS))) % FOLDS + 1
    return folds


def generate(
    *, seed: int = 0, recordings_per_class: int = 10, clips_per_recording: int = 3
) -> Iterator[Clip]:
    """Make the data set one clip at a time, class by class.

    The audio is float32 (samples,) in [-1, 1] at 22,050 Hz, at most three seconds. Clips are named as
    ``dog_bark-03-1``, their recordings as ``dog_bark-03``; official folds run from 1 to 5.

    Parameters
    ----------
    seed
        Decides every sample and every fold; not negative.
    recordings_per_class
        Source recordings of each class, 1 or more; with 5 or more every class is in every fold.
    clips_per_recording
        Clips cut from each recording, 1 or more.

    Raises
    ------
    AdvaudioError
        If a number is out of range.
    """
    settings = {"recordings_per_class": recordings_per_class, "clips_per_recording": clips_per_recording}
    return make_clips(settings, seed)


def make_clips(settings: Mapping[str, Any], seed: int) -> Iterator[Clip]:
    """`generate` with its numbers in a mapping, as `Source` wants it.

    Raises
    ------
    AdvaudioError
        If a setting is unknown, or is no whole number in range; at once, not when the first clip is taken.
    """
    counts = {"recordings_per_class": 10, "clips_per_recording": 3}
    for name, value in settings.items():
        if name not in counts:
            raise AdvaudioError(
                f"datasets.demo.source.{name} is no setting: the demo has {', '.join(counts)}."
            )
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise AdvaudioError(
                f"datasets.demo.source.{name} is {value!r}: give a whole number of 1 or more."
            )
        counts[name] = value
    if seed < 0:
        raise AdvaudioError(
            f"The parameter seed is {seed}: the demo data set needs a whole number of 0 or more."
        )
    return _make_clips(seed, **counts)


def _make_clips(seed: int, recordings_per_class: int, clips_per_recording: int) -> Iterator[Clip]:
    for label, class_name in enumerate(CLASS_NAMES):
        folds = official_folds(seed, label, recordings_per_class)
        for recording in range(recordings_per_class):
            source = f"{class_name}-{recording:02d}"
            for clip in range(clips_per_recording):
                yield Clip(
                    audio=synthesise(seed, label, recording, clip).astype(np.float32),
                    sample_rate=SAMPLE_RATE,
                    clip=f"{source}-{clip}",
                    label=label,
                    class_name=class_name,
                    fold=int(folds[recording]),
                    source=source,
                )


SOURCE = Source(
    title="Demo: ten synthetic environmental sounds",
    licence="MIT (made by this package, as its code)",
    citation="None: the sounds are synthetic. The ten classes are those of UrbanSound8K (Salamon, Jacoby and "
    "Bello, A Dataset and Taxonomy for Urban Sound Research, ACM Multimedia 2014).",
    homepage="",
    classes=len(CLASS_NAMES),
    folds=FOLDS,
    settings=("recordings_per_class", "clips_per_recording"),
    make_clips=make_clips,
)
