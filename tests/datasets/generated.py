"""An archive in the shape of UrbanSound8K: mixed rates, channels, sample formats and lengths."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile

RATES = (44_100, 48_000, 96_000, 22_050, 16_000, 8_000, 11_025, 24_000, 32_000, 192_000)
FORMATS = ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "IMA_ADPCM", "MS_ADPCM", "PCM_32")
CLASSES = tuple(f"class{number}" for number in range(10))
CHEAP = 50


def make_urbansound8k(path: Path, clips: int, longest: float = 4.0, seed: int = 0) -> None:
    """Write `clips` clips of 0.05 to `longest` seconds, about seven to a recording, all in ten folds and classes."""
    random = np.random.default_rng(seed)
    noise = 0.2 * random.standard_normal((192_000 * 4, 2))
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
        for number in range(clips):
            recording = number // 7
            label, fold = recording % 10, 1 + recording // 10 % 10
            rate = RATES[int(random.integers(4 if number % CHEAP else len(RATES)))]
            seconds = 0.05 if number % 97 == 0 else float(random.uniform(0.05, longest))
            name = f"{100_000 + recording}-{label}-{number % 7}-0.wav"
            start = int(random.integers(1000))
            audio = noise[start : start + max(1, round(seconds * rate)), : int(random.integers(1, 3))]
            buffer = io.BytesIO()
            soundfile.write(buffer, audio, rate, FORMATS[number % len(FORMATS)], format="WAV")
            entry = tarfile.TarInfo(f"UrbanSound8K/audio/fold{fold}/{name}")
            entry.size = buffer.tell()
            buffer.seek(0)
            archive.addfile(entry, buffer)
            rows.append(f"{name},{100_000 + recording},0.0,{seconds:.3f},1,{fold},{label},{CLASSES[label]}")
        for extra, content in {
            "metadata/UrbanSound8K.csv": "\n".join(rows) + "\n",
            "audio/fold1/.DS_Store": "x",
            "audio/fold1/._100000-0-0-0.wav": "x",
            "FREESOUNDCREDITS.txt": "credits",
        }.items():
            entry = tarfile.TarInfo(f"UrbanSound8K/{extra}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content.encode()))
