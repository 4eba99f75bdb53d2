"""The clip store: every clip of a data set back to back in one array, beside a table of the clips."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array, read_csv, write_csv

SAMPLE_RATE = 22_050
FULL_SCALE = 32_767
SAMPLES_FILE = "samples.npy"
TABLE_FILE = "clips.csv"
COLUMNS: dict[str, type] = {
    "clip": str,
    "label": int,
    "class_name": str,
    "fold": int,
    "source": str,
    "scale": float,
    "offset": int,
    "length": int,
    "gain": float,
    "sample_rate": int,
    "original_sample_rate": int,
    "duration": float,
}


def encode(audio: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """Normalise a clip to the full scale of 16 bits.

    Parameters
    ----------
    audio
        Shape (samples,), any float type, any amplitude, all finite.

    Returns
    -------
    samples, gain
        int16 of shape (samples,) and the clip's peak: amplitude = samples / 32767 * gain. The rounding
        error is at most gain / 65534, whatever the level of the clip. Silence has gain 0.

    Raises
    ------
    ValueError
        If `audio` is not one-dimensional, or holds NaN or infinity.
    """
    audio = np.asarray(audio, dtype=np.float64)
    if audio.ndim != 1:
        raise ValueError(f"one channel expected, got an array of shape {audio.shape}")
    gain = float(np.max(np.abs(audio), initial=0.0))
    if not np.isfinite(gain):
        raise ValueError("NaN or infinity among the samples")
    if gain == 0.0:
        return np.zeros(len(audio), dtype=np.int16), 0.0
    # Dividing first keeps subnormal peaks from overflowing the quotient 32767 / gain.
    return np.rint(audio / gain * FULL_SCALE).astype(np.int16), gain


def decode(samples: np.ndarray[Any, Any], gain: float) -> np.ndarray[Any, Any]:
    """Inverse of `encode`: float32 amplitudes of shape (samples,)."""
    return np.asarray(samples, dtype=np.float32) * np.float32(gain / FULL_SCALE)


class ClipStore:
    """A clip store on disk, opened read-only; use `ClipStore.open`.

    Attributes
    ----------
    folder
        Where it lies; a worker process opens the store again by this path.
    table
        One row per clip (per clip and scale after augmentation), columns as in `COLUMNS`.
    samples
        Memory-mapped int16, shape (all samples,).
    sample_rate
        Hz, the same for all clips.
    """

    def __init__(self, folder: Path, table: pd.DataFrame, samples: np.ndarray[Any, Any]) -> None:
        self.folder = folder
        self.table = table
        self.samples = samples
        self.sample_rate = int(table["sample_rate"].iloc[0])
        self._offsets = table["offset"].to_numpy()
        self._lengths = table["length"].to_numpy()
        self._gains = table["gain"].to_numpy()
        self._header = (folder / SAMPLES_FILE).stat().st_size - samples.nbytes

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the store in `folder`.

        Raises
        ------
        AdvaudioError
            If a file is missing or damaged, or the table and the samples do not belong together.
        """
        folder = Path(folder)
        table = read_table(folder / TABLE_FILE)
        samples = open_array(folder / SAMPLES_FILE)
        ends = table["offset"] + table["length"]
        finite = np.isfinite(table["gain"].to_numpy()).all()
        sound = samples.ndim == 1 and samples.dtype == np.int16
        if (
            not sound
            or not finite
            or table["offset"].min() < 0
            or table["length"].min() < 1
            or ends.max() != len(samples)
        ):
            raise AdvaudioError(
                f"The clip store {folder} is damaged: {TABLE_FILE} and {SAMPLES_FILE} do not match. "
                "Run `dvc checkout` to restore it, or delete it and run `dvc repro`."
            )
        return cls(folder, table, samples)

    def __len__(self) -> int:
        return len(self.table)

    def encoded(self, row: int) -> tuple[np.ndarray[Any, Any], float]:
        """Samples (int16, shape (length,)) and gain of the clip at position `row`, as `encode` gave them."""
        # Read, not mapped: pages of a mapping count as this process's memory as long as it lives.
        start = self._header + 2 * int(self._offsets[row])
        samples = np.fromfile(
            self.folder / SAMPLES_FILE, dtype="<i2", count=int(self._lengths[row]), offset=start
        )
        return samples, float(self._gains[row])

    def audio(self, row: int) -> np.ndarray[Any, Any]:
        """Amplitudes of the clip at position `row` of the table: float32, shape (length,)."""
        return decode(*self.encoded(row))


