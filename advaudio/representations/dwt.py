"""The paper's "DWT" spectrogram: a continuous wavelet transform with the complex Morlet, in decibels.

Protocol, section 2: ψ(t) = (πB)^{−1/2} e^{2πiCt} e^{−t²/B}; W(s, τ) = s^{−1/2} ∫ a(t) ψ*((t−τ)/s) dt, with t
and s in samples at the transform's rate, as PyWavelets counts them (`cmorB-C`). One FFT of each clip, each
scale's band of it folded and inverted to just the rate that it needs (`wavelet_plan`), the energy averaged
over Hann frames that overlap by half.

Edges: the clip is silence before its first and after its last sample. Sample rates: the clip is taken as the
band-limited function through its stored samples, cut to the lower of the two Nyquist frequencies, so
resampling is part of the same FFT and costs nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advaudio.progress import Progress, silent
from advaudio.representations import streaming
from advaudio.representations.backend import (
    Array,
    as_complex,
    as_real,
    concatenate,
    constants,
    ifft,
    numeric_array,
    rfft,
    to_length,
    typed,
    where_is,
)
from advaudio.representations.layout_json import column_times, layout
from advaudio.representations.picture import (
    Size,
    check_positive,
    check_size,
    decibel_picture,
    row_centres,
    unit_picture,
)
from advaudio.representations.wavelet_plan import (
    Group,
    Plan,
    frame_weights,
    group_gains,
    make_plan,
)

if TYPE_CHECKING:
    from advaudio.datasets.clip_store import ClipStore

_gains = constants(group_gains, keep=64)
_weights = constants(frame_weights, keep=64)


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
    For each of `plan.groups`: complex, shape (..., scales, plan.hops · rate). Coefficient i of a group lies
    at τ = i · hop / rate samples at `plan.sample_rate` from the clip's start; those in the padding's last
    part lie before it (the transform is circular in the padded length).
    """
    spectrum = _spectrum(audio, plan)
    return [_group_coefficients(spectrum, plan, group) for group in plan.groups]


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
    spectrum = _spectrum(audio, plan)
    device = where_is(spectrum)
    rows = []
    for group in plan.groups:
        parts = as_real(_group_coefficients(spectrum, plan, group))
        parts *= parts
        hops = parts.reshape(*parts.shape[:-1], plan.hops, 2 * group.rate)
        halves = hops[..., : plan.frames + 1, :] @ typed(_weights(device)(plan, group), hops)
        rows.append(halves[..., :-1, 0] + halves[..., 1:, 1])
    return concatenate(rows, -2)


def _spectrum(audio: Array, plan: Plan) -> Array:
    return rfft(numeric_array(audio), plan.padded)


def _group_coefficients(spectrum: Array, plan: Plan, group: Group) -> Array:
    # Real and imaginary parts side by side make the products real ones, twice as fast as complex by real.
    parts = as_real(spectrum)[..., None, :]
    gains = _gains(where_is(spectrum))(plan, group)
    numbers = gains.shape[-1]
    period = 2 * plan.hops * group.rate
    if numbers <= period:
        folded = to_length(parts[..., :numbers] * gains, period)
    else:
        folded = parts[..., :period] * gains[:, :period]
        # Bins one output rate apart are one frequency to the decimated coefficients.
        for start in range(period, numbers, period):
            stop = min(start + period, numbers)
            folded[..., : stop - start] += parts[..., start:stop] * gains[:, start:stop]
    return ifft(as_complex(folded))


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
    first, step = column_times(made.frames, size[1], hop_seconds, hop_seconds)
    section: dict[str, Any] = {
        "name": "spectrogram",
        "rows": size[0],
        "unit": "Hz",
        "row_values": row_centres(np.array(made.frequencies), size[0]),
        "decibels_per_unit": dynamic_range,
    }
    streaming.build(
        store,
        path,
        partial(pictures, plan=made, size=size, dynamic_range=dynamic_range),
        size=size,
        clip_seconds=clip_seconds,
        layout=layout(
            "dwt",
            [section],
            width=size[1],
            clip_seconds=clip_seconds,
            first_column=first,
            column_step=step,
            settings={
                "sample_rate": sample_rate,
                "wavelet": wavelet,
                "scales": scales,
                "minimum_frequency": made.frequencies[0],
                "maximum_frequency": made.frequencies[-1],
                "frame_length": frame_length,
            },
        ),
        device=device,
        progress=progress,
        description="dwt",
    )
