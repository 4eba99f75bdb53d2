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
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module, metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from advaudio.datasets.clip_store import ClipStore, ClipStoreWriter
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.append import append
from advaudio.representations.backend import one_thread
from advaudio.representations.resampling import resample
from benchmarks.representations_errors import (
    DWT_RATE,
    RATE,
    SCALES,
    SECONDS,
    Audio,
    Result,
    errors,
    real_clips,
)
from benchmarks.representations_gpu import best_seconds, on_gpu, synthetic_clips

LIBRARIES = ("librosa", "PyWavelets", "ssqueezepy", "nnAudio", "fCWT", "numpy", "scipy", "soxr", "torch")


# -- Speed on a CPU --------------------------------------------------------------------------------------


def methods() -> dict[str, dict[str, Callable[[Audio], Any]]]:
    """What is timed, by representation; each takes one clip of 5 s, and ours comes first."""
    import librosa
    import pywt

    plan = dwt.plan(DWT_RATE * SECONDS, stored_rate=DWT_RATE, scales=SCALES)
    average = partial(_averaged, hop=plan.hop)
    found: dict[str, dict[str, Callable[[Audio], Any]]] = {
        "dwt": {
            "ours": lambda audio: dwt.energy(audio, plan),
            "pywt.cwt(method='fft')": lambda audio: average(
                pywt.cwt(audio, plan.scales, "cmor1.5-1.0", method="fft")[0]
            ),
        },
        "tonnetz": {
            "ours": tonnetz.centroids,
            "librosa.feature.tonnetz": lambda audio: librosa.feature.tonnetz(y=audio, sr=RATE),
        },
        "stft": {"ours": stft.power, "librosa.stft": lambda audio: np.abs(librosa.stft(audio)) ** 2},
    }
    with _optional("ssqueezepy") as available:
        if available:
            import ssqueezepy

            wavelet = ssqueezepy.Wavelet(("morlet", {"mu": 2 * np.pi}))
            scales = plan.scales[::-1].astype(np.float32)
            found["dwt"]["ssqueezepy.cwt"] = lambda audio: average(
                ssqueezepy.cwt(audio, wavelet, scales=scales, padtype="zero")[0]
            )
    with _optional("fcwt") as available:
        if available:
            import fcwt

            morlet = fcwt.Morlet(2.0)
            low, high = plan.frequencies[0], plan.frequencies[-1]
            fcwt_scales = fcwt.Scales(morlet, fcwt.FCWT_LOGSCALES, DWT_RATE, low, high, SCALES)

            def fast_cwt(audio: Audio) -> Audio:
                output = np.zeros((SCALES, audio.size), dtype=np.complex64)
                fcwt.FCWT(morlet, 1, False, False).cwt(audio, fcwt_scales, output)
                return average(output)

            found["dwt"]["fCWT"] = fast_cwt
    with _optional("nnAudio") as available:
        if available:
            import torch
            from nnAudio.features import CQT2010v2

            layer = CQT2010v2(sr=RATE, hop_length=512, n_bins=252, bins_per_octave=36, verbose=False)
            found["tonnetz"]["nnAudio CQT2010v2 (CQT alone)"] = lambda audio: layer(torch.from_numpy(audio))
    return found


