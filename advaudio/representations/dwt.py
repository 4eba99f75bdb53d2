"""The paper's "DWT" spectrogram: a continuous wavelet transform with the complex Morlet, in decibels.

Protocol, section 2: ψ(t) = (πB)^{−1/2} e^{2πiCt} e^{−t²/B}; W(s, τ) = s^{−1/2} ∫ a(t) ψ*((t−τ)/s) dt, with t
and s in samples at the transform's rate, as PyWavelets counts them (`cmorB-C`). The clip is brought to a few
sample rates by FFT, each scale computed at the lowest that will do, as often as it needs, by matrix products
(`wavelet_plan`); then the energy is averaged over Hann frames that overlap by half.

Edges: the clip is silence before its first and after its last sample. Sample rates: the clip is taken as the
band-limited function through its stored samples, cut to the lower of the two Nyquist frequencies, so
resampling is part of the same FFT and costs nothing.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from advaudio.core.progress import Progress, silent
from advaudio.representations import reference, streaming
from advaudio.representations.backend import (
    Array,
    as_complex,
    concatenate,
    contiguous,
    device_of,
    frames,
    irfft,
    is_tensor,
    matmul,
    numeric_array,
    rfft,
    to_device,
    to_length,
    typed,
)
from advaudio.representations.picture import (
    Size,
    check_positive,
    check_size,
    decibel_picture,
    row_centres,
    unit_picture,
)
from advaudio.representations.wavelet_plan import (
    LANES,
    Group,
    Plan,
    frame_weights,
    make_plan,
    wavelet_matrix,
)

if TYPE_CHECKING:
    from advaudio.clips.clip_store import ClipStore


@lru_cache(maxsize=16)
def _matrices(device: str | None, plan: Plan) -> list[tuple[Array, Array]]:
    # One look-up for all groups: hashing a plan takes as long as a small matrix product.
    return [
        (to_device(wavelet_matrix(plan, group), device), to_device(frame_weights(group), device))
        for group in plan.groups
    ]


def plan(
    samples: int,
    *,
    stored_rate: int = 22_050,
    sample_rate: int = 16_000,
    wavelet: str = "cmor1.5-1.0",
    scales: int = 128,
    minimum_frequency: float = 60.0,
    maximum_frequency: float | None = None,
    frame_length: int = 480,
) -> Plan:
    """Plan the transform of clips of `samples` samples at `stored_rate` Hz; see `build_dwt`."""
    return make_plan(
        samples=int(samples),
        stored_rate=int(stored_rate),
        sample_rate=int(sample_rate),
        wavelet=wavelet,
        scales=int(scales),
        minimum_frequency=float(minimum_frequency),
        maximum_frequency=None if maximum_frequency is None else float(maximum_frequency),
        frame_length=int(frame_length),
    )


def coefficients(audio: Array, plan: Plan) -> list[Array]:
    """Decimated wavelet coefficients W(s, τ), group by group.

    Parameters
    ----------
    audio
        Shape (..., plan.samples), at `plan.stored_rate`.

    Returns
    -------
    For each of `plan.groups`: complex, shape (..., scales, hops · rate), of as many hops as the zero-padded
    clip has. Coefficient i of a group lies at τ = i · hop / rate samples at `plan.sample_rate` from the clip's
    start.
    """
    audio = numeric_array(audio)
    grids = _grids(_segments(audio, plan), plan)
    matrices = _matrices(device_of(audio), plan)
    found = []
    for group, (wavelets, _) in zip(plan.groups, matrices, strict=True):
        parts = _group_coefficients(grids[group.grid], plan, group, wavelets)
        # From (segments, times in a unit, units, scales' parts) to (clips, scales, segments, units, times, parts).
        shape = (-1, plan.segments, *parts.shape[1:3], group.stop - group.first, 2)
        ordered = contiguous(parts.reshape(shape), (0, 4, 1, 3, 2, 5))
        found.append(as_complex(ordered.reshape(*audio.shape[:-1], group.stop - group.first, -1)))
    return found


def energy(audio: Array, plan: Plan) -> Array:
    """|W(s, τ)|², averaged over Hann frames of two hops that overlap by half.

    Parameters
    ----------
    audio
        Shape (..., plan.samples), at `plan.stored_rate`.

    Returns
    -------
    Shape (..., scales, plan.frames), ascending frequency; frame m covers hops m and m + 1, its centre lies
    (m + 1) · plan.hop samples from the clip's start.
    """
    audio = numeric_array(audio)
    segments = _segments(audio, plan)
    halves = concatenate([_half_frames(block, plan) for block in _blocks(segments)], 1)
    first, second = halves.reshape(2, *audio.shape[:-1], -1, len(plan.frequencies))
    return (first[..., : plan.frames, :] + second[..., 1 : plan.frames + 1, :]).swapaxes(-1, -2)


def _segments(audio: Array, plan: Plan) -> Array:
    # Shape (clips · segments, samples of a span).
    span, step = plan.stored_samples(plan.span), plan.stored_samples(plan.segment_hops)
    padded = to_length(audio, (plan.segments - 1) * step + span, before=plan.stored_samples(plan.guard))
    return frames(padded, span, step).reshape(-1, span)


def _blocks(segments: Array) -> list[Array]:
    # On a CPU, as many as share its cache and its FFT's lanes.
    if is_tensor(segments):
        return [segments]
    return [segments[start : start + LANES] for start in range(0, len(segments), LANES)]


def _grids(segments: Array, plan: Plan) -> dict[int | None, Array]:
    # The segments' audio at every rate that a group asks for.
    spectra = rfft(segments, segments.shape[-1])
    rates = {group.grid for group in plan.groups}
    found = {rate: irfft(spectra[:, : plan.bins(rate)], plan.span * rate) for rate in rates - {plan.own_grid}}
    return found | {plan.own_grid: segments}


def _half_frames(segments: Array, plan: Plan) -> Array:
    # Weighted energy of each hop as a frame's first half, and as its second: (2, segments, hops, scales).
    grids = _grids(segments, plan)
    found = []
    for group, (wavelets, weights) in zip(plan.groups, _matrices(device_of(segments), plan), strict=True):
        parts = _group_coefficients(grids[group.grid], plan, group, wavelets)
        parts *= parts
        count, _, units, columns = parts.shape
        halves = typed(weights, parts) @ parts.reshape(count * group.unit, group.rate, units * columns)
        power = halves[..., ::2] + halves[..., 1::2]
        power = power.reshape(count, group.unit, 2, units, columns // 2)
        ordered = contiguous(power, (2, 0, 3, 1, 4))
        found.append(ordered.reshape(2, count, plan.segment_hops, columns // 2))
    return concatenate(found, -1)


def _group_coefficients(grid: Array, plan: Plan, group: Group, wavelets: Array) -> Array:
    # Shape (segments, times in a unit, units, 2 · scales). In this order the sums of one matrix product do
    # not overlap, and it reads them where they lie.
    start = plan.guard * group.grid - group.reach
    pieces = frames(grid[:, start:], len(wavelets), group.grid // group.rate)
    times = group.unit * group.rate
    units = plan.segment_hops // group.unit
    pieces = pieces[:, : times * units].reshape(len(grid), units, times, len(wavelets))
    return matmul(pieces.swapaxes(1, 2), typed(wavelets, grid))


def pictures(audio: Array, plan: Plan, *, size: Size = (128, 128), dynamic_range: float = 80.0) -> Array:
    """DWT pictures in [0, 1]: decibels below each clip's maximum, then an antialiased resize.

    Parameters
    ----------
    audio
        Shape (..., plan.samples), at `plan.stored_rate`.
    size
        (height, width) in pixels; row 0 is the lowest frequency.
    dynamic_range
        Decibels from 0 to 1.

    Returns
    -------
    Shape (..., *size), of `audio`'s type; zeros for silence.
    """
    return unit_picture(decibel_picture(energy(audio, plan), dynamic_range), check_size(size, "size"))


def build_dwt(
    store: ClipStore,
    path: Path,
    *,
    size: Size = (128, 128),
    clip_seconds: float = 5.0,
    sample_rate: int = 16_000,
    wavelet: str = "cmor1.5-1.0",
    scales: int = 128,
    minimum_frequency: float = 60.0,
    maximum_frequency: float | None = None,
    frame_length: int = 480,
    dynamic_range: float = 80.0,
    engine: Literal["fast", "pywt"] = "fast",
    device: str = "cpu",
    progress: Progress = silent,
) -> None:
    """Write the DWT pictures of all clips of `store` to `path` and their layout beside it.

    Parameters
    ----------
    path
        Array to write: float32, (rows of the store, *size), in [0, 1]; `path` with .json is its layout.
    clip_seconds
        Clips are cut or zero-padded to this.
    sample_rate
        Hz at which the transform works, whatever the rate of the store.
    wavelet
        PyWavelets name of a complex Morlet, "cmorB-C".
    scales
        Number of log-spaced scales.
    minimum_frequency, maximum_frequency
        Centre frequencies of the outermost scales, Hz; by default the highest is half of the Nyquist
        frequency.
    frame_length
        Samples at `sample_rate` that the energy is averaged over, even; frames overlap by half.
    dynamic_range
        dB below the clip's maximum that 0 stands for.
    engine
        `fast`: this module. `pywt`: PyWavelets, the reference, on the CPU.
    device
        "cpu", or the torch name of a GPU.

    Raises
    ------
    AdvaudioError
        If a parameter makes no sense, or writing fails.
    """
    size = check_size(size, "spectrogram_size")
    check_positive(
        **{"clip_seconds": clip_seconds, "dwt_sample_rate": sample_rate, "dwt.dynamic_range": dynamic_range}
    )
    made = plan(
        streaming.clip_length(clip_seconds, store.sample_rate),
        stored_rate=store.sample_rate,
        sample_rate=sample_rate,
        wavelet=wavelet,
        scales=scales,
        minimum_frequency=minimum_frequency,
        maximum_frequency=maximum_frequency,
        frame_length=frame_length,
    )
    hop_seconds = made.hop / sample_rate
    section = {
        "name": "spectrogram",
        "rows": size[0],
        "unit": "Hz",
        "row_values": row_centres(np.array(made.frequencies), size[0]),
        "decibels_per_unit": dynamic_range,
    }
    if engine == "fast":
        transform: streaming.Transform = partial(pictures, plan=made, size=size, dynamic_range=dynamic_range)
    else:
        transform = reference.transform_of(
            reference.dwt_picture,
            store.sample_rate,
            sample_rate,
            size=size,
            wavelet=wavelet,
            scales=made.scales,
            hop=made.hop,
            frames=made.frames,
            dynamic_range=dynamic_range,
        )
    streaming.build(
        store,
        path,
        transform,
        "dwt",
        section,
        size=size,
        clip_seconds=clip_seconds,
        frames=made.frames,
        first_frame=hop_seconds,
        frame_step=hop_seconds,
        settings={
            "sample_rate": sample_rate,
            "wavelet": wavelet,
            "scales": scales,
            "minimum_frequency": made.frequencies[0],
            "maximum_frequency": made.frequencies[-1],
            "frame_length": frame_length,
            **reference.named(engine),
        },
        device=reference.device_for(engine, device),
        progress=progress,
    )
