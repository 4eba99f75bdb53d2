"""Tonnetz: six tonal centroids of the constant-Q chroma, as `librosa.feature.tonnetz` defines them.

Harte, Sandler & Gasser, "Detecting harmonic change in musical audio" (2006): the 12 pitch classes lie on
circles of fifths, minor thirds and major thirds, and a frame's chroma has its centroid on each. The paper's
optional last step, smoothing over time, is `smoothing`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from advaudio.core.errors import AdvaudioError
from advaudio.core.progress import Progress, silent
from advaudio.representations import reference, streaming
from advaudio.representations.backend import Array, amax, constants, device_of, numeric_array, single, where
from advaudio.representations.constant_q import BINS_PER_OCTAVE, early_halvings, octave_sum
from advaudio.representations.picture import Size, check_positive, check_size, unit_picture
from advaudio.representations.resampling import at_rate
from advaudio.representations.tuning import tuning_index

if TYPE_CHECKING:
    from advaudio.clips.clip_store import ClipStore

CENTROIDS = ("fifths x", "fifths y", "minor thirds x", "minor thirds y", "major thirds x", "major thirds y")
BOUNDS = (1.0, 1.0, 1.0, 1.0, 0.5, 0.5)
"""Radii of the circles: no centroid can lie farther from 0."""
PITCH_CLASSES = 12
"""From C up."""


def _chroma_matrix() -> np.ndarray[Any, Any]:
    # Each pitch class takes its own bin and the two beside it, a third of a semitone away.
    share = BINS_PER_OCTAVE // PITCH_CLASSES
    matrix = np.repeat(np.eye(PITCH_CLASSES), share, axis=1)
    return np.roll(matrix, -(share // 2), axis=1).T.astype(np.float32)


def _centroid_matrix() -> np.ndarray[Any, Any]:
    pitch_class = np.arange(PITCH_CLASSES)
    angles = np.pi * np.outer((7 / 6, 7 / 6, 3 / 2, 3 / 2, 2 / 3, 2 / 3), pitch_class)
    matrix = np.empty_like(angles)
    matrix[::2] = np.sin(angles[::2])
    matrix[1::2] = np.cos(angles[1::2])
    return (np.array(BOUNDS)[:, None] * matrix).astype(np.float32)


def _smoothing_matrix(frames: int, deviation: float) -> np.ndarray[Any, Any]:
    # Beyond the first and last frame the centroids are taken to stay as they are there.
    reach = int(np.ceil(4 * deviation))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / deviation) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((frames, frames))
    for offset, weight in zip(offsets, weights, strict=True):
        matrix[np.clip(np.arange(frames) + offset, 0, frames - 1), np.arange(frames)] += weight
    return matrix.astype(np.float32)


_chroma_weights = constants(_chroma_matrix)
_centroid_weights = constants(_centroid_matrix)
_smoothing_weights = constants(_smoothing_matrix)


def chroma(
    audio: Array,
    *,
    sample_rate: int = 22_050,
    hop_length: int = 512,
    dynamic_range: float | None = None,
) -> Array:
    """Share of each pitch class in the constant-Q magnitude, frame by frame.

    Parameters
    ----------
    audio
        Shape (..., samples), any level and length.
    sample_rate
        Hz, high enough for the pitch B7: 8,400 or more.
    hop_length
        Samples between frames, a multiple of 64.
    dynamic_range
        Frames more than so many dB below the clip's loudest are silent. With None, as in librosa, only frames
        of zeros are; beside sound, though, librosa's resampling leaves rounding errors in digital silence
        (150 dB down), and normalises them to a full, arbitrary chroma.

    Returns
    -------
    float32, shape (..., 12, 1 + samples // hop_length), from C up; a frame sums to 1, or to 0 if it is
    silent. Proportional to `librosa.feature.chroma_cqt`.
    """
    audio = numeric_array(audio)
    early_halvings(sample_rate, hop_length)
    clips = single(audio).reshape(-1, audio.shape[-1])
    bins = octave_sum(clips, tuning_index(clips, sample_rate), sample_rate, hop_length=hop_length)
    classes = bins @ _chroma_weights(device_of(bins))()
    total = classes.sum(-1)[..., None]
    sounding = total >= float(np.finfo(np.float32).tiny)
    if dynamic_range is not None:
        sounding = sounding & (total >= amax(total, -2) * 10 ** (-dynamic_range / 20))
    shares = where(sounding, classes / where(sounding, total, 1.0), 0.0)
    return shares.swapaxes(-1, -2).reshape(*audio.shape[:-1], PITCH_CLASSES, -1)


def centroids(
    audio: Array,
    *,
    sample_rate: int = 22_050,
    hop_length: int = 512,
    smoothing: float = 0.0,
    dynamic_range: float | None = None,
) -> Array:
    """Tonal centroids, as `librosa.feature.tonnetz(y=audio, sr=sample_rate)`.

    Parameters
    ----------
    audio
        Shape (..., samples), any level and length.
    smoothing
        Standard deviation, in frames, of the Gaussian that smooths the centroids over time; 0 for none.
    dynamic_range
        Frames more than so many dB below the clip's loudest are silent, their centroids 0; see `chroma`.

    Returns
    -------
    float32, shape (..., 6, 1 + samples // hop_length), in the order of `CENTROIDS`, within ±`BOUNDS`.
    """
    classes = chroma(audio, sample_rate=sample_rate, hop_length=hop_length, dynamic_range=dynamic_range)
    device = device_of(classes)
    values = _centroid_weights(device)() @ classes
    if smoothing > 0:
        values = values @ _smoothing_weights(device)(values.shape[-1], float(smoothing))
    return values


def pictures(
    audio: Array,
    *,
    size: Size = (24, 128),
    sample_rate: int = 22_050,
    hop_length: int = 512,
    smoothing: float = 0.0,
    dynamic_range: float = 80.0,
) -> Array:
    """Tonnetz pictures in [0, 1].

    A centroid c of radius r becomes (1 + c / r) / 2: each uses the whole range, and 0.5 is the centre, also
    for silence. Rows are repeated or averaged, since neighbouring centroids are no neighbours in pitch;
    columns are interpolated, antialiased.

    Parameters
    ----------
    audio
        Shape (..., samples).
    size
        (height, width) in pixels, of at least 6 rows.
    dynamic_range
        Frames more than so many dB below the clip's loudest count as silent.

    Returns
    -------
    Shape (..., *size), float32, of `audio`'s kind.
    """
    values = centroids(
        audio,
        sample_rate=sample_rate,
        hop_length=hop_length,
        smoothing=smoothing,
        dynamic_range=dynamic_range,
    )
    halved = values / _bounds(device_of(values))() / 2 + 0.5
    return unit_picture(halved, _check_size(size), rows="box")


def _bound_column() -> np.ndarray[Any, Any]:
    return np.array(BOUNDS, dtype=np.float32)[:, None]


_bounds = constants(_bound_column)


def _check_size(size: Size) -> Size:
    size = check_size(size, "tonnetz_size")
    if size[0] < len(CENTROIDS):
        raise AdvaudioError(
            f"tonnetz_size is {list(size)}; its height must be at least {len(CENTROIDS)}, one row a centroid."
        )
    return size


def build_tonnetz(
    store: ClipStore,
    path: Path,
    *,
    size: Size = (24, 128),
    clip_seconds: float = 5.0,
    sample_rate: int = 22_050,
    hop_length: int = 512,
    smoothing: float = 0.0,
    dynamic_range: float = 80.0,
    engine: Literal["fast", "librosa"] = "fast",
    device: str = "cpu",
    progress: Progress = silent,
) -> None:
    """Write the tonnetz pictures of all clips of `store` to `path` and their layout beside it.

    Parameters
    ----------
    path
        Array to write: float32, (rows of the store, *size), in [0, 1]; `path` with .json is its layout.
    size
        (height, width) in pixels, of at least 6 rows.
    clip_seconds
        Clips are cut or zero-padded to this.
    sample_rate
        Hz at which the transform works; clips stored at another rate are resampled, band-limited.
    hop_length
        Samples at `sample_rate` between frames, a multiple of 64.
    smoothing
        Standard deviation in frames of the smoothing over time; 0 for none.
    dynamic_range
        Frames more than so many dB below the clip's loudest are silent: all their centroids are 0.5.
    engine
        `fast`: this module. `librosa`: the reference, on the CPU.
    device
        "cpu", or the torch name of a GPU.

    Raises
    ------
    AdvaudioError
        If a parameter makes no sense, or writing fails.
    """
    size = _check_size(size)
    check_positive(**{"clip_seconds": clip_seconds, "tonnetz.sample_rate": sample_rate})
    check_positive(**{"tonnetz.dynamic_range": dynamic_range})
    early_halvings(sample_rate, hop_length)
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise AdvaudioError(f"tonnetz.smoothing is {smoothing}; it must be a number of frames, 0 or more.")
    length = streaming.clip_length(clip_seconds, sample_rate)
    settings: dict[str, Any] = {
        "sample_rate": sample_rate,
        "hop_length": hop_length,
        "smoothing": smoothing,
        "dynamic_range": dynamic_range,
    }
    section = {
        "name": "tonnetz",
        "rows": size[0],
        "unit": "centroid",
        "row_values": [CENTROIDS[int((row + 0.5) * len(CENTROIDS) / size[0])] for row in range(size[0])],
        "centroids": list(CENTROIDS),
        "centroid_bounds": list(BOUNDS),
    }
    made_of = {"size": size, **settings}
    if engine == "fast":
        transform: streaming.Transform = partial(
            at_rate, partial(pictures, **made_of), store.sample_rate, sample_rate, length
        )
    else:
        transform = reference.transform_of(
            reference.tonnetz_picture, store.sample_rate, sample_rate, **made_of, bounds=BOUNDS
        )
    streaming.build(
        store,
        path,
        transform,
        "tonnetz",
        section,
        size=size,
        clip_seconds=clip_seconds,
        frames=1 + length // hop_length,
        first_frame=0.0,
        frame_step=hop_length / sample_rate,
        settings={**settings, **reference.named(engine)},
        device=reference.device_for(engine, device),
        progress=progress,
    )