class _optional:
    """Import a library that may be missing; a broken one counts as missing and is named."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> bool:
        try:
            import_module(self.name)
        except Exception as error:
            print(f"left out: {self.name} ({error})", file=sys.stderr)
            return False
        return True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if error is not None:
            print(f"left out: {self.name} ({error})", file=sys.stderr)
        return isinstance(error, Exception)


def _averaged(transform: Audio, hop: int) -> Audio:
    # Scale by scale, in the processor's cache: three times as fast as the whole transform at once.
    frames = transform.shape[1] // hop
    halves = np.empty((len(transform), frames, 2), dtype=transform.real.dtype)
    window = np.sin(np.pi * np.arange(2 * hop) / (2 * hop)) ** 2 / hop
    weights = np.repeat(window.reshape(2, hop).T, 2, axis=0).astype(halves.dtype)
    for row, output in zip(transform, halves, strict=True):
        parts = row[: frames * hop].view(halves.dtype).reshape(frames, 2 * hop)
        np.matmul(parts * parts, weights, out=output)
    return halves[:, :-1, 0] + halves[:, 1:, 1]


def clips_for(representation: str, clips: list[Audio]) -> list[Audio]:
    """Real clips, or noise without any, at the rate of the representation: each 5 s."""
    if not clips:
        clips = list(np.random.default_rng(1).standard_normal((8, RATE * SECONDS)).astype(np.float32))
    rate = DWT_RATE if representation == "dwt" else RATE
    return [resample(np.resize(clip, RATE * SECONDS), RATE, rate, rate * SECONDS) for clip in clips]


def speed(real: list[Audio], rounds: int, memory: bool) -> Result:
    """Milliseconds of processor time per clip, all threads counted, and the peak memory.

    Processor time, since a machine that others use too makes the clock on the wall meaningless; methods take
    turns, and the fastest turn counts. Clips do not depend on each other, so that n cores do n times as many.
    """
    results: Result = {}
    for representation, candidates in methods().items():
        clips = clips_for(representation, real)
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for turn in range(rounds):
            audio = clips[turn % len(clips)]
            for name, run in candidates.items():
                times[name].append(
                    best_seconds(partial(run, audio), 5 if name == "ours" else 1, time.process_time)
                )
        own = min(times["ours"])
        results[representation] = {
            name: {
                "ms of processor time per clip": min(values) * 1e3,
                "times ours": min(values) / own,
                **({"peak memory MB": peak_memory(representation, name)} if memory else {}),
            }
            for name, values in times.items()
        }
    return results


def peak_memory(representation: str, name: str) -> float | None:
    """MB that a fresh process grows by at most while it transforms one clip; None where Linux is missing."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    with get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_grown, (representation, name)))


def _grown(representation: str, name: str) -> float:
    warnings.simplefilter("ignore")
    run = methods()[representation][name]
    audio = clips_for(representation, [])[0]
    before = _memory(os.getpid(), "VmRSS")
    # Writing 5 sets the peak back to the present.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    run(audio)
    return _memory(os.getpid(), "VmHWM") - before


def _memory(process: int, field: str) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def growth(rounds: int) -> Result:
    """Processor time for 1, 2, 4 and 8 times 8 clips of 5 s, and for clips of 1 to 60 s.

    All take turns, and the fastest turn counts. Linear growth is a constant time per clip, and per second.
    """
    numbers, lengths = (8, 16, 32, 64), (1, 2, 5, 10, 20, 30, 60)
    random = np.random.default_rng(2)
    clips = {seconds: random.standard_normal((1, RATE * seconds)).astype(np.float32) for seconds in lengths}
    plans = {seconds: dwt.plan(RATE * seconds, scales=SCALES) for seconds in lengths}
    transforms: dict[str, Callable[[int], Any]] = {
        "stft": lambda seconds: stft.pictures(clips[seconds]),
        "dwt": lambda seconds: dwt.pictures(clips[seconds], plans[seconds]),
        "tonnetz": lambda seconds: tonnetz.pictures(clips[seconds]),
    }
    results: Result = {}
    for name, run in transforms.items():
        by_number = dict.fromkeys(numbers, float("inf"))
        by_length = dict.fromkeys(lengths, float("inf"))
        for _ in range(rounds):
            for number in numbers:
                spent = best_seconds(partial(_repeatedly, run, number), 1, time.process_time)
                by_number[number] = min(by_number[number], spent)
            for seconds in lengths:
                spent = best_seconds(partial(run, seconds), 2, time.process_time)
                by_length[seconds] = min(by_length[seconds], spent)
        results[name] = {
            "ms per clip, by clips": {str(n): spent / n * 1e3 for n, spent in by_number.items()},
            "ms per second, by seconds of a clip": {str(n): spent / n * 1e3 for n, spent in by_length.items()},
        }
    return results


def _repeatedly(run: Callable[[int], Any], times: int) -> None:
    for _ in range(times):
        run(SECONDS)


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
            peak[0] = max(peak[0], sum(_memory(int(process), "VmRSS") for process in processes))

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
        clips = real_clips(options.data, 8 if options.quick else 100) if options.data else []
        if clips:
            results["errors"] = errors(clips)
        with one_thread():
            results["speed"] = speed(clips[:: max(1, len(clips) // 8)], 3 if options.quick else 8, not options.quick)
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
