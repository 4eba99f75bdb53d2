"""Data sets brought in whole: generated archives, a user's folder, and the real archives."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from advaudio.clips.clip_store import ClipStore
from advaudio.core.errors import AdvaudioError
from advaudio.datasets import load as module
from advaudio.datasets.load import load
from advaudio.datasets.source import Remote, find_source, source_names
from tests.datasets.generated import make_urbansound8k
from tests.datasets.hostile import files, make_zip, wav


def bring(name: str, folder: Path, archive: Path | None = None, **options: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "source": {},
        "on_bad_file": "error",
        "seed": 0,
        "cache_folder": folder / "cache",
        "workers": 1,
    }
    return load(name, folder / "clips", archive=archive, **settings | options)


def test_names_of_the_sources() -> None:
    assert set(source_names()) == {"demo", "esc10", "esc50", "folder", "urbansound8k"}
    for name in source_names():
        assert find_source(name).title
    for name in ("esc10", "esc50", "urbansound8k"):
        source = find_source(name)
        assert isinstance(source.remote, Remote)
        assert all(address.startswith("https://") for address in source.remote.addresses)
        assert all(len(digest) in (32, 64) for digest in source.remote.hashes.values())


@pytest.mark.parametrize("name", ["esc51", "clip_store", "../evil", "os", ""])
def test_unknown_names_are_answered_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match="There are: demo, esc10, esc50, folder, urbansound8k"):
        bring(name, tmp_path)


def test_mixed_rates_channels_formats_and_lengths(tmp_path: Path) -> None:
    make_urbansound8k(tmp_path / "a.tar.gz", 210, longest=0.3)
    report = bring("urbansound8k", tmp_path, tmp_path / "a.tar.gz")
    store = ClipStore.open(tmp_path / "clips")
    assert report["clips"] == len(store) == 210
    assert len(report["clips_per_sample_rate"]) >= 5
    assert set(report["clips_per_channels"]) == {"1", "2"}
    assert len(report["clips_per_encoding"]) == 7
    assert report["recordings"] == 30
    assert report["seconds"]["shortest"] < 0.06
    assert report["published_clips"] == 8732
    assert json.loads((tmp_path / "clips" / "dataset.json").read_text()) == report
    table = store.table
    assert (abs(table["length"] - table["duration"] * 22_050) <= 0.5 + 1e-6).all()
    assert table["gain"].between(0.05, 1.5).all()
    assert list((tmp_path / "cache").glob("*.unpacked")) == []


def test_same_store_with_any_number_of_processes(tmp_path: Path) -> None:
    make_urbansound8k(tmp_path / "a.tar.gz", 100, longest=0.2)
    found = []
    for workers in (1, 2, 3):
        bring("urbansound8k", tmp_path, tmp_path / "a.tar.gz", workers=workers)
        found.append({path.name: path.read_bytes() for path in (tmp_path / "clips").iterdir()})
    assert found[0] == found[1] == found[2]


def test_report_names_neither_machine_nor_folder(tmp_path: Path) -> None:
    make_zip(tmp_path / "a.zip", files())
    report = json.dumps(bring("esc10", tmp_path, tmp_path / "a.zip"))
    assert str(tmp_path) not in report
    assert "CC BY 3.0" in report
    assert "Piczak" in report


def test_esc10_is_taken_out_of_esc50(tmp_path: Path) -> None:
    content = files()
    table = content["ESC-50-master/meta/esc50.csv"]
    content["ESC-50-master/meta/esc50.csv"] = table + b"9-9-A-40.wav,1,40,helicopter,False,9,A\n"
    content["ESC-50-master/audio/9-9-A-40.wav"] = wav()
    report = bring("esc10", tmp_path, make_zip(tmp_path / "a.zip", content))
    assert report["clips"] == 20
    with pytest.raises(AdvaudioError, match="has 11 classes where ESC-50 has 50"):
        bring("esc50", tmp_path, tmp_path / "a.zip")


def test_a_download_must_be_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_zip(tmp_path / "a.zip", files())
    monkeypatch.setattr(module, "fetch", lambda remote, folder, progress: archive)
    with pytest.raises(AdvaudioError, match="lists 20 clips where ESC-10 has 400"):
        bring("esc10", tmp_path)


def test_no_network_with_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail("the network was touched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    bring("esc10", tmp_path, make_zip(tmp_path / "a.zip", files()))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on_bad_file": "ignore"}, "on_bad_file is 'ignore'; it must be error or drop"),
        ({"archive": Path("nowhere.zip")}, r"Could not open nowhere.zip: No such file"),
    ],
)
def test_bad_parameters(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match=says):
        bring("esc10", tmp_path, **options)
    assert not (tmp_path / "clips").exists()


def own_folder(folder: Path) -> Path:
    """What a user might have: formats and sub-folders mixed, an accent, spaces, a hidden file, other files."""
    random = np.random.default_rng(0)
    place = folder / "my sounds"
    names = ["dogs/rex.wav", "dogs/old/bella.flac", "dogs/Fido 2.MP3", "čmelák/bzučení é.ogg", "siren.aiff"]
    for number, name in enumerate(names):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = (44_100, 22_050, 48_000, 32_000, 8_000)[number]
        audio = 0.1 * random.standard_normal((rate // 2, 1 + number % 2))
        soundfile.write(path, audio, rate, format=path.suffix[1:].upper())
    (place / "notes.txt").write_text("mine")
    (place / ".hidden.wav").write_text("x")
    rows = [
        "file,label",
        *(f"{name},{'bee' if 'č' in name else 'dog' if 'dogs' in name else 'siren'}" for name in names),
    ]
    (place / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8-sig")
    return place


def test_own_folder(tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    report = bring("folder", tmp_path, source={"path": str(place)})
    assert report["clips_per_class"] == {"bee": 1, "dog": 3, "siren": 1}
    assert report["clips_per_fold"] == {}
    assert report["archive"] is None
    store = ClipStore.open(tmp_path / "clips")
    assert store.table["clip"].tolist()[:2] == ["dogs/rex.wav", "dogs/old/bella.flac"]
    assert store.table["source"].equals(store.table["clip"])
    assert set(store.table["fold"]) == {-1}


def test_own_folder_with_one_corrupt_file(tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    (place / "dogs" / "rex.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVEgarbage")
    with pytest.raises(
        AdvaudioError, match=r"1 bad file in the data set folder: dogs/rex.wav: it cannot be decoded"
    ):
        bring("folder", tmp_path, source={"path": str(place)})
    report = bring("folder", tmp_path, source={"path": str(place)}, on_bad_file="drop")
    assert report["clips"] == 4
    assert report["dropped"][0]["file"] == "dogs/rex.wav"


def test_own_folder_with_folds_sources_and_numbers_as_labels(tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    table = pd.read_csv(place / "clips.csv").assign(
        label=[10, 10, 10, 2, 3], fold=[1, 2, 1, 2, 1], source=["a", "a", "b", "c", "d"]
    )
    table.to_csv(tmp_path / "labels.csv", index=False)
    (place / "clips.csv").unlink()
    bring("folder", tmp_path, source={"path": str(place), "table": str(tmp_path / "labels.csv")})
    found = ClipStore.open(tmp_path / "clips").table
    assert found["label"].tolist() == [2, 2, 2, 0, 1]
    assert found["class_name"].tolist() == ["10", "10", "10", "2", "3"]
    assert found["source"].tolist() == ["a", "a", "b", "c", "d"]
    assert found["fold"].tolist() == [1, 2, 1, 2, 1]


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS spells all names alike")
def test_accents_may_be_spelt_in_two_ways(tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    table = (place / "clips.csv").read_text(encoding="utf-8-sig")
    (place / "clips.csv").write_text(unicodedata.normalize("NFD", table), encoding="utf-8")
    assert bring("folder", tmp_path, source={"path": str(place)})["clips"] == 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda place: (place / "clips.csv").unlink(), r"has no clips\.csv. Name the CSV file"),
        (lambda place: shutil.rmtree(place), r"datasets\.folder\.source\.path\) is not there"),
        (
            lambda place: (place / "clips.csv").write_text("file,label\nsiren.aiff,x,\n"),
            "more values in its rows",
        ),
        (
            lambda place: (place / "clips.csv").write_text("file,label,Source\nsiren.aiff,x,a\n"),
            "rename it 'source'",
        ),
        (lambda place: (place / "clips.csv").write_text("path,label\na,b\n"), "no column 'file'"),
        (lambda place: (place / "clips.csv").write_text("file,label,fold\nsiren.aiff,x,0\n"), "the fold 0"),
        (
            lambda place: (place / "clips.csv").write_text("file,label\n../x.wav,x\n"),
            "x.wav: it is not there",
        ),
        (
            lambda place: (place / "clips.csv").write_text("file,label\nsiren.aiff,\n"),
            "row 1: the column label",
        ),
        (lambda place: (place / "new.wav").write_bytes(wav()), "new.wav: no row of the table"),
    ],
)
def test_own_folder_broken(change: Any, says: str, tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    change(place)
    with pytest.raises(AdvaudioError, match=says):
        bring("folder", tmp_path, source={"path": str(place)})


def test_own_folder_of_which_nothing_is_left(tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    (place / "clips.csv").write_text("file,label\na.wav,x\nb.wav,y\n")
    with pytest.raises(
        AdvaudioError, match=r"No clip of the data set folder is left: a\.wav: it is not there"
    ):
        bring("folder", tmp_path, source={"path": str(place)}, on_bad_file="drop")


def test_table_may_begin_with_a_blank_line(tmp_path: Path) -> None:
    place = own_folder(tmp_path)
    lines = (place / "clips.csv").read_text(encoding="utf-8-sig").splitlines()
    rows = [f"{line},{'source' if not number else 'one'}" for number, line in enumerate(lines)]
    (place / "clips.csv").write_text("\n" + "\n".join(rows) + "\n", encoding="utf-8")
    bring("folder", tmp_path, source={"path": str(place)})
    assert set(ClipStore.open(tmp_path / "clips").table["source"]) == {"one"}


def test_settings_that_a_source_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match=r"datasets\.folder\.source has no 'tabel'; it has path, table"):
        bring("folder", tmp_path, source={"path": str(own_folder(tmp_path)), "tabel": "x"})


def test_own_folder_needs_a_path(tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match=r"datasets\.folder\.source\.path is empty"):
        bring("folder", tmp_path)
    with pytest.raises(AdvaudioError, match=r"datasets\.folder\.source\.table"):
        bring("folder", tmp_path, source={"path": str(own_folder(tmp_path)), "table": "nowhere.csv"})


def test_demo_is_synthesised(tmp_path: Path) -> None:
    settings = {"recordings_per_class": 1, "clips_per_recording": 1}
    report = bring("demo", tmp_path, source=settings)
    assert report["clips"] == len(ClipStore.open(tmp_path / "clips")) == 10
    assert report["archive"] is None


@pytest.mark.realdata
def test_real_clips_keep_their_sound(realdata: Path, tmp_path: Path) -> None:
    place = tmp_path / "UrbanSound8K"
    rows = pd.read_csv(realdata / "data" / "us8k-mini" / "UrbanSound8K.csv").groupby("classID").head(2)
    (place / "metadata").mkdir(parents=True)
    rows.to_csv(place / "metadata" / "UrbanSound8K.csv", index=False)
    wanted = []
    for row in rows.itertuples():
        path = realdata / "data" / "us8k-mini" / "audio" / f"fold{row.fold}" / str(row.slice_file_name)
        audio, rate = soundfile.read(path.with_suffix(".flac"))
        target = place / "audio" / f"fold{row.fold}" / str(row.slice_file_name)
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, audio, rate, "PCM_16")
        wanted.append(audio)
    bring("urbansound8k", tmp_path, place)
    store = ClipStore.open(tmp_path / "clips")
    for number, audio in enumerate(wanted):
        assert np.abs(store.audio(number) - audio).max() <= 1e-4 * np.abs(audio).max()
