"""From a clip store to arrays of pictures: what is written, how, and what is not when it fails."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.clips.picture_layout import read_layout
from advaudio.core.errors import AdvaudioError
from advaudio.representations import dwt, stft, tonnetz
from advaudio.representations.append import append
from advaudio.representations.dwt import build_dwt
from advaudio.representations.resampling import resample
from advaudio.representations.stft import build_stft
from advaudio.representations.tonnetz import build_tonnetz

RATE = 22_050
BUILDERS: dict[str, Callable[..., None]] = {
    "stft": partial(build_stft, size=(18, 24), clip_seconds=0.5),
    "dwt": partial(build_dwt, size=(18, 24), clip_seconds=0.5),
    "tonnetz": partial(build_tonnetz, size=(6, 20), clip_seconds=0.5),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    folder = tmp_path_factory.mktemp("clips") / "store"
    random = np.random.default_rng(0)
    with ClipStoreWriter(folder, RATE) as writer:
        for index in range(20):
            samples = random.standard_normal(int(random.integers(1, 15_000))) * random.random()
            writer.append(samples * (index != 3), clip=f"clip {index}", label=index % 2, class_name="noise")
    return ClipStore.open(folder)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "1")


@pytest.fixture(scope="module")
def built(store: ClipStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of every builder."""
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADVAUDIO_WORKERS", "1")
        for name, build in BUILDERS.items():
            build(store, folder / f"{name}.npy")
    return folder


