"""Representations on a CPU: processor time and memory beside other libraries, and growth with the clips."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.resampling import resample
from benchmarks.measurements import Measurements
from benchmarks.representations_errors import DWT_RATE, RATE, SCALES, SECONDS, Audio
from benchmarks.representations_gpu import best_seconds


def methods(
    left_out: Callable[[str, Exception], None] = lambda name, error: None,
) -> dict[str, dict[str, Callable[[Audio], Any]]]:
    """What is timed, by representation; each takes one clip of 5 s, and ours comes first.

    `left_out` is told of each library that is missing or broken, and why.
    """
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
    with _optional("ssqueezepy", left_out) as available:
        if available:
            import ssqueezepy

            wavelet = ssqueezepy.Wavelet(("morlet", {"mu": 2 * np.pi}))
            scales = plan.scales[::-1].astype(np.float32)
            found["dwt"]["ssqueezepy.cwt"] = lambda audio: average(
                ssqueezepy.cwt(audio, wavelet, scales=scales, padtype="zero")[0]
            )
    with _optional("fcwt", left_out) as available:
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
    with _optional("nnAudio", left_out) as available:
        if available:
            import torch
            from nnAudio.features import CQT2010v2

            layer = CQT2010v2(sr=RATE, hop_length=512, n_bins=252, bins_per_octave=36, verbose=False)
            found["tonnetz"]["nnAudio CQT2010v2 (CQT alone)"] = lambda audio: layer(torch.from_numpy(audio))
    return found


class _optional:
    """Import a library that may be missing; a broken one counts as missing and is told of."""

    def __init__(self, name: str, left_out: Callable[[str, Exception], None]) -> None:
        self.name, self.left_out = name, left_out

    def __enter__(self) -> bool:
        try:
            import_module(self.name)
        except Exception as error:
            self.left_out(self.name, error)
            return False
        return True

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        if isinstance(error, Exception):
            self.left_out(self.name, error)
            return True
        return False


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


def speed(real: list[Audio], rounds: int, measured: Measurements, *, with_memory: bool) -> None:
    """Milliseconds of processor time per clip, all threads counted, and the peak memory.

    Processor time, since a machine that others use too makes the clock on the wall meaningless; methods take
    turns, and the fastest turn counts. Clips do not depend on each other, so that n cores do n times as many.
    """
    found = methods(partial(measured.fail, "transforms"))
    for representation, candidates in found.items():
        clips = clips_for(representation, real)
        times: dict[str, list[float]] = {name: [] for name in candidates}
        for turn in range(rounds):
            audio = clips[turn % len(clips)]
            for name, run in candidates.items():
                times[name].append(best_seconds(partial(run, audio), 3, time.process_time))
        task = f"{representation}, one clip of {SECONDS} s"
        for name, values in times.items():
            measured.add(task, name, "processor time", min(values) * 1e3, "ms")
            measured.add(task, name, "processor time over ours", min(values) / min(times["ours"]), "1")
            grown = peak_memory(representation, name) if with_memory else None
            if grown is not None:
                measured.add(task, name, "peak memory", grown, "MiB")


def peak_memory(representation: str, name: str) -> float | None:
    """MiB that a fresh process grows by at most while it transforms one clip; None where Linux is missing."""
    if not Path("/proc/self/clear_refs").exists():
        return None
    with get_context("spawn").Pool(1) as pool:
        return float(pool.apply(_grown, (representation, name)))


def _grown(representation: str, name: str) -> float:
    warnings.simplefilter("ignore")
    run = methods()[representation][name]
    audio = clips_for(representation, [])[0]
    before = memory(os.getpid(), "VmRSS")
    # Writing 5 sets the peak back to the present.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    run(audio)
    return memory(os.getpid(), "VmHWM") - before


def memory(process: int, field: str) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


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
