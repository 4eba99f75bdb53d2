"""From a clip store to an array of pictures on disk: streamed, in fixed chunks, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from advaudio.clips.picture_layout import layout, layout_path
from advaudio.core.determinism import one_blas_thread
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import ArrayWriter, open_array, write_json
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.representations.backend import Array
from advaudio.representations.picture import Size

if TYPE_CHECKING:
    from advaudio.clips.clip_store import ClipStore

CLIPS_PER_TASK = 16
SAMPLES_PER_DEVICE_BATCH = 2**24
FULL_SCALE = np.iinfo(np.int16).max

Transform = Callable[[Array], Array]
"""Audio (clips, samples), float32 in [-1, 1], to pictures (clips, height, width); picklable."""


@dataclass(frozen=True)
class Chunk:
    """Clips next to each other in a store, cut or zero-padded to `length` samples each."""

    samples: Path
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]
    length: int

    def read(self) -> np.ndarray[Any, Any]:
        """Samples as stored: int16, shape (clips, length)."""
        stored = open_array(self.samples)
        clips = np.zeros((len(self.offsets), self.length), dtype=np.int16)
        for clip, start, size in zip(clips, self.offsets, self.lengths, strict=True):
            kept = min(size, self.length)
            clip[:kept] = stored[start : start + kept]
        return clips


def clip_length(clip_seconds: float, sample_rate: int) -> int:
    """Samples in a clip of `clip_seconds`, at least one."""
    return max(1, round(clip_seconds * sample_rate))


def build(
    store: ClipStore,
    path: Path,
    transform: Transform,
    name: str,
    section: dict[str, Any],
    *,
    size: Size,
    clip_seconds: float,
    frames: int,
    first_frame: float,
    frame_step: float,
    settings: dict[str, Any],
    device: str = "cpu",
    progress: Progress = silent,
) -> None:
    """Write the pictures of all clips of `store` to `path`, and as JSON beside it their layout.

    Parameters
    ----------
    store
        Each clip is read at its stored, peak-normalised level (the pictures do not depend on level), cut or
        zero-padded to `clip_seconds`.
    path
        The array to write: float32, shape (rows of the store's table, *size), values in [0, 1].
    transform
        Makes pictures from audio; NumPy arrays on the CPU, tensors on any other device.
    name
        Of the representation, such as "dwt".
    section
        What the rows of a picture mean; see `layout`.
    frames, first_frame, frame_step
        Number of the frames that were resized to the picture's width, the first one's centre and the time
        between them, in seconds.
    settings
        What else the layout is to tell.
    device
        "cpu": NumPy and SciPy on all cores. Otherwise the torch name of a device, such as "cuda".

    Raises
    ------
    AdvaudioError
        If the disk is full, a worker dies, or PyTorch has no such device.
    """
    path = Path(path)
    length = clip_length(clip_seconds, store.sample_rate)
    # Fixed numbers, whatever the machine: the size of a matrix product decides how its sums are rounded.
    clips = CLIPS_PER_TASK if device == "cpu" else max(1, SAMPLES_PER_DEVICE_BATCH // length)
    chunks = _chunks(store, length, clips)
    pictures: Iterator[np.ndarray[Any, Any]]
    if device == "cpu":
        pictures = map_ordered(
            partial(_pictures_on_cpu, transform), chunks, progress=progress, description=name
        )
    else:
        pictures = pictures_on_device(transform, chunks, device, progress, name)
    with ArrayWriter(path, (len(store), *size), "float32") as array:
        row = 0
        for batch in pictures:
            assert batch.shape[1:] == size, f"{batch.shape} is not a batch of {size}"
            array[row : row + len(batch)] = batch
            row += len(batch)
    step = frame_step * frames / size[1]
    description = layout(
        name,
        [section],
        width=size[1],
        clip_seconds=clip_seconds,
        first_column=first_frame + (step - frame_step) / 2,
        column_step=step,
        settings=settings,
    )
    write_json(layout_path(path), description)


def _chunks(store: ClipStore, length: int, clips: int) -> list[Chunk]:
    # Imported here, where a store is at hand already: the workers need neither it nor pandas.
    from advaudio.clips.clip_store import SAMPLES_FILE

    offsets = store.table["offset"].tolist()
    lengths = store.table["length"].tolist()
    samples = Path(store.folder) / SAMPLES_FILE
    return [
        Chunk(samples, tuple(offsets[start : start + clips]), tuple(lengths[start : start + clips]), length)
        for start in range(0, len(store), clips)
    ]


def _pictures_on_cpu(transform: Transform, chunk: Chunk) -> np.ndarray[Any, Any]:
    clips = chunk.read()
    with one_blas_thread():
        # One clip at a time keeps the working set in the processor's cache.
        pictures = [transform(clip[None].astype(np.float32) / np.float32(FULL_SCALE)) for clip in clips]
    return np.concatenate(pictures)


def pictures_on_device(
    transform: Transform, chunks: list[Chunk], device: str, progress: Progress, description: str
) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the pictures of each chunk, computed with PyTorch on `device`, the next chunk read meanwhile."""
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AdvaudioError(
            f"PyTorch cannot use the device {device!r}: {str(error).splitlines()[0]}. "
            "Set `device: cpu` in params.yaml, or install a PyTorch build for this machine's GPU."
        ) from error
    with ThreadPoolExecutor(1) as reader, torch.inference_mode():
        pending = reader.submit(chunks[0].read)
        for index in range(len(chunks)):
            clips = torch.from_numpy(pending.result())
            if index + 1 < len(chunks):
                pending = reader.submit(chunks[index + 1].read)
            pictures = transform(clips.to(device).float() / FULL_SCALE)
            yield pictures.cpu().numpy()
            progress(index + 1, len(chunks), description)
