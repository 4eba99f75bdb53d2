"""How a clip is cut, and which scales of the complex Morlet are computed together, at which rates.

All is worked out once for a length of clip, in float64. A wavelet of centre frequency f is short (a few
periods) and occupies a band around f only. So its coefficients are needed only as often as their energy
changes, and each is a short sum over the clip sampled just above twice the band's end. Scales of about the
same frequency share both rates, and thus one matrix product for all their coefficients.

The clip is cut into segments that overlap by the reach of the longest wavelet, so that cutting changes
nothing. Their FFTs stay in the processor's cache, and the cost grows linearly with the clip's length.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor, gcd, lcm, log, pi, sqrt
from typing import Any

import numpy as np
import scipy.fft

from advaudio.core.errors import AdvaudioError

TAIL = 2e-6
"""Amplitude, relative to a wavelet's peak, below which its ends and its spectrum's upper tail are dropped."""
BEAT = 1e-3
"""Strength, relative to the mean energy, of the beats that decimation may mix into an averaged energy."""
FRAME_BAND = 2
"""Cycles per hop to which the spectrum of a Hann frame of two hops reaches, its first side lobes included."""
SCALES_TOGETHER = 16
"""Scales of a group: 32 columns, which small matrix products take twice as fast a column as 24."""
LANES = 4
"""Segments transformed at a time: SciPy's FFT takes as long for four float32 rows as for one."""
REACHES = 17
"""Length of a segment in reaches of the longest wavelet: the shorter, the more of it overlaps."""
GRID_COST = 400
"""Multiply-adds of a matrix product that take as long as one sample of an inverse FFT."""
LONGEST_PADDING = 4
"""Most times its own length that a clip may be padded to find a common grid of two sample rates."""


