"""Representations against other libraries: error, clips per second, memory, and growth; on a GPU, bandwidth.

    python -m benchmarks.representations --data FOLDER --json results/representations-cpu.json
    python -m benchmarks.representations --data FOLDER --quick
    python -m benchmarks.representations --device cuda --json results/representations-cuda.json

FOLDER holds real clips, in any folders below it (.ogg, .flac or .wav). `--store` names a clip store (after
`augment`) whose stages stft, dwt, tonnetz and append are timed too. Libraries that are not installed are left
out and named.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.determinism import one_blas_thread
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.append import append
from benchmarks.measurements import Measurements
from benchmarks.representations_cpu import growth, memory, speed
from benchmarks.representations_errors import RATE, SECONDS, Audio, errors, real_clips
from benchmarks.representations_gpu import on_gpu, synthetic_clips

LIBRARIES = ("librosa", "PyWavelets", "ssqueezepy", "nnAudio", "fCWT", "scipy", "soxr")


# -- Stages ----------------------------------------------------------------------------------------------


def stages(store_folder: Path, device: str, measured: Measurements) -> None:
    """Seconds of each stage on a clip store, reading and writing included, and the peak memory."""
    store = ClipStore.open(store_folder)
    with tempfile.TemporaryDirectory(dir=store_folder.parent) as folder:
        out = Path(folder)
        steps: dict[str, Callable[[], None]] = {
            "stft": lambda: stft.build_stft(store, out / "stft.npy", device=device),
            "dwt": lambda: dwt.build_dwt(store, out / "dwt.npy", device=device),
            "tonnetz": lambda: tonnetz.build_tonnetz(store, out / "tonnetz.npy", device=device),
            "append": lambda: append(out / "dwt.npy", out / "tonnetz.npy", out / "pictures.npy"),
        }
        for name, run in steps.items():
            with _watched() as peak:
                start = time.perf_counter()
                before = _processor_seconds()
                run()
                task = f"stage {name}, {len(store)} samples"
                measured.add(task, "ours", "time", time.perf_counter() - start, "s")
                measured.add(task, "ours", "processor time", _processor_seconds() - before, "s")
                if peak[0]:
                    measured.add(task, "ours", "memory of the workers", peak[0], "MiB")


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Peak of the memory of all child processes together, in MiB, looked at ten times a second."""
    peak = [0.0]
    over = threading.Event()
    parent = os.getpid()

    def watch() -> None:
        while not over.wait(0.1):
            children = Path(f"/proc/{parent}/task/{parent}/children")
            processes = children.read_text(encoding="ascii").split() if children.exists() else []
            peak[0] = max(peak[0], sum(memory(int(process), "VmRSS") for process in processes))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def write_store(folder: Path, clips: Audio, rows: int) -> Path:
    """A clip store of `rows` rows that repeats `clips`."""
    with ClipStoreWriter(folder, RATE) as writer:
        for row in range(rows):
            writer.append(clips[row % len(clips)], clip=f"clip {row}", label=0, class_name="sound")
    return folder


# -- One run ---------------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print; write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path, help="folder of real clips, for errors and speed")
    parser.add_argument("--quick", action="store_true", help="few clips and turns, no memory: one minute")
    parser.add_argument("--store", type=Path, help="clip store whose stages are timed")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--rows", type=int, default=10_000, help="rows of the store made on a GPU without --store"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    measured = Measurements(LIBRARIES, options.device)
    settings = {"clips": "real" if options.data else "synthetic", "quick": options.quick}
    if options.device == "cpu":
        real = real_clips(options.data, 8 if options.quick else 100) if options.data else []
        if real:
            errors(real, measured)
        with one_blas_thread():
            few = real[:: max(1, len(real) // 8)]
            speed(few, 3 if options.quick else 8, measured, with_memory=not options.quick)
            growth(2 if options.quick else 5, measured)
        if options.store:
            stages(options.store, "cpu", measured)
    else:
        clips = np.stack(
            [np.resize(clip, RATE * SECONDS) for clip in real_clips(options.data, 64)]
            if options.data
            else list(synthetic_clips(64, RATE * SECONDS))
        )
        on_gpu(options.device, clips, measured)
        if options.store:
            stages(options.store, options.device, measured)
        else:
            with tempfile.TemporaryDirectory() as folder:
                rows = min(options.rows, 500) if options.quick else options.rows
                store = write_store(Path(folder) / "store", clips, rows)
                stages(store, options.device, measured)
    print(measured.table())
    if options.json:
        measured.write(options.json, **settings)


if __name__ == "__main__":
    main()
