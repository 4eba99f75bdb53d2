"""The reference engines: librosa's and PyWavelets' pictures agree with the fast ones as far as the libraries do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advaudio.augmentation.augment import augment
from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.files import open_array
from advaudio.representations.dwt import build_dwt
from advaudio.representations.stft import build_stft
from advaudio.representations.tonnetz import build_tonnetz

RATE = 22_050
DWT: dict[str, Any] = {"scales": 24, "minimum_frequency": 500.0}
# engine, settings, largest and mean difference. Resamplers differ near half of the rate; PyWavelets' wavelet is a staircase, 4 to 6 % off.
REFERENCES: dict[str, tuple[Any, str, dict[str, Any], float, float]] = {
    "stft": (build_stft, "librosa", {}, 1e-4, 1e-5),
    "stft at another rate": (build_stft, "librosa", {"sample_rate": 16_000}, 1.0, 1e-2),
    "dwt": (build_dwt, "pywt", DWT, 0.2, 0.02),
    "tonnetz": (build_tonnetz, "librosa", {"size": (24, 128)}, 0.05, 1e-3),
    "smoothed tonnetz": (build_tonnetz, "librosa", {"size": (24, 128), "smoothing": 2.0}, 0.05, 1e-3),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """A chord that swells, noise, a short clip, and silence."""
    random = np.random.default_rng(0)
    time = np.arange(RATE) / RATE
    chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in (440.0, 554.4, 659.3)) * np.hanning(RATE)
    sounds = [
        chord / 3,
        random.standard_normal(RATE) * 0.1,
        random.standard_normal(RATE // 3),
        np.zeros(RATE),
    ]
    folder = tmp_path_factory.mktemp("clips") / "store"
    with ClipStoreWriter(folder, RATE) as writer:
        for index, samples in enumerate(sounds):
            writer.append(samples, clip=f"clip {index}", label=0, class_name="sound")
    return ClipStore.open(folder)


@pytest.mark.parametrize("case", REFERENCES)
def test_pictures_agree(case: str, store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "1")
    build, engine, settings, largest, mean = REFERENCES[case]
    for name in ("fast", engine):
        build(store, tmp_path / f"{name}.npy", clip_seconds=1.0, engine=name, **settings)
    fast, reference = (np.array(open_array(tmp_path / f"{name}.npy")) for name in ("fast", engine))
    difference = np.abs(fast - reference)
    assert fast.std() > 0, "the pictures are empty"
    assert difference.max() <= largest
    assert difference.mean() <= mean
    layouts = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("fast", engine)]
    assert layouts[1]["settings"].pop("engine") == engine
    assert layouts[0] == layouts[1]


def test_pitch_shifted_copies_agree_in_level_and_pitch(
    store: ClipStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "1")
    pictures = {}
    for engine in ("fast", "librosa"):
        augment(store.folder, tmp_path / engine, scales=(0.75, 1.5), engine=engine)
        copies = ClipStore.open(tmp_path / engine)
        assert copies.table["scale"].tolist() == [1.0, 0.75, 1.5] * 4
        build_stft(copies, tmp_path / f"{engine}.npy", clip_seconds=1.0)
        pictures[engine] = np.array(open_array(tmp_path / f"{engine}.npy"))
    # The vocoders differ in phase, so their pictures differ in places, and little on average.
    assert 0 < np.abs(pictures["fast"] - pictures["librosa"]).mean() < 0.05