@dataclass(frozen=True)
class Group:
    """Scales `first` to `stop` (exclusive), and how they are computed.

    Attributes
    ----------
    rate
        Coefficients per hop.
    grid
        Samples per hop of the audio that they are computed from, a multiple of `rate`.
    reach
        Samples of that audio before and after a coefficient's time that its sum takes in.
    unit
        Hops between the coefficients of one matrix product, whose sums must not overlap.
    """

    first: int
    stop: int
    rate: int
    grid: int
    reach: int
    unit: int


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
    frames
        Averaging frames inside the clip.
    segments, segment_hops
        The zero-padded clip is cut into so many segments of so many hops.
    guard, span
        Hops before a segment that are transformed with it, and hops that are transformed in all.
    """

    samples: int
    stored_rate: int
    sample_rate: int
    bandwidth: float
    centre: float
    frequencies: tuple[float, ...]
    hop: int
    frames: int
    segments: int
    segment_hops: int
    guard: int
    span: int
    groups: tuple[Group, ...]

    @property
    def scales(self) -> np.ndarray[Any, Any]:
        """Scales in samples at `sample_rate`, as PyWavelets counts them, descending."""
        return self.centre * self.sample_rate / np.array(self.frequencies)

    def stored_samples(self, hops: int) -> int:
        """Samples at `stored_rate` in so many hops."""
        return hops * self.hop * self.stored_rate // self.sample_rate

    @property
    def own_grid(self) -> int | None:
        """Samples per hop of the stored audio, if that has the transform's rate."""
        return self.hop if self.stored_rate == self.sample_rate else None

    def bins(self, grid: int) -> int:
        """Bins of a segment's spectrum below the Nyquist frequencies of both rates and of `grid`."""
        seconds = self.span * self.hop / self.sample_rate
        nyquist = min(self.sample_rate, self.stored_rate) / 2
        return min(self.span * grid // 2, ceil(nyquist * seconds))


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
    length = samples * sample_rate / stored_rate / hop
    frames = max(1, int(length) - 1)
    # e^{−t²/B} falls to TAIL here, for the longest wavelet; in hops.
    reach = ceil(_half_length(bandwidth) * centre * sample_rate / frequencies[0] / hop)
    # Where a wavelet extends beyond the audio's band, that band's sharp end rings through the whole clip.
    whole = frequencies[-1] * _band_end(bandwidth, centre) > min(stored_rate, sample_rate) / 2
    hops = max(ceil(length), frames + 1)
    segments, segment_hops, guard, span = _segments(hops, reach, stored_rate, sample_rate, hop, whole)
    return Plan(
        samples=samples,
        stored_rate=stored_rate,
        sample_rate=sample_rate,
        bandwidth=bandwidth,
        centre=centre,
        frequencies=frequencies,
        hop=hop,
        frames=frames,
        segments=segments,
        segment_hops=segment_hops,
        guard=guard,
        span=span,
        groups=_groups(frequencies, bandwidth, centre, sample_rate, hop, segment_hops),
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


def _half_length(bandwidth: float) -> float:
    return sqrt(bandwidth * log(1 / TAIL))


def _band_end(bandwidth: float, centre: float) -> float:
    # Relative to the centre frequency: e^{−π²B(f−C)²} falls to TAIL here.
    return 1 + sqrt(log(1 / TAIL) / (pi**2 * bandwidth)) / centre


def _segments(
    hops: int, reach: int, stored_rate: int, sample_rate: int, hop: int, whole: bool
) -> tuple[int, int, int, int]:
    segments = 1 if whole else ceil(hops / (REACHES * reach))
    if segments > LANES // 2:
        segments = LANES * ceil(segments / LANES)
    # Guards and spans are a whole number of samples at both rates; 12 has divisors for the units of groups.
    common = lcm(hop, sample_rate // gcd(stored_rate, sample_rate)) // hop
    multiple = lcm(common, 12)
    segment_hops = multiple * ceil(hops / segments / multiple)
    guard = common * ceil(reach / common)
    span = common * scipy.fft.next_fast_len(ceil((guard + segment_hops + reach) / common))
    if common > 8 and segments * span > LONGEST_PADDING * (hops + 2 * reach):
        raise AdvaudioError(
            f"The clips' sample rate, {stored_rate} Hz, and dwt_sample_rate, {sample_rate} Hz, have no "
            f"common grid shorter than {common * hop / sample_rate:.3g} s with dwt.frame_length {2 * hop}; "
            "choose a rate and a frame length with more common factors, such as 16000 and 480."
        )
    return segments, segment_hops, guard, span


def _groups(
    frequencies: tuple[float, ...],
    bandwidth: float,
    centre: float,
    sample_rate: int,
    hop: int,
    segment_hops: int,
) -> tuple[Group, ...]:
    # Beats within |W|² of one scale fall below the strength allowed at this frequency, relative to the centre;
    # sampled faster than these and the frame's own band together, its average is the full-rate average.
    beat = sqrt(2 * log(1 / BEAT) / (pi**2 * bandwidth)) / centre
    rates = [rate for rate in range(1, hop + 1) if hop % rate == 0] + [2 * hop, 4 * hop]
    grids: set[int] = set()
    groups: list[Group] = []
    for stop in range(len(frequencies), 0, -SCALES_TOGETHER):
        first = max(0, stop - SCALES_TOGETHER)
        lowest, highest = (frequencies[scale] * hop / sample_rate for scale in (first, stop - 1))
        length = _half_length(bandwidth) * centre / lowest
        choices = [
            (
                rate * ceil(2 * length * grid) * 2 * SCALES_TOGETHER + GRID_COST * grid * (grid not in grids),
                rate,
                grid,
            )
            for grid in rates
            for rate in rates
            if grid % rate == 0
            and rate >= beat * highest + FRAME_BAND
            and grid >= 2 * _band_end(bandwidth, centre) * highest
        ]
        _, rate, grid = min(choices)
        grids.add(grid)
        reach = floor(length * grid)
        hops = [unit for unit in range(1, segment_hops) if segment_hops % unit == 0]
        unit = next((unit for unit in hops if unit * grid > 2 * reach), segment_hops)
        groups.insert(0, Group(first, stop, rate, grid, reach, unit))
    return tuple(groups)


def wavelet_matrix(plan: Plan, group: Group) -> np.ndarray[Any, Any]:
    """The conjugate wavelets of `group`, at the samples of its grid around their centre.

    Returns
    -------
    float32, shape (2 · reach + 1, 2 · scales): for each scale s, real and imaginary part of s^{−1/2} ψ*(t/s)
    times the time between samples, and times what an FFT back from a segment's spectrum leaves out.
    """
    step = plan.hop / group.grid
    scales = plan.scales[group.first : group.stop]
    times = np.arange(-group.reach, group.reach + 1)[:, None] * step / scales
    waves = np.exp(-2j * pi * plan.centre * times - times**2 / plan.bandwidth)
    waves *= step / np.sqrt(pi * plan.bandwidth * scales)
    waves *= plan.span * group.grid / plan.stored_samples(plan.span)
    return np.ascontiguousarray(waves.astype(np.complex64)).view(np.float32)


def frame_weights(group: Group) -> np.ndarray[Any, Any]:
    """Hann weights of a frame's first and second half: float32, shape (2, rate), sum 1.

    Hann frames that overlap by half add up to the same everywhere, so no moment of the clip counts more than
    another; and being smooth they average the decimated energy as they would the full-rate one.
    """
    samples = 2 * group.rate
    weights = np.sin(pi * np.arange(samples) / samples) ** 2
    return (weights / weights.sum()).reshape(2, group.rate).astype(np.float32)
