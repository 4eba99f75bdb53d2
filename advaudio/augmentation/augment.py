"""Augment a clip store: every clip, then its pitch-shifted copies, into a new store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from advaudio.augmentation.pitch_shift import check_scales, pitch_shift, pitch_shift_by_librosa
from advaudio.clips.clip_store import ClipStore, ClipStoreWriter, encode
from advaudio.core.errors import AdvaudioError
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent

SAMPLES_PER_TASK = 2**20
CLIPS_PER_TASK = 16

Engine = Literal["fast", "librosa"]


def augment(
    store_in: Path,
    folder_out: Path,
    *,
    scales: Sequence[float],
    engine: Engine = "fast",
    workers: int | None = None,
    progress: Progress = silent,
) -> None:
    """Write a clip store with each clip of `store_in` and its pitch-shifted copies.

    The rows of one clip are adjacent: the original (scale 1, its samples unchanged), then one per scale.

    Parameters
    ----------
    store_in
        Folder of a store with originals only.
    folder_out
        Published as a whole at the end.
    scales
        Ratios of frequency, 0.25 to 4, without 1; may be empty.
    engine
        `fast`: a phase-locked vocoder (see `pitch_shift`). `librosa`: `librosa.effects.pitch_shift`, the reference.
    workers
        Processes, by default one per core; the result is bitwise the same whatever their number.
    progress
        Called with (clips done, clips in total, description).

    Raises
    ------
    AdvaudioError
        If a scale is out of range, or the store has been augmented before.
    """
    check_scales(scales)
    if 1.0 in scales:
        raise AdvaudioError(
            "The parameter augment.pitch_scales has 1.0; the original is always included. Remove it."
        )
    _open.cache_clear()
    store = ClipStore.open(store_in)
    if (store.table["scale"] != 1.0).any():
        raise AdvaudioError(f"The clip store {store_in} is augmented already. Give that of the originals.")
    rows = store.table.to_dict("records")
    tasks = _tasks(store.table["length"].tolist())
    work = partial(_shift_clips, Path(store_in), tuple(map(float, scales)), engine)

    def clips_done(done: int, total: int, description: str) -> None:
        progress(tasks[done - 1].stop, len(rows), description)

    results = map_ordered(work, tasks, workers=workers, progress=clips_done, description="shifting the pitch")
    with ClipStoreWriter(folder_out, store.sample_rate) as writer:
        for task, shifted in zip(tasks, results, strict=True):
            for row, copies in zip(task, shifted, strict=True):
                samples, gain = store.encoded(row)
                _append(writer, rows[row], samples, gain, 1.0)
                for scale, (samples, gain) in zip(scales, copies, strict=True):
                    _append(writer, rows[row], samples, gain, float(scale))


def _tasks(lengths: Sequence[int]) -> list[range]:
    """Cut the clips into runs of few clips and few samples, so that what is in flight stays small."""
    tasks: list[range] = []
    first = samples = 0
    for row, length in enumerate(lengths):
        if row > first and (row - first == CLIPS_PER_TASK or samples + length > SAMPLES_PER_TASK):
            tasks.append(range(first, row))
            first, samples = row, 0
        samples += length
    tasks.append(range(first, len(lengths)))
    return tasks


@lru_cache(maxsize=1)
def _open(folder: Path) -> ClipStore:
    return ClipStore.open(folder)


def _shift_clips(
    folder: Path, scales: tuple[float, ...], engine: Engine, rows: range
) -> list[list[tuple[Any, float]]]:
    store = _open(folder)
    shift = (
        pitch_shift if engine == "fast" else partial(pitch_shift_by_librosa, sample_rate=store.sample_rate)
    )
    return [[encode(shifted) for shifted in shift(store.audio(row), scales)] for row in rows]


def _append(writer: ClipStoreWriter, row: Any, samples: Any, gain: float, scale: float) -> None:
    writer.append_encoded(
        samples,
        gain,
        clip=row["clip"],
        label=row["label"],
        class_name=row["class_name"],
        fold=row["fold"],
        source=row["source"],
        scale=scale,
        original_sample_rate=row["original_sample_rate"],
        duration=row["duration"],
    )
