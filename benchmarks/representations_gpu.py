"""Representations on a GPU: difference from the CPU, clips per second, share of the copy bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from advaudio.representations import dwt, stft, tonnetz
from benchmarks.measurements import Measurements
from benchmarks.representations_errors import RATE, SCALES, Audio


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


def best_seconds(
    run: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Fastest of `rounds` runs, after one that is not counted."""
    run()
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


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
