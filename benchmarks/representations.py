"""Representations beside other libraries on a CPU: error, processor time and memory.

    python -m benchmarks.representations --data FOLDER --json results/representations/cpu.json
    python -m benchmarks.representations --data FOLDER --quick

FOLDER holds real clips, in any folders below it (.ogg, .flac or .wav). Libraries that are not installed are left out
and named. What ours does by itself, on a GPU or with more clips, is measured by `studies.representations`.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from advaudio.core.determinism import one_blas_thread
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.resampling import resample
from benchmarks.measurements import Measurements, best_seconds
from benchmarks.representations_errors import DWT_RATE, RATE, SCALES, SECONDS, Audio, errors, real_clips

LIBRARIES = ("librosa", "PyWavelets", "ssqueezepy", "nnAudio", "fCWT", "scipy", "soxr")


def methods(
    left_out: Callable[[str, Exception], None] = lambda name, error: None,
) -> dict[str, dict[str, Callable[[Audio], Any]]]:
    """What is timed, by representation; each takes one clip of 5 s, and ours comes first.

    `left_out` gets each library that is missing or broken, and why.
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
    """Import a library that may be missing; a broken one counts as missing and is reported."""

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


def main(
    data: Annotated[
        Path | None, typer.Option(help="folder of real clips; without it noise, and no errors")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="few clips and turns, no memory: one minute")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
) -> None:
    """Measure, print, and write."""
    warnings.simplefilter("ignore")
    measured = Measurements(LIBRARIES)
    real = [] if data is None else real_clips(data, 8 if quick else 100)
    if real:
        errors(real, measured)
    with one_blas_thread():
        speed(real[:: max(1, len(real) // 8)], 3 if quick else 8, measured, with_memory=not quick)
    print(measured.table())
    if json_file is not None:
        measured.write(json_file, clips="real" if real else "synthetic", quick=quick)


if __name__ == "__main__":
    typer.run(main)
