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
import json
import os
import platform
import resource
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np

from advaudio.datasets.clip_store import ClipStore, ClipStoreWriter
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.append import append
from advaudio.representations.backend import one_thread
from benchmarks.representations_cpu import growth, memory, speed
from benchmarks.representations_errors import RATE, SECONDS, Audio, Result, errors, real_clips
from benchmarks.representations_gpu import on_gpu, synthetic_clips

LIBRARIES = ("librosa", "PyWavelets", "ssqueezepy", "nnAudio", "fCWT", "numpy", "scipy", "soxr", "torch")


# -- Stages ----------------------------------------------------------------------------------------------


def stages(store_folder: Path, device: str) -> Result:
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
        results: Result = {"samples": len(store)}
        for name, run in steps.items():
            with _watched() as peak:
                start = time.perf_counter()
                before = _processor_seconds()
                run()
                results[name] = {
                    "seconds": time.perf_counter() - start,
                    "processor seconds": _processor_seconds() - before,
                    "workers' memory MB": peak[0],
                }
    results["all, seconds"] = sum(results[name]["seconds"] for name in steps)
    results["all, processor seconds"] = sum(results[name]["processor seconds"] for name in steps)
    return results


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Peak of the memory of all child processes together, in MB, looked at ten times a second."""
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
    results: Result = {"hardware": hardware(), "versions": versions()}
    if options.device == "cpu":
        real = real_clips(options.data, 8 if options.quick else 100) if options.data else []
        if real:
            results["errors"] = errors(real)
        with one_thread():
            few = real[:: max(1, len(real) // 8)]
            results["speed"] = speed(few, 3 if options.quick else 8, with_memory=not options.quick)
            results["growth"] = growth(2 if options.quick else 5)
        if options.store:
            results["stages"] = stages(options.store, "cpu")
    else:
        clips = np.stack(
            [np.resize(clip, RATE * SECONDS) for clip in real_clips(options.data, 64)]
            if options.data
            else list(synthetic_clips(64, RATE * SECONDS))
        )
        results["clips"] = "real" if options.data else "synthetic"
        results["gpu"] = on_gpu(options.device, clips)
        if options.store:
            results["stages"] = stages(options.store, options.device)
        else:
            with tempfile.TemporaryDirectory() as folder:
                store = write_store(Path(folder) / "store", clips, options.rows)
                results["stages"] = stages(store, options.device)
    text = json.dumps(results, indent=2, ensure_ascii=False)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def hardware() -> Result:
    """Processor and cores."""
    model = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return {"processor": model, "cores": len(os.sched_getaffinity(0))}


def versions() -> dict[str, str]:
    """Installed versions of the libraries that take part."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    main()