def read_table(path: Path) -> pd.DataFrame:
    """Read the table of a clip store, with the columns and types of `COLUMNS`; "NA" and "001" stay texts.

    Raises
    ------
    AdvaudioError
        If it is missing or damaged.
    """
    types = {name: int if kind is int else object for name, kind in COLUMNS.items()}
    table = read_csv(path, dtype=types, keep_default_na=False)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or table.empty:
        raise AdvaudioError(
            f"The table of clips {path} has {'no column ' + missing[0] if missing else 'no row'}. "
            "Run `dvc checkout` to restore it, or delete it and run `dvc repro`."
        )
    for name, kind in COLUMNS.items():
        if kind is float:
            # Python reads back exactly what was written; whether pandas does depends on its version.
            try:
                table[name] = table[name].map(float)
            except ValueError as error:
                raise AdvaudioError(
                    f"The table of clips {path} has no number in the column {name}: {error}. "
                    "Run `dvc checkout` to restore it, or delete it and run `dvc repro`."
                ) from error
    return table[list(COLUMNS)]


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `folder`; on a clean exit it replaces `folder`.

    Raises
    ------
    AdvaudioError
        If the disk is full or the folder cannot be written; `folder` is then as it was.
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.partial")
    old = folder.with_name(f".{folder.name}.old")
    try:
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise AdvaudioError(
            f"Could not write {folder}: {error.strerror or error}. "
            "Check the free space and the permissions of its folder, then run the same command again."
        ) from error
    finally:
        if old.exists() and not folder.exists():
            with suppress(OSError):
                old.rename(folder)
        for leftover in (temporary, old):
            shutil.rmtree(leftover, ignore_errors=True)


class ClipStoreWriter:
    """A new clip store, written clip by clip, published under its name on a clean exit of the `with` block.

    Memory does not grow with the audio, only with the number of clips.

    Parameters
    ----------
    folder
        Where the store is to be; an older store there is replaced on success only.
    sample_rate
        Hz of all clips appended.

    Attributes
    ----------
    folder
        The temporary folder inside the `with` block; files put there are published with the store.
    """

    def __init__(self, folder: Path, sample_rate: int = SAMPLE_RATE) -> None:
        self._target = Path(folder)
        self.sample_rate = sample_rate
        self._rows: list[dict[str, Any]] = []
        self._seen: set[tuple[str, float]] = set()
        self._written = 0

    def __enter__(self) -> Self:
        self._context = atomic_folder(self._target)
        self.folder = self._context.__enter__()
        try:
            self._file = (self.folder / SAMPLES_FILE).open("wb")
            self._write_header()
        except BaseException as error:
            self._context.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __len__(self) -> int:
        return len(self._rows)

    def _write_header(self) -> None:
        # NumPy pads the header for a first axis of up to 21 digits, so its size never changes.
        self._file.seek(0)
        header = {"descr": "<i2", "fortran_order": False, "shape": (self._written,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(
        self,
        audio: np.ndarray[Any, Any],
        *,
        clip: str,
        label: int,
        class_name: str,
        fold: int = -1,
        source: str | None = None,
        scale: float = 1.0,
        original_sample_rate: int | None = None,
        duration: float | None = None,
    ) -> None:
        """Append one clip.

        Parameters
        ----------
        audio
            Amplitudes of shape (samples,) at the store's rate, any range.
        clip
            Its name, unique with its `scale`.
        label, class_name
            Class number from 0, and its name.
        fold
            Official fold from 1, or -1.
        source
            Recording that the clip was cut from; by default the clip itself.
        scale
            Pitch-shift ratio, 1 for the original.
        original_sample_rate, duration
            Hz and seconds before resampling; by default those of `audio`.

        Raises
        ------
        AdvaudioError
            If the clip is empty, holds NaN or infinity, or its name and scale were appended before.
        """
        try:
            samples, gain = encode(audio)
        except ValueError as error:
            raise AdvaudioError(f"The clip {clip} cannot be stored: {error}. Correct or drop it.") from error
        self.append_encoded(
            samples,
            gain,
            clip=clip,
            label=label,
            class_name=class_name,
            fold=fold,
            source=source,
            scale=scale,
            original_sample_rate=original_sample_rate,
            duration=duration,
        )

    def append_encoded(
        self,
        samples: np.ndarray[Any, Any],
        gain: float,
        *,
        clip: str,
        label: int,
        class_name: str,
        fold: int = -1,
        source: str | None = None,
        scale: float = 1.0,
        original_sample_rate: int | None = None,
        duration: float | None = None,
    ) -> None:
        """Append a clip that `encode` made into `samples` and `gain`; otherwise as `append`."""
        if len(samples) == 0:
            raise AdvaudioError(f"The clip {clip} cannot be stored: it has no samples. Correct or drop it.")
        if (clip, scale) in self._seen:
            raise AdvaudioError(f"The clip {clip} (pitch scale {scale}) occurs twice. Remove one of the two.")
        self._seen.add((clip, scale))
        self._file.write(np.ascontiguousarray(samples, dtype="<i2").data)
        self._rows.append(
            {
                "clip": clip,
                "label": label,
                "class_name": class_name,
                "fold": fold,
                "source": clip if source is None else source,
                "scale": float(scale),
                "offset": self._written,
                "length": len(samples),
                "gain": gain,
                "sample_rate": self.sample_rate,
                "original_sample_rate": original_sample_rate or self.sample_rate,
                "duration": len(samples) / self.sample_rate if duration is None else duration,
            }
        )
        self._written += len(samples)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._publish()
        except BaseException as problem:
            self._close(type(problem), problem, problem.__traceback__)
            raise
        self._close(kind, error, trace)

    def _publish(self) -> None:
        if not self._rows:
            raise AdvaudioError(f"Could not write {self._target}: the data set has no clip.")
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())
        write_csv(self.folder / TABLE_FILE, pd.DataFrame(self._rows, columns=list(COLUMNS)))

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()
        self._context.__exit__(kind, error, trace)
