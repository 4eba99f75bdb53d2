"""Synthetic models of ten environmental sounds: the classes of UrbanSound8K, in its official order.

Every model is a function ``(device, event, samples) -> float64 (samples,)``. What stays the same in all
clips of one recording (base pitch, timbre, mechanics) is drawn from the generator ``device``; what differs
from clip to clip (timing, contour, noise) from ``event``. A caller that makes ``device`` again from one seed
for every clip therefore gets the same dog barking differently.

The models are physically motivated, not measured: engines and horns are harmonic series with jitter, voices
are harmonics under formants, tools are impulse trains through resonances, shots are decaying noise with an
echo.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

SAMPLE_RATE = 22_050
# Samples in one tabulated period of a harmonic series: fine enough that reading the nearest one costs -70 dB.
PERIOD = 16_384

Signal = NDArray[np.float64]
Model = Callable[[np.random.Generator, np.random.Generator, int], Signal]


def coloured_noise(
    generator: np.random.Generator,
    samples: int,
    *,
    low: float = 30.0,
    high: float = 10_000.0,
    slope: float = 0.0,
) -> Signal:
    """Gaussian noise between two soft band edges, of unit root mean square.

    Parameters
    ----------
    generator
        Source of the noise.
    samples
        Length of the result.
    low, high
        Band edges in Hz (fourth-order Butterworth magnitudes).
    slope
        Spectral slope in dB per octave: 0 is white, -3 pink, -6 brown.
    """
    length = fft.next_fast_len(max(samples, 64), real=True)
    spectrum = fft.rfft(generator.standard_normal(length))
    frequency = np.maximum(fft.rfftfreq(length, 1.0 / SAMPLE_RATE), 1.0)
    power = (frequency / 1000.0) ** (slope / 3.0103)
    below, above = np.square(np.square(low / frequency)), np.square(np.square(frequency / high))
    power /= (1.0 + below * below) * (1.0 + above * above)
    noise: Signal = fft.irfft(spectrum * np.sqrt(power), length)[:samples]
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)


def reverberate(sound: Signal, generator: np.random.Generator, *, seconds: float, wet: float) -> Signal:
    """Add a diffuse room: convolution with noise that decays by 60 dB in `seconds`; `wet` is its energy."""
    length = max(int(seconds * SAMPLE_RATE), 2)
    time = np.arange(length) / SAMPLE_RATE
    response = coloured_noise(generator, length, low=150.0, high=5000.0, slope=-3.0)
    response *= 10.0 ** (-3.0 * time / seconds)
    response *= np.sqrt(wet / np.sum(response**2))
    response[0] += 1.0
    size = fft.next_fast_len(len(sound) + length, real=True)
    reverberant: Signal = fft.irfft(fft.rfft(sound, size) * fft.rfft(response, size), size)[: len(sound)]
    return reverberant


def _wander(generator: np.random.Generator, samples: int, rate: float) -> Signal:
    """Random curve of unit spread with `rate` independent values a second, linear in between."""
    knots = int(samples / SAMPLE_RATE * rate) + 3
    curve: Signal = np.interp(
        np.arange(samples) * (rate / SAMPLE_RATE), np.arange(knots), generator.standard_normal(knots)
    )
    return curve


def _harmonics(frequency: Signal, amplitudes: Signal) -> Signal:
    """Sum of the harmonics of a gliding fundamental (Hz, per sample); those above 10 kHz are left out."""
    audible = amplitudes[: max(int(10_000.0 / float(frequency.max())), 1)]
    spectrum = np.zeros(PERIOD // 2 + 1, dtype=np.complex128)
    spectrum[1 : len(audible) + 1] = -0.5j * PERIOD * audible
    period: Signal = fft.irfft(spectrum, PERIOD)
    turns = np.cumsum(frequency / SAMPLE_RATE)
    waveform: Signal = period[((turns - np.floor(turns)) * PERIOD).astype(np.intp)]
    return waveform


def _formants(fundamental: float, centres: Signal, width: float, tilt: float) -> Signal:
    """Amplitudes of 24 harmonics under resonances at `centres` (Hz), the source falling as number**-tilt."""
    numbers = np.arange(1, 25)
    gains = (1.0 / (1.0 + ((numbers[:, None] * fundamental - centres) / width) ** 2)).sum(axis=1)
    amplitudes: Signal = (gains + 0.03) * numbers**-tilt
    return amplitudes


def _resonate(excitation: Signal, frequencies: Signal, decay: float) -> Signal:
    """Sum of two-pole resonances (Hz) that ring for `decay` seconds (to -60 dB)."""
    total = np.zeros(len(excitation))
    radius = 10.0 ** (-3.0 / (decay * SAMPLE_RATE))
    for frequency in frequencies:
        cosine = np.cos(2.0 * np.pi * frequency / SAMPLE_RATE)
        total += signal.lfilter(
            [1.0 - radius, 0.0, radius - 1.0], [1.0, -2.0 * radius * cosine, radius**2], excitation
        )
    return total / max(float(np.abs(total).max()), 1e-12)


def _envelope(samples: int, attack: float, release: float) -> Signal:
    """Linear rise over `attack` seconds and fall over `release` seconds; one in between."""
    time = np.arange(samples) / SAMPLE_RATE
    envelope: Signal = np.clip(np.minimum(time / attack, (time[-1] - time) / release), 0.0, 1.0)
    return envelope


def _add(total: Signal, sound: Signal, start: int) -> None:
    """Add `sound` into `total` from index `start` (which may be negative), cut at both ends."""
    first, stop = max(start, 0), min(start + len(sound), len(total))
    if stop > first:
        total[first:stop] += sound[first - start : stop - start]


def _bursts(
    event: np.random.Generator, samples: int, shortest: float, longest: float, pause: float
) -> Signal:
    """Gate of a hand-held tool: on for `shortest` to `longest` seconds, off for about `pause` seconds."""
    gate = np.zeros(samples)
    position = int(-event.uniform(0.0, shortest) * SAMPLE_RATE)
    if event.random() < 0.5:
        position = int(event.uniform(0.0, 0.5) * SAMPLE_RATE)
    while position < samples:
        length = int(event.uniform(shortest, longest) * SAMPLE_RATE)
        burst = _envelope(length, event.uniform(0.02, 0.12), event.uniform(0.03, 0.15))
        _add(gate, burst, position)
        position += length + int(event.uniform(0.4, 1.6) * pause * SAMPLE_RATE)
    return np.minimum(gate, 1.0)


def air_conditioner(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """Steady broad-band flow noise, the fan's blade tones and a compressor's hum."""
    slope, corner = device.uniform(-5.0, -2.0), device.uniform(4000.0, 9000.0)
    blade, tones = device.uniform(70.0, 260.0), device.uniform(0.1, 0.7)
    whine, whine_level = device.uniform(500.0, 3500.0), device.uniform(0.0, 0.25)
    flutter = device.uniform(0.02, 0.08)
    flow = coloured_noise(event, samples, low=50.0, high=corner, slope=slope)
    speed = 1.0 + 0.004 * _wander(event, samples, 2.0)
    hum = _harmonics(blade * speed, tones * np.arange(1.0, 9.0) ** -device.uniform(0.7, 1.6))
    sound: Signal = flow * (1.0 + flutter * _wander(event, samples, 6.0)) + hum
    sound += whine_level * _harmonics(whine * speed, np.ones(1))
    return sound


def engine_idling(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """Firing pulses at 18 to 45 Hz of uneven cylinders, exhaust resonances, valve clatter, a loping idle."""
    rate, cylinders = device.uniform(18.0, 45.0), int(device.integers(3, 7))
    unevenness = 1.0 + 0.35 * device.standard_normal(cylinders)
    exhaust = device.uniform(90.0, 420.0, 3)
    clatter_band, clatter_level = device.uniform(900.0, 4500.0), device.uniform(0.1, 0.6)
    lope, lope_rate = device.uniform(0.15, 0.4), device.uniform(2.0, 5.0)
    hiss, hiss_slope = device.uniform(0.1, 0.4), device.uniform(-7.0, -4.0)
    loping = _wander(event, samples, lope_rate)
    turns = np.cumsum(rate * (1.0 + 0.04 * loping) / SAMPLE_RATE)
    fired = np.flatnonzero(np.diff(np.floor(turns)) > 0)
    pulses = np.zeros(samples)
    pulses[fired] = unevenness[np.arange(len(fired)) % cylinders] * event.normal(1.0, 0.12, len(fired))
    body = _resonate(pulses, exhaust, 0.12)
    sharp = np.exp(-6.0 * (turns % 1.0))
    clatter = coloured_noise(event, samples, low=0.6 * clatter_band, high=1.7 * clatter_band) * sharp
    sound: Signal = body + 0.5 * clatter_level * clatter
    sound += 0.3 * hiss * coloured_noise(event, samples, low=60.0, high=6000.0, slope=hiss_slope)
    return sound * np.maximum(1.0 + lope * loping, 0.1)


def car_horn(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """One or two reeds, a third apart, rich in harmonics; short and long honks with hard edges."""
    low = device.uniform(300.0, 500.0)
    reeds = [low] if device.random() < 0.3 else [low, low * device.uniform(1.18, 1.34)]
    flare = device.uniform(1000.0, 2800.0, 2)
    amplitudes = [_formants(reed, flare, device.uniform(400.0, 1200.0), 0.2) for reed in reeds]
    attack, bend = device.uniform(0.01, 0.05), device.uniform(0.0, 0.04)
    total = np.zeros(samples)
    position = int(event.uniform(0.0, 0.6) * SAMPLE_RATE)
    hurried = event.random() < 0.35
    while position < samples:
        length = int((event.uniform(0.12, 0.4) if hurried else event.uniform(0.5, 2.0)) * SAMPLE_RATE)
        shape = _envelope(length, attack, 0.04)
        glide = 1.0 - bend * np.exp(-np.arange(length) / (0.04 * SAMPLE_RATE))
        for reed, amplitude in zip(reeds, amplitudes, strict=True):
            _add(total, shape * _harmonics(reed * glide, amplitude), position)
        position += length + int(event.uniform(0.1, 0.35 if hurried else 1.0) * SAMPLE_RATE)
    return total


def siren(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """Wail (slow sweep), yelp (fast sweep) or two alternating tones, from a horn loudspeaker."""
    kind = int(device.choice([0, 0, 1, 1, 2]))
    low = device.uniform(450.0, 800.0)
    ratio = device.uniform(1.25, 1.5) if kind == 2 else device.uniform(2.0, 2.8)
    period = (device.uniform(1.8, 4.0), device.uniform(0.35, 0.8), device.uniform(0.8, 1.6))[kind]
    amplitudes = np.arange(1.0, 13.0) ** -device.uniform(0.8, 2.2)
    amplitudes[1::2] *= device.uniform(0.15, 1.0)
    passing = 1.0 + event.uniform(-0.04, 0.04) * np.linspace(-1.0, 1.0, samples)
    cycle = (np.arange(samples) / (period * SAMPLE_RATE) + event.random()) % 1.0
    if kind == 2:
        position = np.clip(0.5 + 12.0 * (np.abs(2.0 * cycle - 1.0) - 0.5), 0.0, 1.0)
    else:
        rise = device.uniform(0.35, 0.65)
        position = np.where(cycle < rise, cycle / rise, (1.0 - cycle) / (1.0 - rise))
    frequency = low * ratio**position * passing
    level = np.maximum(
        1.0 + event.uniform(0.0, 0.6) * np.linspace(-1.0, 1.0, samples) * event.choice([-1.0, 1.0]), 0.2
    )
    sound: Signal = _harmonics(frequency, amplitudes) * level * (0.55 + 0.45 * position)
    return sound


def street_music(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """A plucked or blown melody on a pentatonic scale, chords below it, and a beat."""
    root, tempo = device.uniform(130.0, 330.0), device.uniform(0.16, 0.36)
    blown, beat_level = device.random() < 0.3, device.uniform(0.5, 1.2)
    timbre = np.arange(1.0, 15.0) ** -device.uniform(1.0, 2.0) * device.uniform(0.3, 1.0, 14)
    chord_level, ring = device.uniform(0.1, 0.4), device.uniform(0.12, 0.45)
    vibrato_rate, vibrato = device.uniform(4.5, 6.5), device.uniform(0.0, 0.012)
    scale = np.array([0, 2, 4, 7, 9, 12, 14, 16, 19])
    total = np.zeros(samples)
    step, degree = int(tempo * SAMPLE_RATE), int(event.integers(2, 7))
    start = -int(event.uniform(0.0, 1.0) * step)
    for count, onset in enumerate(range(start, samples, step)):
        if count % 4 == 0:
            for interval in (0, 7, 16)[: int(event.integers(2, 4))]:
                pitch = root / 2.0 * 2.0 ** ((interval + event.choice([0, 5, 7])) / 12.0)
                pad = _harmonics(np.full(4 * step, pitch), timbre[:8]) * _envelope(4 * step, 0.02, 0.1)
                _add(total, chord_level * pad * 0.5, onset)
        length = int(0.07 * SAMPLE_RATE)
        band = 3000.0 if count % 2 else 150.0
        hit = coloured_noise(event, length, low=band / 2, high=band * 3) * np.exp(
            -np.linspace(0.0, 5.0, length)
        )
        _add(total, beat_level * hit, onset)
        degree = int(np.clip(degree + event.integers(-2, 3), 0, len(scale) - 1))
        if event.random() < 0.2:
            continue
        length = int(event.choice([1, 1, 2]) * step * 0.95)
        time = np.arange(length) / SAMPLE_RATE
        glide = 1.0 + vibrato * np.sin(2.0 * np.pi * vibrato_rate * time)
        note = _harmonics(root * 2.0 ** (scale[degree] / 12.0) * glide, timbre)
        note *= (
            _envelope(length, 0.03, 0.05) if blown else _envelope(length, 0.004, 0.03) * np.exp(-time / ring)
        )
        _add(total, note, onset)
    return total


def _voice(
    event: np.random.Generator, length: int, pitch: float, formants: Signal, breath: float, arch: float
) -> Signal:
    """One voiced syllable: an arched pitch contour under formants, with breath noise in the same bands."""
    time = np.linspace(0.0, 1.0, length)
    contour = pitch * (1.0 + arch * (4.0 * time * (1.0 - time) - 0.5) + 0.02 * _wander(event, length, 25.0))
    sound = _harmonics(contour, _formants(pitch, formants, 0.18 * float(formants.mean()), 0.5))
    noise = coloured_noise(
        event, length, low=0.6 * float(formants.min()), high=1.4 * float(formants.max()), slope=-2.0
    )
    voice: Signal = sound / max(float(np.abs(sound).max()), 1e-12) + breath * noise
    return voice


def children_playing(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """Two to five high voices that call, chatter and laugh, each with its own vocal tract."""
    voices = int(device.integers(2, 6))
    pitches, tracts = device.uniform(260.0, 520.0, voices), device.uniform(0.9, 1.3, voices)
    distance, breath = device.uniform(0.25, 1.0, voices), device.uniform(0.03, 0.2)
    vowels = np.array(
        [[850.0, 1600.0, 3200.0], [450.0, 2600.0, 3600.0], [600.0, 1100.0, 3100.0], [700.0, 2100.0, 3300.0]]
    )
    total = np.zeros(samples)
    for pitch, tract, level in zip(pitches, tracts, distance, strict=True):
        position = int(event.uniform(-0.3, 0.9) * SAMPLE_RATE)
        while position < samples:
            calls = event.random() < 0.3
            laughs = not calls and event.random() < 0.35
            for _ in range(1 if calls else int(event.integers(2, 6))):
                length = int(
                    event.uniform(*((0.35, 0.9) if calls else (0.07, 0.12) if laughs else (0.1, 0.28)))
                    * SAMPLE_RATE
                )
                raised = pitch * (event.uniform(1.2, 1.9) if calls else event.uniform(0.85, 1.3))
                vowel = vowels[0 if laughs else int(event.integers(4))] * tract
                syllable = _voice(event, length, raised, vowel, breath, event.uniform(-0.1, 0.35))
                syllable *= _envelope(length, 0.025, 0.05) * level * event.uniform(0.6, 1.3)
                _add(total, syllable, position)
                position += length + int(event.uniform(0.02, 0.09) * SAMPLE_RATE)
            position += int(event.uniform(0.15, 1.1) * SAMPLE_RATE)
    return total


def dog_bark(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """One dog: short rough barks alone or in pairs, with a steep pitch arch; a small dog yaps higher."""
    size = device.uniform(0.0, 1.0)
    pitch, length = 240.0 + 560.0 * size**1.5, 0.24 - 0.11 * size + device.uniform(-0.03, 0.03)
    tract = np.array([650.0, 1350.0, 2500.0]) * (0.75 + 0.65 * size) * device.uniform(0.9, 1.1, 3)
    roughness, arch = device.uniform(0.15, 0.6), device.uniform(0.2, 0.6)
    gap, pairs = device.uniform(0.2, 0.9), device.uniform(0.0, 0.6)
    total = np.zeros(samples)
    position = int(event.uniform(0.0, 0.7) * SAMPLE_RATE)
    while position < samples:
        for _ in range(2 if event.random() < pairs else 1):
            duration = int(length * event.uniform(0.75, 1.3) * SAMPLE_RATE)
            bark = _voice(event, duration, pitch * event.uniform(0.88, 1.15), tract, roughness, arch)
            bark *= _envelope(duration, 0.012, 0.6 * duration / SAMPLE_RATE) * event.uniform(0.6, 1.2)
            _add(total, bark, position)
            position += duration + int(0.06 * SAMPLE_RATE)
        position += int(gap * event.uniform(0.4, 1.8) * SAMPLE_RATE)
    return total


def drilling(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """A motor's whine that sags under load, gear harmonics, grinding noise; hammer drills also knock."""
    motor, tilt = device.uniform(180.0, 700.0), device.uniform(0.3, 1.1)
    grind, grind_level = device.uniform(1500.0, 5500.0), device.uniform(0.5, 2.0)
    knocks, knock_rate = device.uniform(0.0, 0.8), device.uniform(25.0, 60.0)
    sag = device.uniform(0.05, 0.3)
    gate = _bursts(event, samples, 0.7, 3.0, 0.5)
    load = 1.0 - sag * (0.5 + 0.35 * _wander(event, samples, 3.0))
    speed = np.clip(motor * load * (0.45 + 0.55 * gate), 60.0, None)
    whine = _harmonics(speed, np.arange(1.0, 19.0) ** -tilt * device.uniform(0.2, 1.0, 18))
    rough = coloured_noise(event, samples, low=0.5 * grind, high=2.2 * grind)
    rate = knock_rate * (1.0 + 0.02 * _wander(event, samples, 10.0))
    rough *= 1.0 - knocks + 2.0 * knocks * np.exp(-5.0 * (np.cumsum(rate / SAMPLE_RATE) % 1.0))
    sound: Signal = (whine + 0.5 * grind_level * rough * np.clip(1.2 - load, 0.1, 1.0) * 3.0) * gate
    return sound


