"""The reference engines beside the fast ones: how far apart their pictures are, and how long each takes.

    python -m benchmarks.engines data/raw --clips 10 --json results/representations/engines.json

`data/raw` is the store of any data set, as the stage `download` makes it. Pictures lie in [0, 1]; pitch-shifted
clips are compared by their STFT pictures. Both engines use one process.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from advaudio.augmentation.augment import augment
from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.files import open_array
from advaudio.representations.dwt import build_dwt
from advaudio.representations.stft import build_stft
from advaudio.representations.tonnetz import build_tonnetz
from benchmarks.measurements import Measurements

SCALES = (0.75, 0.9, 1.15, 1.5)


def main(
    store: Annotated[Path, typer.Argument(help="a clip store of originals, such as data/raw")],
    clips: Annotated[int, typer.Option(min=1, help="so many, evenly spaced over the store")] = 10,
    json: Annotated[Path | None, typer.Option(help="write the figures there too")] = None,
) -> None:
    """Print a row per engine: largest and mean difference from `fast`, and time relative to it."""
    os.environ["ADVAUDIO_WORKERS"] = "1"
    measured = Measurements(("librosa", "PyWavelets"))
    with tempfile.TemporaryDirectory() as folder:
        few = _few(ClipStore.open(store), clips, Path(folder) / "few")
        builds: dict[str, tuple[str, Callable[[Any, Path], None]]] = {
            "stft": ("librosa", lambda engine, path: build_stft(few, path, engine=engine)),
            "dwt": ("pywt", lambda engine, path: build_dwt(few, path, engine=engine)),
            "tonnetz": ("librosa", lambda engine, path: build_tonnetz(few, path, engine=engine)),
            "augment": ("librosa", lambda engine, path: _shifted(few, path, engine)),
        }
        for task, (engine, build) in builds.items():
            _compare(measured, task, engine, build, Path(folder))
    print(measured.table())
    if json is not None:
        measured.write(json, clips=clips, store=store.name)


def _few(store: ClipStore, count: int, folder: Path) -> ClipStore:
    chosen = np.linspace(0, len(store) - 1, count).round().astype(int)
    rows = store.table.to_dict("records")
    keys = ("clip", "label", "class_name", "fold", "source", "scale", "original_sample_rate", "duration")
    with ClipStoreWriter(folder, store.sample_rate) as writer:
        for row in chosen:
            samples, gain = store.encoded(int(row))
            writer.append_encoded(samples, gain, **{key: rows[row][key] for key in keys})
    return ClipStore.open(folder)


def _shifted(store: ClipStore, path: Path, engine: Any) -> None:
    """STFT pictures of the pitch-shifted clips; only the shifting is what differs."""
    copies = path.parent / f"augmented-{engine}"
    augment(store.folder, copies, scales=SCALES, engine=engine)
    build_stft(ClipStore.open(copies), path)


def _compare(
    measured: Measurements, task: str, engine: str, build: Callable[[Any, Path], None], folder: Path
) -> None:
    pictures, seconds = {}, {}
    for name in ("fast", engine):
        path = folder / f"{task}-{name}.npy"
        build(name, path.with_name(f"warm-{path.name}"))
        started = time.perf_counter()
        build(name, path)
        seconds[name] = time.perf_counter() - started
        pictures[name] = np.array(open_array(path), dtype=np.float64)
        measured.add(task, name, "time", seconds[name], "s")
    difference = np.abs(pictures["fast"] - pictures[engine])
    measured.add(task, engine, "largest difference from fast", float(difference.max()), "1")
    measured.add(task, engine, "mean difference from fast", float(difference.mean()), "1")
    measured.add(task, engine, "time, times fast", seconds[engine] / seconds["fast"], "1")


if __name__ == "__main__":
    typer.run(main)
