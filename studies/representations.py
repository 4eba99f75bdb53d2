"""Our representations by themselves: growth with clips and seconds, the stages on a clip store, speed on a GPU.

    python -m studies.representations --json results/representations/growth.json
    python -m studies.representations --device cuda --json results/representations/cuda.json

On a CPU: processor time against the number and the length of clips. On a GPU: difference from the CPU, clips per
second, and share of the copy bandwidth. `--store` names a clip store (after `augment`) whose stages stft, dwt,
tonnetz and append are timed too; on a GPU one is made where none is named.
"""

from __future__ import annotations

import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.determinism import one_blas_thread
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.append import append
from benchmarks.measurements import Measurements, best_seconds
from benchmarks.representations import memory
from benchmarks.representations_errors import RATE, SCALES, SECONDS, Audio, real_clips

LIBRARIES = ("scipy", "soxr")


def synthetic_clips(number: int, samples: int, seed: int = 0) -> Audio:
    """Noise, tones and bursts beside silence, and one silent clip: float32, shape (number, samples)."""
    random = np.random.default_rng(seed)
    time_axis = np.arange(samples) / RATE
    clips = np.zeros((number, samples), dtype=np.float32)
    for index in range(1, number):
        sound = random.standard_normal(samples) * random.uniform(0, 0.3)
        for _ in range(3):
            sound += random.uniform(0, 0.3) * np.sin(2 * np.pi * random.uniform(80, 7000) * time_axis)
        if index % 3 == 0:
            sound[int(random.integers(1, samples)) :] = 0
        clips[index] = sound / np.abs(sound).max()
    return clips


def growth(rounds: int, measured: Measurements) -> None:
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
        for number, spent in by_number.items():
            task = f"pictures by {name}, {number} clips of {SECONDS} s"
            measured.add(task, "ours", "processor time per clip", spent / number * 1e3, "ms")
        for seconds, spent in by_length.items():
            task = f"pictures by {name}, one clip of {seconds} s"
            measured.add(task, "ours", "processor time per second of sound", spent / seconds * 1e3, "ms")


def _repeatedly(run: Callable[[int], Any], times: int) -> None:
    for _ in range(times):
        run(SECONDS)


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


def on_gpu(device: str, clips: Audio, measured: Measurements) -> None:
    """Difference from the CPU, clips per second, and bytes moved against the measured copy bandwidth."""
    import torch

    plan = dwt.plan(clips.shape[1], scales=SCALES)
    transforms: dict[str, Callable[[Any], Any]] = {
        "stft": stft.pictures,
        "dwt": lambda audio: dwt.pictures(audio, plan),
        "tonnetz": tonnetz.pictures,
    }
    bandwidth = copy_bandwidth(device)
    measured.add("copy within the device's memory", "PyTorch", "bandwidth", bandwidth / 1e9, "GB/s")
    on_device = torch.from_numpy(clips).to(device)
    batch = on_device.repeat(-(-128 // len(clips)), 1)[:128]
    with torch.inference_mode():
        for name, transform in transforms.items():
            expected = np.concatenate([transform(clip[None]) for clip in clips])
            difference = np.abs(transform(on_device).cpu().numpy() - expected)

            def run(transform: Callable[[Any], Any] = transform) -> None:
                transform(batch)
                torch.cuda.synchronize(device)

            seconds = best_seconds(run, 10) / len(batch)
            traffic = bytes_moved(partial(transform, batch)) / len(batch)
            for metric, value, unit in (
                ("speed", 1 / seconds, "clips/s"),
                ("largest difference from the CPU", difference.max(), "1"),
                ("mean difference from the CPU", difference.mean(), "1"),
                ("bytes moved per clip", traffic / 1e6, "MB"),
                ("share of the copy bandwidth", traffic / seconds / bandwidth, "1"),
            ):
                measured.add(f"{name} on the GPU", "ours", metric, float(value), unit)


def copy_bandwidth(device: str) -> float:
    """Bytes read and written per second by a copy within the device's memory."""
    import torch

    source = torch.zeros(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def run() -> None:
        for _ in range(10):
            target.copy_(source)
        torch.cuda.synchronize(device)

    return 10 * 2 * source.numel() / best_seconds(run, 5)


def bytes_moved(run: Callable[[], Any]) -> int:
    """Bytes of the tensors that every operation of `run` reads and writes, each counted once an operation."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class Counter(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = func(*args, **(kwargs or {}))
            if not func.is_view:
                for leaf in tree_leaves((args, kwargs, output)):
                    if isinstance(leaf, torch.Tensor):
                        # A broadcast or overlapping view is read from fewer bytes than it has elements.
                        stored = leaf.untyped_storage().nbytes()
                        self.total += min(leaf.numel() * leaf.element_size(), stored)
            return output

    with Counter() as counter:
        run()
    return counter.total


def main(
    device: str = "cpu",
    data: Annotated[
        Path | None, typer.Option(help="folder of real clips, for a GPU; without it synthetic ones")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="clip store whose stages are timed")] = None,
    rows: Annotated[int, typer.Option(help="rows of the store made on a GPU without --store")] = 10_000,
    quick: Annotated[bool, typer.Option("--quick", help="few turns and rows")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
) -> None:
    """Measure, print, and write."""
    measured = Measurements(LIBRARIES, device)
    if device == "cpu":
        with one_blas_thread():
            growth(2 if quick else 5, measured)
        if store is not None:
            stages(store, device, measured)
    else:
        real = [] if data is None else [np.resize(clip, RATE * SECONDS) for clip in real_clips(data, 64)]
        clips = np.stack(real) if real else synthetic_clips(64, RATE * SECONDS)
        on_gpu(device, clips, measured)
        with tempfile.TemporaryDirectory() as folder:
            made = store or write_store(Path(folder) / "store", clips, min(rows, 500) if quick else rows)
            stages(made, device, measured)
    print(measured.table())
    if json_file is not None:
        measured.write(json_file, clips="synthetic" if data is None else "real", quick=quick)


if __name__ == "__main__":
    typer.run(main)
