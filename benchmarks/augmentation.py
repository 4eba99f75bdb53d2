"""Pitch shift: quality and speed of ours and of its peers, side by side in one run.

    python -m benchmarks.augmentation ESC-50-master.zip --json results/augmentation.json
    python -m benchmarks.augmentation ESC-50-master.zip --quick

The archive is imported as ESC-10 (400 real clips of 5 s). Engines: ours; librosa's phase vocoder; Rubber Band
(if `pedalboard` is installed); plain resampling, which changes the duration and is only the lower bound of the
cost. Then the whole way, archive to augmented store, against a plain loop over librosa.
"""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from advaudio.augmentation.augment import augment
from advaudio.augmentation.pitch_shift import pitch_shift
from advaudio.clips.clip_store import ClipStore
from advaudio.core.parallel import worker_count
from advaudio.datasets.load import load
from benchmarks.measurements import Measurements, refuse_beside_quick

SCALES = (0.75, 0.9, 1.15, 1.5)
RATE = 22_050
Signal = np.ndarray[Any, Any]
Engine = Callable[[Signal], list[Signal]]


def with_librosa(audio: Signal) -> list[Signal]:
    """Phase vocoder without phase locking, then soxr."""
    import librosa

    return [librosa.effects.pitch_shift(audio, sr=RATE, n_steps=12 * np.log2(scale)) for scale in SCALES]


def with_rubber_band(audio: Signal) -> list[Signal]:
    """Rubber Band, through pedalboard."""
    import pedalboard  # type: ignore[import-not-found,unused-ignore]

    shifted = [
        pedalboard.time_stretch(audio, float(RATE), 1.0, 12 * float(np.log2(scale)))[0] for scale in SCALES
    ]
    return [np.pad(signal, (0, max(0, len(audio) - len(signal))))[: len(audio)] for signal in shifted]


def with_resampling(audio: Signal) -> list[Signal]:
    """Resampling alone: the duration changes."""
    import soxr

    return [soxr.resample(audio, scale, 1.0, quality="HQ") for scale in SCALES]


def engines(measured: Measurements) -> dict[str, Engine]:
    """All that are installed, by name."""
    found: dict[str, Engine] = {
        "ours": lambda audio: pitch_shift(audio, SCALES),
        "librosa.effects.pitch_shift": with_librosa,
    }
    try:
        with_rubber_band(np.zeros(RATE, dtype=np.float32))
        found["Rubber Band (pedalboard)"] = with_rubber_band
    except ImportError as error:
        measured.fail("pitch shifts", "Rubber Band (pedalboard)", error)
    return found | {"resampling only (duration changes)": with_resampling}


def frequency_error(engine: Engine) -> float:
    """Largest relative error of the frequency of shifted sines."""
    errors = []
    for frequency in (110.0, 440.0, 997.0, 3_000.0, 6_500.0):
        audio = (0.5 * np.sin(2 * np.pi * frequency * np.arange(3 * RATE) / RATE)).astype(np.float32)
        for scale, shifted in zip(SCALES, engine(audio), strict=True):
            middle = shifted[len(shifted) // 4 : 3 * len(shifted) // 4]
            spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**19))
            errors.append(abs(np.argmax(spectrum) * RATE / 2**19 / (frequency * scale) - 1))
    return float(max(errors))


