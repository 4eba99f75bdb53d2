"""Errors of the representations: STFT and tonnetz against librosa, the wavelets against the float64 formula."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal

from advaudio.core.errors import AdvaudioError
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.resampling import resample
from benchmarks.measurements import Measurements

Audio = np.ndarray[Any, Any]
RATE, DWT_RATE, SECONDS = 22_050, 16_000, 5
SCALES = 128


def real_clips(folder: Path, number: int) -> list[Audio]:
    """Clips at 22,050 Hz, evenly spread over the files in `folder` and below, rounded to 16 bits.

    Raises
    ------
    AdvaudioError
        If there is no clip.
    """
    import soundfile
    import soxr

    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".ogg", ".flac", ".wav"))
    if not paths:
        raise AdvaudioError(f"{folder} has no .ogg, .flac or .wav file: name a folder of clips with --data.")
    clips = []
    for path in paths[:: max(1, len(paths) // number)][:number]:
        audio, rate = soundfile.read(path)
        audio = soxr.resample(audio, rate, RATE)
        clips.append((np.rint(audio / np.abs(audio).max() * 32767) / 32767).astype(np.float32))
    return clips


def convolution(audio: Audio, scale: float, bandwidth: float, centre: float) -> Audio:
    """The protocol's W(s, τ) at every sample in float64, zeros beyond the clip."""
    reach = int(np.ceil(8 * scale * bandwidth**0.5))
    t = np.arange(-reach, reach + 1) / scale
    wavelet = (np.pi * bandwidth) ** -0.5 * np.exp(2j * np.pi * centre * t - t**2 / bandwidth)
    kernel = np.conj(wavelet)[::-1] / np.sqrt(scale)
    return scipy.signal.fftconvolve(audio.astype(np.float64), kernel)[reach : reach + len(audio)]


def test_signals(clips: list[Audio]) -> dict[str, Audio]:
    """Signals at 16 kHz for the error of the wavelet transform."""
    samples = DWT_RATE * SECONDS
    t = np.arange(samples) / DWT_RATE
    signals = {f"real clip {i + 1}": resample(clip, RATE, DWT_RATE, samples) for i, clip in enumerate(clips)}
    signals["noise"] = np.random.default_rng(0).standard_normal(samples)
    signals["chirp"] = scipy.signal.chirp(t, 40, SECONDS, 7000, method="logarithmic")
    signals["impulse"] = np.eye(1, samples, samples // 2 + 7)[0]
    for frequency in (62.5, 125, 250, 500, 1000, 2000, 4000):
        signals[f"tone {frequency:g} Hz"] = np.sin(2 * np.pi * frequency * t)
    signals["constant"] = np.ones(samples)
    signals["silence"] = np.zeros(samples)
    return {name: signal.astype(np.float32) for name, signal in signals.items()}


def dwt_errors(signals: dict[str, Audio], measured: Measurements) -> None:
    """Relative L2 error of coefficients and averaged energy, ours and PyWavelets', over 16 of the scales."""
    import pywt

    plan = dwt.plan(DWT_RATE * SECONDS, stored_rate=DWT_RATE, scales=SCALES)
    window = np.sin(np.pi * np.arange(2 * plan.hop) / (2 * plan.hop)) ** 2 / plan.hop
    for name, audio in signals.items():
        energy, groups = dwt.energy(audio, plan), dwt.coefficients(audio, plan)
        sums = np.zeros(6)
        for group, values in zip(plan.groups, groups, strict=True):
            step = plan.hop // group.rate
            for scale in [scale for scale in range(group.first, group.stop) if scale % 8 == 4]:
                exact = convolution(audio, plan.scales[scale], plan.bandwidth, plan.centre)
                own = values[scale - group.first][: len(exact[::step])]
                peer = pywt.cwt(audio, plan.scales[scale : scale + 1], "cmor1.5-1.0", method="fft")[0][0]
                power = np.abs(exact) ** 2
                frames = np.lib.stride_tricks.sliding_window_view(power, 2 * plan.hop)[:: plan.hop]
                averaged = frames[: plan.frames] @ window
                sums += [
                    np.sum(np.abs(own - exact[::step]) ** 2) * step,
                    np.sum(np.abs(exact[::step]) ** 2) * step,
                    np.sum(np.abs(peer - exact) ** 2),
                    np.sum(power),
                    np.sum((energy[scale] - averaged) ** 2),
                    np.sum(averaged**2),
                ]
        for system, metric, i in (
            ("ours", "error of the coefficients", 0),
            ("pywt.cwt(method='fft')", "error of the coefficients", 2),
            ("ours", "error of the averaged energy", 4),
        ):
            task = f"dwt against the float64 formula, {name}"
            if sums[i + 1]:
                measured.add(task, system, metric, np.sqrt(sums[i] / sums[i + 1]), "of the L2 norm")
            else:
                measured.add(task, system, f"{metric}, L2", np.sqrt(sums[i]), "1")


def errors(clips: list[Audio], measured: Measurements) -> None:
    """Ours against librosa on real clips, and against the float64 wavelet formula."""
    import librosa

    differences: dict[str, list[float]] = {"stft": [], "tonnetz": [], "tonnetz, librosa in float32": []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for clip in clips:
            power = np.abs(librosa.stft(clip)) ** 2
            differences["stft"].append(
                float(np.linalg.norm(stft.power(clip) - power) / np.linalg.norm(power))
            )
            values = tonnetz.centroids(clip)
            for name, kind in (("tonnetz", np.float64), ("tonnetz, librosa in float32", np.float32)):
                peer = librosa.feature.tonnetz(y=clip.astype(kind), sr=RATE)
                differences[name].append(float(np.abs(values - peer).mean()))
    against = f"against librosa, {len(clips)} clips"
    single = differences["tonnetz, librosa in float32"]
    measured.add(f"stft {against}", "ours", "largest difference", max(differences["stft"]), "of the L2 norm")
    for precision, name in (("float64", "tonnetz"), ("float32", "tonnetz, librosa in float32")):
        mean = float(np.mean(differences[name]))
        measured.add(f"tonnetz {against} in {precision}", "ours", "mean absolute difference", mean, "1")
    tuned = sum(difference > 1e-4 for difference in single)
    measured.add(f"tonnetz {against} in float32", "ours", "clips tuned otherwise", tuned, "clips")
    dwt_errors(test_signals(clips[:: max(1, len(clips) // 4)]), measured)
