"""The clip store: what goes in comes out, and nothing half-written is left."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import COLUMNS, ClipStore, ClipStoreWriter, atomic_folder, decode, encode
from advaudio.core.errors import AdvaudioError


def write(folder: Path, clips: int = 3) -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    audio = [random.normal(size=100 * (number + 1)) * 10.0 ** (number - 2) for number in range(clips)]
    with ClipStoreWriter(folder) as writer:
        for number, samples in enumerate(audio):
            writer.append(samples, clip=f"00{number}", label=number, class_name="NA", source="1e5", fold=2)
    return audio


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@given(
    st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=50),
    st.sampled_from([1.0, 1e-30, 1e-300, 5e-324]),
)
def test_rounding_error_is_half_a_step_of_the_clip(values: list[float], level: float) -> None:
    audio = np.array(values) * level
    samples, gain = encode(audio)
    assert samples.dtype == np.int16
    assert gain == np.abs(audio).max()
    if gain:
        assert np.abs(samples.astype(float)).max() == 32767
        assert np.abs(samples / 32767 - audio / gain).max() <= 0.5 / 32767 * (1 + 1e-9)


def test_decode_inverts() -> None:
    audio = np.random.default_rng(0).normal(size=1000)
    found = decode(*encode(audio))
    assert found.dtype == np.float32
    assert np.abs(found - audio).max() <= np.abs(audio).max() / 65_000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_encode_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        encode(np.array([0.0, bad]))


def test_round_trip(tmp_path: Path) -> None:
    audio = write(tmp_path / "store")
    store = ClipStore.open(tmp_path / "store")
    assert len(store) == 3
    assert list(store.table.columns) == list(COLUMNS)
    assert store.table["clip"].tolist() == ["000", "001", "002"]
    assert store.table["class_name"].tolist() == ["NA"] * 3
    assert store.table["source"].tolist() == ["1e5"] * 3
    assert store.table["gain"].tolist() == [np.abs(samples).max() for samples in audio]
    assert store.table["offset"].tolist() == [0, 100, 300]
    assert store.samples.shape == (600,)
    for row, samples in enumerate(audio):
        assert np.abs(store.audio(row) - samples).max() <= np.abs(samples).max() / 65_000
        kept, gain = store.encoded(row)
        np.testing.assert_array_equal(kept, encode(samples)[0])
        assert gain == encode(samples)[1]


def test_samples_are_a_plain_npy_file(tmp_path: Path) -> None:
    write(tmp_path / "store")
    samples = np.load(tmp_path / "store" / "samples.npy")
    assert samples.shape == (600,)
    assert samples.dtype == np.int16


def test_failure_leaves_the_old_store(tmp_path: Path) -> None:
    write(tmp_path / "store")
    with pytest.raises(AdvaudioError, match="occurs twice"), ClipStoreWriter(tmp_path / "store") as writer:
        for _ in range(2):
            writer.append(np.ones(5), clip="a", label=0, class_name="a")
    assert len(ClipStore.open(tmp_path / "store")) == 3
    assert names(tmp_path) == ["store"]


def test_success_replaces_the_old_store(tmp_path: Path) -> None:
    write(tmp_path / "store")
    write(tmp_path / "store", clips=2)
    assert len(ClipStore.open(tmp_path / "store")) == 2
    assert names(tmp_path) == ["store"]


@pytest.mark.parametrize(
    ("audio", "says"),
    [(np.array([np.nan]), "NaN"), (np.zeros(0), "no samples"), (np.zeros((2, 2)), "one channel")],
)
def test_bad_clips_are_named(audio: np.ndarray[Any, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match=f"dog-1.*{says}"), ClipStoreWriter(tmp_path / "store") as writer:
        writer.append(audio, clip="dog-1", label=0, class_name="dog")
    assert names(tmp_path) == []


def test_no_clip_no_store(tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match="has no clip"), ClipStoreWriter(tmp_path / "store"):
        pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "damage", ["no table", "no samples", "short samples", "no column", "text", "wrong type"]
)
def test_damaged_stores_are_refused(damage: str, tmp_path: Path) -> None:
    write(tmp_path)
    table, samples = tmp_path / "clips.csv", tmp_path / "samples.npy"
    if damage == "no table":
        table.unlink()
    elif damage == "no samples":
        samples.unlink()
    elif damage == "short samples":
        np.save(samples, np.zeros(599, dtype=np.int16))
    elif damage == "no column":
        table.write_text(table.read_text().replace("gain", "pain"))
    elif damage == "text":
        table.write_text(table.read_text().replace(",300,", ",many,"))
    else:
        np.save(samples, np.zeros(600, dtype=np.float32))
    with pytest.raises(AdvaudioError, match="dvc checkout"):
        ClipStore.open(tmp_path)


def test_atomic_folder_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdvaudioError, match="Could not write"), atomic_folder(tmp_path / "file" / "store"):
        pass


def test_memory_does_not_grow_with_the_audio(tmp_path: Path) -> None:
    samples = np.ones(100_000, dtype=np.int16)
    tracemalloc.start()
    with ClipStoreWriter(tmp_path / "store") as writer:
        for number in range(200):
            writer.append_encoded(samples, 1.0, clip=str(number), label=0, class_name="a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "store" / "samples.npy").stat().st_size > 40e6
    assert peak < 4e6


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=5, unique=True))
@example(
    ["car\rhorn", "car\r\nhorn", "car\nhorn", '"', "a,b", "\0", "NA", " x ", "\t", "caf\u00e9", "cafe\u0301"]
)
@settings(max_examples=50, deadline=None)
def test_any_text_reads_back(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        with ClipStoreWriter(Path(folder) / "store") as writer:
            for number, text in enumerate(texts):
                writer.append(np.ones(3), clip=text, label=number, class_name=text, source=text)
        table = ClipStore.open(Path(folder) / "store").table
        assert read_class_names(Path(folder) / "store" / "clips.csv") == texts
    assert table["clip"].tolist() == table["class_name"].tolist() == table["source"].tolist() == texts