def click_quality(engine: Engine) -> dict[str, float]:
    """Clicks every half second: error of the tempo, largest move, energy within 10 ms of each click's centre."""
    period = RATE // 2
    audio = np.zeros(5 * RATE)
    wanted = np.arange(4_000, len(audio) - period // 2, period)
    audio[wanted] = 1.0
    ringing = np.exp(-np.arange(200) / 30) * np.sin(2 * np.pi * 1_500 * np.arange(200) / RATE)
    audio = np.convolve(audio, ringing)[: len(audio)]
    tempo, move, near = [], [], []
    for shifted in engine(audio.astype(np.float32)):
        energy = np.pad(shifted.astype(float), (0, max(0, len(audio) - len(shifted)))) ** 2
        centres = []
        for place in wanted:
            around = np.arange(place - period // 3, place + period // 3)
            total = max(energy[around].sum(), 1e-30)
            centre = float((around * energy[around]).sum() / total)
            centres.append(centre)
            near.append(energy[round(centre) - 220 : round(centre) + 221].sum() / total)
        tempo.append(abs(np.polyfit(np.arange(len(wanted)), centres, 1)[0] / period - 1))
        move.append(np.abs(np.array(centres) - wanted).max() / RATE)
    return {
        "tempo_error": float(max(tempo)),
        "largest_move_ms": float(1000 * max(move)),
        "energy_within_10_ms": float(np.mean(near)),
    }


def noise_loss(engine: Engine) -> float:
    """Change of energy, dB, of noise that stays below half the sample rate; mean over the scales."""
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(5 * RATE))
    spectrum[int(0.6 * len(spectrum)) :] = 0
    audio = np.fft.irfft(spectrum).astype(np.float32)
    return float(np.mean([decibels(shifted, audio) for shifted in engine(audio)]))


def decibels(part: Signal, whole: Signal) -> float:
    """Energy of one signal relative to another."""
    return float(
        10 * np.log10(max(np.sum(part.astype(float) ** 2), 1e-30) / np.sum(whole.astype(float) ** 2))
    )


def compare(store: ClipStore, clips: int, measured: Measurements) -> None:
    """Every engine's cost and quality; they take turns, clip by clip, so that all see the same machine."""
    found = engines(measured)
    rows = np.linspace(0, len(store) - 1, clips).astype(int)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    energies: dict[str, list[float]] = {name: [] for name in found}
    for engine in found.values():
        engine(store.audio(0))
    for row in rows:
        audio = store.audio(int(row))
        for name, engine in found.items():
            began = time.process_time()
            shifted = engine(audio)
            seconds[name].append(time.process_time() - began)
            energies[name].extend(decibels(signal, audio) for signal in shifted)
    task = f"{len(SCALES)} pitch shifts of each of {clips} clips"
    for name, engine in found.items():
        changed = np.array(energies[name])
        clicks = click_quality(engine)
        for metric, value, unit in (
            ("processor time per clip, median", 1000 * float(np.median(seconds[name])), "ms"),
            ("energy, median change", float(np.median(changed)), "dB"),
            ("energy, largest change", float(changed[np.abs(changed).argmax()]), "dB"),
            ("changed by more than 3 dB", float(np.mean(np.abs(changed) > 3)), "of the shifted clips"),
        ):
            measured.add(task, name, metric, value, unit)
        measured.add(
            "pitch shifts of sines", name, "largest error of the frequency", frequency_error(engine), "1"
        )
        measured.add("pitch shifts of clicks", name, "error of the tempo", clicks["tempo_error"], "1")
        measured.add("pitch shifts of clicks", name, "largest move", clicks["largest_move_ms"], "ms")
        near = clicks["energy_within_10_ms"]
        measured.add("pitch shifts of clicks", name, "energy within 10 ms", near, "of the click's energy")
        measured.add("pitch shifts of noise", name, "change of energy", noise_loss(engine), "dB")


def plain_loop(archive: Path, clips: int) -> float:
    """Clips per second of a loop over librosa: read, resample, four shifts; one after the other."""
    import librosa
    import soundfile

    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if name.endswith(".wav")][:clips]
        began = time.perf_counter()
        for name in names:
            audio, rate = soundfile.read(BytesIO(files.read(name)), dtype="float32")
            with_librosa(librosa.resample(audio, orig_sr=rate, target_sr=RATE))
        return len(names) / (time.perf_counter() - began)


def main(
    context: typer.Context,
    archive: Annotated[Path, typer.Argument(help="ESC-50 archive with the clips of ESC-10.")],
    clips: Annotated[int, typer.Option(help="Clips for the engines and for the plain loop.")] = 40,
    quick: Annotated[bool, typer.Option("--quick", help="Four clips: about a minute on two cores.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure, print, and write."""
    if quick:
        refuse_beside_quick(context, "archive", "json_file")
        clips = 4
    measured = Measurements(("librosa", "soxr", "pedalboard"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options: dict[str, Any] = {"source": {}, "on_bad_file": "error", "seed": 0, "cache_folder": folder}
        # The first call compiles; that is no part of a loop's speed.
        with_librosa(np.zeros(RATE, dtype=np.float32))
        loop = [plain_loop(archive, clips)]
        began = time.perf_counter()
        load("esc10", folder / "clips", archive=archive, **options)
        imported = time.perf_counter() - began
        augment(folder / "clips", folder / "augmented", scales=SCALES)
        whole = time.perf_counter() - began
        loop.append(plain_loop(archive, clips))
        store = ClipStore.open(folder / "clips")
        task = f"archive to augmented store, {len(store)} clips"
        measured.add(task, "ours", "speed of the import", len(store) / imported, "clips/s")
        measured.add(task, "ours", "speed of import and augmentation", len(store) / whole, "clips/s")
        for turn, speed in zip(("before ours", "after ours"), loop, strict=True):
            name = f"loop over librosa, {clips} clips, {turn}"
            measured.add(task, name, "speed of import and augmentation", speed, "clips/s")
        compare(store, clips, measured)
    print(measured.table())
    if json_file is not None:
        measured.write(json_file, workers=worker_count())


if __name__ == "__main__":
    typer.run(main)
