"""Pictures: reading, checking, and handing out batches on the device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advaudio.clips.split_table import Rows
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array

_CHUNK = 1024


@dataclass(frozen=True)
class PictureFacts:
    """What one reading of all pictures finds.

    Parameters
    ----------
    shape
        (samples, height, width).
    digest
        SHA-256 of the values.
    sums, squares
        (samples,) float64: the sum of every picture's values, and of their squares.
    """

    shape: tuple[int, int, int]
    digest: str
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    def mean_and_std(self, rows: Rows) -> tuple[float, float]:
        """Mean and standard deviation over all pixels of the pictures `rows`, in double precision."""
        count = rows.size * self.shape[1] * self.shape[2]
        mean = float(self.sums[rows].sum()) / count
        return mean, float(np.sqrt(max(0.0, float(self.squares[rows].sum()) / count - mean**2)))


def picture_facts(path: Path) -> PictureFacts:
    """Read all pictures once; they must be float32 in [0, 1].

    Raises
    ------
    AdvaudioError
        If they are not.
    """
    pictures = open_array(path)
    if pictures.ndim != 3 or pictures.dtype != np.float32 or not len(pictures):
        raise AdvaudioError(
            f"{path} must hold float32 pictures (samples, height, width), but is {pictures.dtype} "
            f"{pictures.shape}."
        )
    digest = hashlib.sha256(repr(pictures.shape).encode())
    sums, squares = np.empty(len(pictures)), np.empty(len(pictures))
    for start in range(0, len(pictures), _CHUNK):
        chunk = np.ascontiguousarray(pictures[start : start + _CHUNK])
        if not (chunk.min() >= 0 and chunk.max() <= 1):
            bad = start + int(np.flatnonzero(~((chunk >= 0) & (chunk <= 1)).all(axis=(1, 2)))[0])
            raise AdvaudioError(
                f"{path} must hold values in [0, 1], but picture {bad} has others or NaN. "
                "Run `dvc repro append`."
            )
        digest.update(chunk.data)
        sums[start : start + len(chunk)] = chunk.sum(axis=(1, 2), dtype=np.float64)
        squares[start : start + len(chunk)] = np.square(chunk, dtype=np.float64).sum(axis=(1, 2))
    shape = (pictures.shape[0], pictures.shape[1], pictures.shape[2])
    return PictureFacts(shape, digest.hexdigest(), sums, squares)


class PictureBatches:
    """Batches of pictures and labels on a device.

    On CUDA all pictures lie in one tensor there where they fit in `share` of its free memory; otherwise, and
    on the CPU, batches are gathered from the memory-mapped file, on CUDA one batch ahead of the training.

    Parameters
    ----------
    pictures
        (samples, height, width), memory-mapped.
    labels
        Label of every row.
    device
        Torch device.
    share
        Share of the free device memory that the pictures may take.
    """

    def __init__(
        self, pictures: NDArray[np.float32], labels: Rows, device: torch.device, share: float = 0.5
    ) -> None:
        self.array = pictures
        self.device = device
        self.labels = torch.from_numpy(labels).to(device)
        self.resident: Tensor | None = None
        if device.type == "cuda" and pictures.nbytes <= share * torch.cuda.mem_get_info(device)[0]:
            self.resident = torch.empty(pictures.shape, device=device)
            for start in range(0, len(pictures), _CHUNK):
                part = torch.from_numpy(np.array(pictures[start : start + _CHUNK]))
                self.resident[start : start + len(part)] = part.to(device)

    def batches(self, parts: Sequence[Rows]) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures (n, 1, height, width) and labels (n,) of each part's rows, in turn."""
        if not parts:
            return
        if self.resident is not None:
            order = torch.from_numpy(np.concatenate(parts)).to(self.device)
            for index in order.split([len(rows) for rows in parts]):
                yield self.resident[index][:, None], self.labels[index]
        elif self.device.type == "cpu":
            for rows in parts:
                yield torch.from_numpy(self.array[rows])[:, None], self.labels[torch.from_numpy(rows)]
        else:
            yield from self._streamed(parts)

    def _streamed(self, parts: Sequence[Rows]) -> Iterator[tuple[Tensor, Tensor]]:
        def gather(rows: Rows) -> Tensor:
            return torch.from_numpy(self.array[rows])[:, None].pin_memory()

        with ThreadPoolExecutor(1) as reader:
            ahead: Any = reader.submit(gather, parts[0]) if parts else None
            for position, rows in enumerate(parts):
                x = ahead.result()
                if position + 1 < len(parts):
                    ahead = reader.submit(gather, parts[position + 1])
                index = torch.from_numpy(rows).to(self.device)
                yield x.to(self.device, non_blocking=True), self.labels[index]


def cut(rows: Rows, size: int) -> list[Rows]:
    """Cut `rows` into parts of `size`; the last may be shorter."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
