"""Archives of published data sets as people repack them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from advaudio.clips.clip_store import ClipStore
from advaudio.core.errors import AdvaudioError
from advaudio.datasets.load import load
from tests.datasets.hostile import LABELS, RATE, files, make_tar, make_zip, table, wav

US8K_TABLE = "slice_file_name,fsID,start,end,salience,fold,classID,class\n" + "".join(
    f"{100 + number}-{number % 10}-0-0.wav,{100 + number},0,1,1,{1 + number % 4},{number % 10},class{number % 10}\n"
    for number in range(20)
)
US8K_CLIPS = [f"fold{1 + number % 4}/{100 + number}-{number % 10}-0-0.wav" for number in range(20)]


def bring(name: str, archive: Path, folder: Path) -> dict[str, Any]:
    return load(
        name,
        folder / "clips",
        source={},
        archive=archive,
        on_bad_file="error",
        seed=0,
        cache_folder=folder / "cache",
        workers=1,
    )


def esc(place: str, csv: str = "esc50.csv") -> dict[str, bytes]:
    return {csv: table(), **{f"{place}{clip}.wav": wav() for clip in LABELS}}


def us8k(place: str, csv: str = "UrbanSound8K.csv") -> dict[str, bytes]:
    return {csv: US8K_TABLE.encode(), **{f"{place}{clip}": wav() for clip in US8K_CLIPS}}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("esc10", esc("audio/audio/"), id="Kaggle's ESC-50"),
        pytest.param("esc10", esc("audio/audio/44100/"), id="a folder more"),
        pytest.param("esc10", esc("ESC-50-master/ESC-50-master/audio/", "ESC-50-master/ESC-50-master/meta/esc50.csv"),
                     id="packed twice"),
        pytest.param("esc10", esc(""), id="all in one folder"),
        pytest.param("esc10", esc("x/audio/", "x/meta/ESC50.CSV"), id="table in capitals"),
        pytest.param("urbansound8k", us8k(""), id="Kaggle's UrbanSound8K"),
        pytest.param("urbansound8k", us8k("UrbanSound8K/audio/", "UrbanSound8K/metadata/UrbanSound8K.csv"),
                     id="as published"),
        pytest.param("urbansound8k", us8k("UrbanSound8K/"), id="folds beside the table's folder"),
    ],
)  # fmt: skip
def test_layouts(name: str, content: dict[str, bytes], tmp_path: Path) -> None:
    assert bring(name, make_zip(tmp_path / "a.zip", content), tmp_path)["clips"] == 20
    unpacked = tmp_path / "unpacked"
    for file, data in content.items():
        (unpacked / file).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / file).write_bytes(data)
    assert bring(name, unpacked, tmp_path)["clips"] == 20
    found = ClipStore.open(tmp_path / "clips").table
    if name == "urbansound8k":
        expected = pd.Series([1 + number % 4 for number in range(20)], name="fold")
        pd.testing.assert_series_equal(found["fold"], expected)
        assert found["clip"].tolist() == [clip.split("/")[1].removesuffix(".wav") for clip in US8K_CLIPS]


def test_converted_clips(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(0).normal(0, 0.1, RATE), RATE, format="FLAC")
    content = {f"audio/{clip.replace('.wav', '.flac')}": buffer.getvalue() for clip in US8K_CLIPS}
    content["metadata/UrbanSound8K.csv"] = US8K_TABLE.encode()
    report = bring("urbansound8k", make_zip(tmp_path / "a.zip", content), tmp_path)
    assert report["clips_per_encoding"] == {"FLAC/PCM_16": 20}


def test_copies_at_other_rates_are_left_alone(tmp_path: Path) -> None:
    copies = {f"audio/audio/16000/{clip}.wav": wav(rate=16_000) for clip in LABELS}
    bring("esc10", make_zip(tmp_path / "a.zip", copies | esc("audio/audio/")), tmp_path)
    assert set(ClipStore.open(tmp_path / "clips").table["original_sample_rate"]) == {RATE}


def test_equal_names_in_several_folds_are_refused(tmp_path: Path) -> None:
    content = us8k("")
    content["UrbanSound8K.csv"] = (US8K_TABLE + "100-0-0-0.wav,9,0,1,1,2,0,class0\n").encode()
    content["fold2/100-0-0-0.wav"] = wav()
    with pytest.raises(AdvaudioError, match="lists the clip '100-0-0-0' twice"):
        bring("urbansound8k", make_zip(tmp_path / "a.zip", content), tmp_path)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["esc10", "urbansound8k"])
def test_archives_made_on_windows(make: Any, name: str, tmp_path: Path) -> None:
    content = files() if name == "esc10" else us8k("audio/", "metadata/UrbanSound8K.csv")
    archive = make(tmp_path / "a", {file.replace("/", "\\"): data for file, data in content.items()})
    assert bring(name, archive, tmp_path)["clips"] == 20


def test_folders_of_a_windows_zip_are_no_files(tmp_path: Path) -> None:
    archive = make_zip(
        tmp_path / "a.zip", {"esc\\": b"", "esc\\audio\\": b""} | esc("esc\\audio\\", "esc\\esc50.csv")
    )
    assert bring("esc10", archive, tmp_path)["clips"] == 20


def test_files_that_were_unpacked_with_backslashes_in_their_names(tmp_path: Path) -> None:
    (tmp_path / "unpacked").mkdir()
    for file, data in files().items():
        (tmp_path / "unpacked" / file.replace("/", "\\")).write_bytes(data)
    assert bring("esc10", tmp_path / "unpacked", tmp_path)["clips"] == 20


def test_a_packing_method_of_windows_that_is_not_read_is_named(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", files())
    data = bytearray(archive.read_bytes())
    for magic, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = data.find(magic)
        data[place + method] = 9
    archive.write_bytes(data)
    with pytest.raises(AdvaudioError, match=r"number 9; 9 is Deflate64 .*Unpack it and give the path"):
        bring("esc10", archive, tmp_path)


@pytest.mark.parametrize("form", ["c\u00e9", "ce\u0301"])
def test_utf_8_names_that_the_zip_does_not_declare(form: str, tmp_path: Path) -> None:
    """As macOS packs them: UTF-8 with the flag for it off."""
    archive = make_zip(tmp_path / "a.zip", {f"{form}a.wav": wav(), f"{form}b.wav": wav(),
                                            "clips.csv": b"file,label\nc\xc3\xa9a.wav,a\nc\xc3\xa9b.wav,b\n"})  # fmt: skip
    data = bytearray(archive.read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(magic)
        while place >= 0:
            data[place + flags + 1] &= ~8
            place = data.find(magic, place + 4)
    archive.write_bytes(data)
    with zipfile.ZipFile(archive) as opened:
        assert f"{form}a.wav" not in opened.namelist()
    assert bring("folder", archive, tmp_path)["clips"] == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param(
            "esc10", esc("audio/audio/44100/") | {f"audio/audio/16000/{clip}.wav": wav() for clip in LABELS},
            r"has the clip 1-0-A-0.wav 2 times \(audio/audio/44100/1-0-A-0.wav, audio/audio/16000/1-0-A-0.wav\), .*"
            r"Wanted: meta/esc50.csv beside .*Leave one copy", id="two copies"),
        pytest.param(
            "urbansound8k", esc("audio/"),
            r"has no file metadata/UrbanSound8K.csv; exactly one is expected. Wanted: .*audio/fold1/.*"
            r"Found: 20 audio files in audio/, esc50.csv", id="another data set"),
        pytest.param(
            "esc10", {"a/esc50.csv": table(), "b/esc50.csv": table()},
            r"has 2 files meta/esc50.csv \(a/esc50.csv, b/esc50.csv\)", id="two tables"),
        pytest.param(
            "urbansound8k", {"UrbanSound8K.tar.gz": b"x"},
            r"Found: 1 files, none of them audio\. Unpack UrbanSound8K.tar.gz first", id="an archive inside"),
        pytest.param(
            "esc10", {"meta/esc50.csv": table(), "audio/x.wav": wav()},
            r"has the table of clips and none of its clips. Wanted: .*Found: 1 audio files in audio/", id="no clip"),
    ],
)  # fmt: skip
def test_what_is_ambiguous_is_said(name: str, content: dict[str, bytes], says: str, tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match=says) as caught:
        bring(name, make_zip(tmp_path / "a.zip", content), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"Rar!\x1a\x07\x00", "rar"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\xfd7zXZ\0", "xz"),
    ],
)
def test_other_kinds_of_archives_are_named(start: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(start + bytes(2_000))
    with pytest.raises(
        AdvaudioError, match=f"is an archive of the kind {kind}, .* Unpack it and give the path"
    ):
        bring("esc10", tmp_path / "a", tmp_path)
