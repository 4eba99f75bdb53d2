"""Which scales of the complex Morlet are computed together, at which rate, and with which gains.

All is worked out once for a length of clip, in float64. A wavelet of centre frequency f occupies a band
around f only, so its coefficients are needed no oftener than the band is wide: the spectrum of the clip
times the wavelet's, folded to that rate, and a short inverse FFT give exactly every h-th coefficient of the
full-rate transform. Scales that need about the same rate form a group and share one batch of FFTs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, gcd, lcm, log, pi, sqrt
from typing import Any

import numpy as np
import scipy.fft

from advaudio.errors import AdvaudioError

TAIL = 1e-5
"""Amplitude, relative to a wavelet's peak, below which its spectrum's upper tail and its ends are dropped."""
BEAT = 1e-3
"""Strength, relative to the mean energy, of the beats that decimation may mix into an averaged energy."""
LANES = 4
"""Scales that always share a group: SciPy's FFT transforms so many float32 rows at once, and one alone takes
as long as all."""
SAMPLES_PER_HOP = 8
"""Least number of coefficients in half an averaging frame."""
LONGEST_PADDING = 4
"""Most times its own length that a clip may be padded to find a common grid of two sample rates."""


@dataclass(frozen=True)
class Group:
    """Scales `first` to `stop` (exclusive), computed at `rate` coefficients per frame hop."""

    first: int
    stop: int
    rate: int


@dataclass(frozen=True)
class Plan:
    """How to transform clips of `samples` samples at `stored_rate` Hz; made by `make_plan`.

    Attributes
    ----------
    bandwidth, centre
        B and C of the wavelet ψ(t) = (πB)^{−1/2} e^{2πiCt} e^{−t²/B}.
    frequencies
        Centre frequencies in Hz, ascending, log-spaced; scale s = C · sample_rate / frequency, in samples.
    hop
        Samples at `sample_rate` between averaging frames, half a frame.
    hops
        Hops that the zero-padded clip is long.
    padded
        Samples at `stored_rate` that it is long: the same time as `hops`.
    frames
        Averaging frames inside the clip.
    """

    samples: int
    stored_rate: int
    sample_rate: int
    bandwidth: float
    centre: float
    frequencies: tuple[float, ...]
    hop: int
    hops: int
    padded: int
    frames: int
    groups: tuple[Group, ...]

    @property
    def scales(self) -> np.ndarray[Any, Any]:
        """Scales in samples at `sample_rate`, as PyWavelets counts them, descending."""
        return self.centre * self.sample_rate / np.array(self.frequencies)


def parse_wavelet(name: str) -> tuple[float, float]:
    """Bandwidth B and centre frequency C of a PyWavelets name such as "cmor1.5-1.0".

    Raises
    ------
    AdvaudioError
        If the name is not of this form, or the wavelet is not analytic (too few oscillations: its spectrum
        reaches negative frequencies at more than a thousandth of its peak).
    """
    match = re.fullmatch(r"cmor(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", name)
    if match is None or float(match[1]) == 0 or float(match[2]) == 0:
        raise AdvaudioError(
            f"dwt.wavelet is {name!r}; it must be a complex Morlet as PyWavelets names it, cmorB-C with the "
            'bandwidth B and the centre frequency C above 0, such as "cmor1.5-1.0".'
        )
    bandwidth, centre = float(match[1]), float(match[2])
    if pi**2 * bandwidth * centre**2 < log(1e3):
        raise AdvaudioError(
            f"dwt.wavelet {name!r} has too few oscillations to separate positive from negative frequencies; "
            'raise B·C² to 0.7 or more, as in "cmor1.5-1.0".'
        )
    return bandwidth, centre


@lru_cache(maxsize=32)
def make_plan(
    *,
    samples: int,
    stored_rate: int,
    sample_rate: int,
    wavelet: str,
    scales: int,
    minimum_frequency: float,
    maximum_frequency: float | None,
    frame_length: int,
) -> Plan:
    """Work out the transform; the parameters are those of `advaudio.representations.dwt.build_dwt`.

    Raises
    ------
    AdvaudioError
        If a parameter makes no sense; the message names it.
    """
    bandwidth, centre = parse_wavelet(wavelet)
    frequencies = _centre_frequencies(scales, minimum_frequency, maximum_frequency, sample_rate)
    if frame_length < 4 or frame_length % 2:
        raise AdvaudioError(f"dwt.frame_length is {frame_length}; it must be an even number of at least 4.")
    hop = frame_length // 2
    length = samples * sample_rate / stored_rate
    # e^{−t²/B} falls below the dropped amplitude here, for the longest wavelet.
    reach = sqrt(bandwidth * log(1 / TAIL)) * centre * sample_rate / frequencies[0]
    frames = max(1, int(length // hop) - 1)
    needed = ceil(max(length, (frames + 1) * hop) + reach)
    hops, padded = _common_grid(needed, samples, stored_rate, sample_rate, hop)
    return Plan(
        samples=samples,
        stored_rate=stored_rate,
        sample_rate=sample_rate,
        bandwidth=bandwidth,
        centre=centre,
        frequencies=frequencies,
        hop=hop,
        hops=hops,
        padded=padded,
        frames=frames,
        groups=_groups(frequencies, bandwidth * centre**2, hop, sample_rate),
    )


def _centre_frequencies(
    scales: int, minimum: float, maximum: float | None, sample_rate: int
) -> tuple[float, ...]:
    nyquist = sample_rate / 2
    highest = nyquist / 2 if maximum is None else maximum
    if scales < 1:
        raise AdvaudioError(f"dwt.scales is {scales}; it must be a whole number of at least 1.")
    if not 0 < minimum < highest <= nyquist:
        raise AdvaudioError(
            f"dwt.minimum_frequency is {minimum} Hz and dwt.maximum_frequency is {highest} Hz; they must "
            f"ascend between 0 and half of the sample rate, {nyquist} Hz."
        )
    return tuple(float(value) for value in np.geomspace(minimum, highest, scales))


def _common_grid(needed: int, samples: int, stored_rate: int, sample_rate: int, hop: int) -> tuple[int, int]:
    # A time that is a whole number of samples at both rates and of hops: `unit` samples at sample_rate.
    common = gcd(stored_rate, sample_rate)
    unit = lcm(hop, sample_rate // common)
    blocks = scipy.fft.next_fast_len(-(-needed // unit))
    padded = blocks * unit // (sample_rate // common) * (stored_rate // common)
    if padded > LONGEST_PADDING * samples and unit > 8 * hop:
        raise AdvaudioError(
            f"The clips' sample rate, {stored_rate} Hz, and dwt_sample_rate, {sample_rate} Hz, have no "
            f"common grid shorter than {unit / sample_rate:.3g} s with dwt.frame_length {2 * hop}; choose a "
            "rate and a frame length with more common factors, such as 16000 and 480."
        )
    return blocks * unit // hop, padded


def _groups(
    frequencies: tuple[float, ...], oscillation: float, hop: int, sample_rate: int
) -> tuple[Group, ...]:
    # Beats within |W|² of one scale fall below the strength allowed at this frequency, relative to the centre;
    # sampled as fast as that, its average over a smooth frame is the full-rate average.
    beat = sqrt(2 * log(1 / BEAT) / (pi**2 * oscillation))
    rates = [rate for rate in range(1, hop + 1) if hop % rate == 0 and rate >= min(SAMPLES_PER_HOP, hop)]
    groups: list[Group] = []
    for first in range(0, len(frequencies), LANES):
        stop = min(first + LANES, len(frequencies))
        wanted = beat * frequencies[stop - 1] * hop / sample_rate
        rate = next((rate for rate in rates if rate >= wanted), rates[-1])
        if groups and groups[-1].rate == rate:
            groups[-1] = Group(groups[-1].first, stop, rate)
        else:
            groups.append(Group(first, stop, rate))
    return tuple(groups)


def group_gains(plan: Plan, group: Group) -> np.ndarray[Any, Any]:
    """Gain of each scale of `group` at the bins of the clip's spectrum, for an inverse FFT of the group.

    √s · ψ̂(s f) with ψ̂(f) = e^{−π²B(f−C)²}, the Fourier transform of the protocol's W(s, τ) in τ; over
    the length of the clip's FFT.

    Returns
    -------
    float32, shape (scales, 2 · bins): bins from 0 to the end of the highest scale's band or the Nyquist
    frequency of `plan.sample_rate`, whichever is lower; every gain twice, for real and imaginary part.
    """
    seconds = plan.padded / plan.stored_rate
    reach = sqrt(log(1 / TAIL) / (pi**2 * plan.bandwidth)) / plan.centre
    highest = plan.frequencies[group.stop - 1] * (1 + reach)
    nyquist = min(plan.sample_rate, plan.stored_rate) / 2
    bins = min(ceil(highest * seconds) + 1, ceil(nyquist * seconds))
    frequency = np.arange(bins) / seconds
    scales = plan.scales[group.first : group.stop, None]
    spectrum = np.exp(-(pi**2) * plan.bandwidth * (scales * frequency / plan.sample_rate - plan.centre) ** 2)
    gains = np.sqrt(scales) * spectrum / plan.padded
    return np.repeat(gains.astype(np.float32), 2, axis=1)


def frame_weights(plan: Plan, group: Group) -> np.ndarray[Any, Any]:
    """Hann weights of a frame's samples: float32, shape (2 · rate, 2), every weight twice, as the gains.

    The columns are the frame's first and second half, each column pair sums to 2. Hann frames that overlap by
    half add up to 1 everywhere, so no moment of the clip counts more than another; and being smooth they
    average the decimated energy as they would the full-rate one.
    """
    samples = 2 * group.rate
    weights = np.sin(pi * np.arange(samples) / samples) ** 2
    halves = (weights / weights.sum()).reshape(2, group.rate).T
    return np.repeat(halves.astype(np.float32), 2, axis=0)