def jackhammer(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """Blows at 9 to 26 Hz that ring the chisel and thud on the ground, over the hiss of compressed air."""
    rate, decay = device.uniform(9.0, 20.0), device.uniform(0.02, 0.08)
    chisel, ground = device.uniform(700.0, 4500.0, 4), device.uniform(70.0, 260.0, 2)
    thud, air, air_band = device.uniform(0.4, 1.4), device.uniform(0.02, 0.2), device.uniform(1500.0, 6000.0)
    crack = device.uniform(0.1, 0.6)
    gate = _bursts(event, samples, 0.5, 2.5, 0.45)
    turns = np.cumsum(rate * (1.0 + 0.03 * _wander(event, samples, 8.0)) / SAMPLE_RATE)
    struck = np.flatnonzero(np.diff(np.floor(turns)) > 0)
    blows = np.zeros(samples)
    blows[struck] = event.normal(1.0, 0.2, len(struck)) * gate[struck]
    dust = coloured_noise(event, samples, low=400.0, high=8000.0, slope=-2.0)
    dust *= np.exp(-14.0 * (turns % 1.0)) * gate
    sound: Signal = (
        _resonate(blows, chisel, decay) + thud * _resonate(blows, ground, 0.08) + crack * 0.4 * dust
    )
    sound += (
        air * coloured_noise(event, samples, low=air_band / 3.0, high=air_band * 2.0) * (0.3 + 0.7 * gate)
    )
    return sound


def gun_shot(device: np.random.Generator, event: np.random.Generator, samples: int) -> Signal:
    """Muzzle blasts, single or in automatic fire: broad-band cracks over a low boom, with a distant echo."""
    crack_decay, boom_decay = device.uniform(0.008, 0.04), device.uniform(0.05, 0.22)
    boom, boom_level = device.uniform(120.0, 600.0), device.uniform(0.3, 1.2)
    corner, slope = device.uniform(3500.0, 10_000.0), device.uniform(-4.0, 0.0)
    automatic, rate = device.random() < 0.35, device.uniform(6.0, 13.0)
    echo_delay, echo_level = device.uniform(0.08, 0.5), device.uniform(0.02, 0.3)
    tail, tail_level = device.uniform(0.2, 0.8), device.uniform(0.02, 0.15)
    total = np.zeros(samples)
    position = int(event.uniform(0.02, 0.9) * SAMPLE_RATE)
    while position < samples:
        for _ in range(int(event.integers(3, 10)) if automatic else 1):
            length = int(3.0 * tail * SAMPLE_RATE)
            time = np.arange(length) / SAMPLE_RATE
            blast = coloured_noise(event, length, low=80.0, high=corner, slope=slope) * np.exp(
                -time / crack_decay
            )
            low = coloured_noise(event, length, low=40.0, high=boom)
            blast += low * (boom_level * np.exp(-time / boom_decay) + tail_level * np.exp(-time / tail))
            blast *= event.uniform(0.75, 1.1)
            _add(total, blast, position)
            _add(total, echo_level * blast, position + int(echo_delay * SAMPLE_RATE))
            position += int(event.normal(1.0, 0.03) * SAMPLE_RATE / rate)
        position += int(event.uniform(0.3, 1.6) * SAMPLE_RATE)
    return total


# In the official order of UrbanSound8K: a class's place is its label.
MODELS: dict[str, Model] = {
    "air_conditioner": air_conditioner,
    "car_horn": car_horn,
    "children_playing": children_playing,
    "dog_bark": dog_bark,
    "drilling": drilling,
    "engine_idling": engine_idling,
    "gun_shot": gun_shot,
    "jackhammer": jackhammer,
    "siren": siren,
    "street_music": street_music,
}