def prepared(store: ClipStore, row: int) -> np.ndarray[Any, Any]:
    audio = np.zeros(RATE // 2, dtype=np.float32)
    clip = store.audio(row)[: RATE // 2]
    audio[: len(clip)] = clip
    return audio


def test_rows_are_the_pictures_of_the_clips(store: ClipStore, built: Path) -> None:
    expected = {
        "stft": lambda audio: stft.pictures(audio, size=(18, 24)),
        "dwt": lambda audio: dwt.pictures(audio, dwt.plan(RATE // 2), size=(18, 24)),
        "tonnetz": lambda audio: tonnetz.pictures(audio, size=(6, 20)),
    }
    for name in BUILDERS:
        pictures = np.load(built / f"{name}.npy")
        assert pictures.dtype == np.float32
        assert len(pictures) == len(store)
        for row in (0, 3, 7, 19):
            np.testing.assert_allclose(pictures[row], expected[name](prepared(store, row)), atol=2e-5)
        assert (pictures[3] == (0.5 if name == "tonnetz" else 0)).all()


@pytest.mark.parametrize("name", BUILDERS)
def test_the_number_of_workers_changes_no_bit(
    name: str, store: ClipStore, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "2")
    BUILDERS[name](store, tmp_path / f"{name}.npy")
    for file in (f"{name}.npy", f"{name}.json"):
        assert (tmp_path / file).read_bytes() == (built / file).read_bytes()


@pytest.mark.parametrize("name", BUILDERS)
def test_a_torch_device_gives_the_same_pictures(
    name: str, store: ClipStore, built: Path, tmp_path: Path
) -> None:
    BUILDERS[name](store, tmp_path / "torch.npy", device="cpu:0")
    np.testing.assert_allclose(np.load(tmp_path / "torch.npy"), np.load(built / f"{name}.npy"), atol=1e-4)


def test_a_device_that_is_not_there(store: ClipStore, tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match="cuda:77"):
        BUILDERS["stft"](store, tmp_path / "x.npy", device="cuda:77")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("stft", {"clip_seconds": 0.0}, "clip_seconds"),
        ("stft", {"size": (0, 3)}, "spectrogram_size"),
        ("stft", {"n_fft": 2047}, "stft.n_fft"),
        ("stft", {"hop_length": 0}, "stft.hop_length"),
        ("stft", {"dynamic_range": float("nan")}, "stft.dynamic_range"),
        ("dwt", {"sample_rate": 0}, "dwt_sample_rate"),
        ("dwt", {"dynamic_range": -1}, "dwt.dynamic_range"),
        ("tonnetz", {"size": (5, 20)}, "tonnetz_size"),
        ("tonnetz", {"smoothing": -1.0}, "tonnetz.smoothing"),
        ("tonnetz", {"dynamic_range": 0.0}, "tonnetz.dynamic_range"),
    ],
)
def test_parameters_that_make_no_sense(
    name: str, settings: dict[str, Any], words: str, store: ClipStore, tmp_path: Path
) -> None:
    with pytest.raises(AdvaudioError, match=words):
        BUILDERS[name](store, tmp_path / "x.npy", **settings)
    assert list(tmp_path.iterdir()) == []


def test_append_stacks_the_tonnetz_on_top(built: Path, tmp_path: Path) -> None:
    append(built / "dwt.npy", built / "tonnetz.npy", tmp_path / "both.npy")
    both = np.load(tmp_path / "both.npy")
    assert both.shape == (20, 24, 24)
    np.testing.assert_array_equal(both[:, :18], np.load(built / "dwt.npy"))
    small = np.load(built / "tonnetz.npy")
    np.testing.assert_allclose(both[:, 18:].mean(2), small.mean(2), atol=0.01)

    layout = read_layout(tmp_path / "both.npy")
    assert (layout.representation, layout.height, layout.width) == ("dwt_tonnetz", 24, 24)
    assert len(layout.frequencies) == 18
    assert list(layout.frequencies) == sorted(layout.frequencies)
    assert list(layout.centroids) == list(tonnetz.CENTROIDS)
    assert layout.decibels_per_unit == 80.0

    append(built / "stft.npy", None, tmp_path / "alone.npy")
    assert (tmp_path / "alone.npy").read_bytes() == (built / "stft.npy").read_bytes()
    assert read_layout(tmp_path / "alone.npy").centroids == ()


def test_the_layout_tells_when_and_how_high(built: Path) -> None:
    layout = json.loads((built / "stft.json").read_text())
    times = layout["first_column_seconds"] + layout["seconds_per_column"] * np.arange(24)
    hops = 1 + RATE // 2 // 512
    # Frames centred at 0, 512, 1024, … samples, averaged into 24 columns.
    assert times.mean() == pytest.approx((hops - 1) / 2 * 512 / RATE)
    frequencies = layout["sections"][0]["row_values"]
    assert np.mean(frequencies) == pytest.approx(RATE / 4)


def _change_layout(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: np.save(f / "tonnetz.npy", np.zeros((7, 6, 24), np.float32)), "same clips"),
        (lambda f: np.save(f / "tonnetz.npy", np.full((20, 6, 24), 2, np.float32)), r"outside \[0, 1\]"),
        (lambda f: np.save(f / "tonnetz.npy", np.full((20, 6, 24), np.nan, np.float32)), r"outside \[0, 1\]"),
        (lambda f: np.save(f / "tonnetz.npy", np.zeros((20, 6))), "float64"),
        (lambda f: (f / "tonnetz.npy").write_bytes(b"nothing"), "tonnetz.npy"),
        (lambda f: (f / "tonnetz.json").unlink(), "tonnetz.json"),
        (lambda f: (f / "tonnetz.json").write_text('{"clip_seconds": 9}'), "no representation"),
        (lambda f: _change_layout(f / "tonnetz.json", clip_seconds=9), "clip_seconds"),
    ],
)
def test_appending_what_does_not_belong_together(
    damage: Callable[[Path], object], words: str, built: Path, tmp_path: Path
) -> None:
    for file in built.iterdir():
        shutil.copy(file, tmp_path)
    damage(tmp_path)
    with pytest.raises(AdvaudioError, match=words):
        append(tmp_path / "stft.npy", tmp_path / "tonnetz.npy", tmp_path / "both.npy")
    assert not list(tmp_path.glob("*both*"))


def test_resampling_keeps_a_band_limited_sound() -> None:
    def sound(rate: int) -> np.ndarray[Any, Any]:
        time = np.arange(rate) / rate
        bump: np.ndarray[Any, Any] = np.exp(-(((time - 0.5) / 0.08) ** 2)) * np.sin(2 * np.pi * 2500 * time)
        return bump.astype(np.float32)

    for source, target in ((22_050, 16_000), (16_000, 22_050), (44_100, 8000), (8000, 8000)):
        np.testing.assert_allclose(resample(sound(source), source, target), sound(target), atol=2e-6)
    assert resample(np.ones((2, 100), np.float32), 22_050, 16_000, 50).shape == (2, 50)
