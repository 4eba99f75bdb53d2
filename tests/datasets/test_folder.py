"""A user's own folder and table: how files are named, and what is said of what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import ClipStore
from advaudio.core.errors import AdvaudioError
from advaudio.datasets import load as module
from advaudio.datasets.load import load
from tests.datasets.hostile import make_zip, wav

FILES = ("dogs/rex.wav", "dogs/old/bella.wav", "siren.wav")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """A folder of three clips; no table."""
    for file in FILES:
        path = tmp_path / "my sounds" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav())
    return tmp_path / "my sounds"


def bring(folder: Path, **options: Any) -> dict[str, Any]:
    """Bring in `folder / my sounds` with the table `folder / labels.csv`."""
    source = {"path": str(folder / "my sounds"), "table": str(folder / "labels.csv")}
    settings: dict[str, Any] = {
        "source": source,
        "archive": None,
        "on_bad_file": "error",
        "seed": 0,
        "cache_folder": folder / "cache",
        "workers": 1,
    }
    return load("folder", folder / "clips", **settings | options)


def label(folder: Path, *names: str, labels: str = "dog,dog,siren") -> Path:
    rows = [f'"{name}",{label}' for name, label in zip(names, labels.split(","), strict=True)]
    path = folder / "labels.csv"
    path.write_text("\n".join(["file,label", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda file, folder: file, id="relative to the folder"),
        pytest.param(lambda file, folder: f"./{file}", id="a dot before"),
        pytest.param(lambda file, folder: file.replace("/", "//"), id="slashes twice"),
        pytest.param(lambda file, folder: file.replace("/", "\\"), id="backslashes"),
        pytest.param(lambda file, folder: ".\\" + file.replace("/", "\\"), id="a dot and backslashes"),
        pytest.param(lambda file, folder: str(folder / "my sounds" / file), id="absolute"),
        pytest.param(
            lambda file, folder: str(folder / "x" / ".." / "my sounds" / file), id="absolute with dots"
        ),
        pytest.param(lambda file, folder: f"my sounds/{file}", id="relative to the table"),
        pytest.param(lambda file, folder: f"my sounds\\{file}", id="relative to the table, a backslash"),
        pytest.param(
            lambda file, folder: f"../{folder.name}/my sounds/{file}", id="relative to the working folder"
        ),
    ],
)
def test_names_of_files(write: Any, sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path)
    label(tmp_path, *(write(file, tmp_path) for file in FILES))
    bring(tmp_path)
    found = ClipStore.open(tmp_path / "clips").table
    assert found["clip"].tolist() == list(FILES)
    assert found["class_name"].tolist() == ["dog", "dog", "siren"]


def test_absolute_names_through_a_link(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sounds)
    label(tmp_path, *(str(tmp_path / "link" / file) for file in FILES))
    assert bring(tmp_path)["clips"] == 3


def test_one_file_by_two_names_is_listed_twice(sounds: Path, tmp_path: Path) -> None:
    label(tmp_path, "siren.wav", str(sounds / "siren.wav"), "dogs/rex.wav")
    with pytest.raises(AdvaudioError, match=r"lists the file 'siren\.wav' twice"):
        bring(tmp_path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "rex.wav",
            r"rex\.wav: it is not there, but dogs/rex\.wav is; .*These names are relative to .*my sounds",
        ),
        ("dogs/REX.WAV", r"dogs/REX\.WAV: it is not there, but dogs/rex\.wav is"),
        ("dogs/rex.mp3", r"dogs/rex\.mp3: it is not there, but dogs/rex\.wav is"),
        (
            "/elsewhere/cat.wav",
            r"/elsewhere/cat\.wav: it is not there: the name leads out of the folder.*These names are relative to .*my sounds",
        ),
        ("C:\\audio\\cat.wav", r"C:/audio/cat\.wav: it is not there: the name leads out"),
        (
            "C:\\audio\\dogs\\rex.wav",
            r"rex\.wav: it is not there: the name leads out .*, but dogs/rex\.wav is",
        ),
        ("../labels.csv", r"\.\./labels\.csv: it is not there"),
    ],
)
def test_a_name_that_is_not_there(name: str, says: str, sounds: Path, tmp_path: Path) -> None:
    label(tmp_path, name, *FILES[1:])
    with pytest.raises(AdvaudioError, match=says) as caught:
        bring(tmp_path)
    assert "elete" not in str(caught.value)


def test_a_file_outside_the_folder_is_not_read(sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "other.wav").write_bytes(wav())
    label(tmp_path, str(tmp_path / "other.wav"), *FILES[1:])
    with pytest.raises(AdvaudioError, match=r"other\.wav: it is not there.*relative to"):
        bring(tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS spells all names alike")
def test_two_files_that_read_the_same_are_refused(sounds: Path, tmp_path: Path) -> None:
    for name in ("caf\u00e9.wav", "cafe\u0301.wav"):
        (sounds / name).write_bytes(wav())
    label(tmp_path, *FILES)
    with pytest.raises(AdvaudioError, match=r"two files that read café\.wav"):
        bring(tmp_path)


def test_labels_in_two_unicode_forms_are_one_class(sounds: Path, tmp_path: Path) -> None:
    label(tmp_path, *FILES, labels="caf\u00e9,cafe\u0301,siren")
    assert bring(tmp_path)["clips_per_class"] == {"caf\u00e9": 2, "siren": 1}
    assert read_class_names(tmp_path / "clips" / "clips.csv") == ["caf\u00e9", "siren"]


def test_a_carriage_return_in_a_label_is_refused_at_the_door(sounds: Path, tmp_path: Path) -> None:
    label(tmp_path, *FILES, labels='"car\rhorn",dog,siren')
    with pytest.raises(AdvaudioError, match=r"labels\.csv, row 1: the column label has 'car\\rhorn'"):
        bring(tmp_path)


def test_dropping_all_files_of_a_class_names_it(sounds: Path, tmp_path: Path) -> None:
    label(tmp_path, *FILES)
    (sounds / "siren.wav").write_bytes(b"broken")
    with pytest.raises(
        AdvaudioError,
        match=r"No clip of the class 'siren' of the data set folder is left.*siren\.wav: it cannot be decoded",
    ):
        bring(tmp_path, on_bad_file="drop")
    (sounds / "siren.wav").rename(sounds / "gone")
    with pytest.raises(AdvaudioError, match=r"No clip of the class 'siren' .*siren\.wav: it is not there"):
        bring(tmp_path, on_bad_file="drop")
    (sounds / "gone").rename(sounds / "siren.wav")
    label(tmp_path, *FILES, labels="dog,cat,cat")
    assert bring(tmp_path, on_bad_file="drop")["clips_per_class"] == {"cat": 1, "dog": 1}


def test_one_class_is_refused_before_anything_is_decoded(
    sounds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label(tmp_path, *FILES, labels="dog,dog,dog")
    monkeypatch.setattr(module, "_decoded", lambda *arguments: pytest.fail("a clip was decoded"))
    with pytest.raises(AdvaudioError, match="has one class only, 'dog'"):
        bring(tmp_path)


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "siren.wav", "labels.xlsx"])
def test_a_path_that_names_a_file(name: str, sounds: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"file,label\n")
    with pytest.raises(AdvaudioError, match=r"source\.path names the file .*give the folder") as caught:
        bring(tmp_path, source={"path": str(path), "table": None})
    assert "elete" not in str(caught.value)
    assert path.exists()


def test_an_archive_of_the_users_own_is_never_to_be_deleted(sounds: Path, tmp_path: Path) -> None:
    whole = make_zip(tmp_path / "a.zip", {file: wav() for file in FILES})
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:5_000])
    (tmp_path / "clips.dat").write_bytes(b"no archive")
    label(tmp_path, *FILES)
    assert bring(tmp_path, archive=whole)["clips"] == 3
    for name in ("cut.zip", "clips.dat"):
        with pytest.raises(AdvaudioError, match="truncated or damaged") as caught:
            bring(tmp_path, archive=tmp_path / name)
        assert "elete" not in str(caught.value)


def test_a_table_of_another_name_is_pointed_at(sounds: Path, tmp_path: Path) -> None:
    (sounds / "labels.csv").write_text("file,label\n")
    with pytest.raises(AdvaudioError, match=r"has no clips\.csv.*source\.table\. There is labels\.csv"):
        bring(tmp_path, source={"path": str(sounds), "table": None})


@pytest.mark.parametrize(
    ("start", "ending"), [(b"\0\0\0\x1cftypM4A ", "m4a"), (b"\x1aE\xdf\xa3\x9fB\x86\x81", "webm")]
)
def test_m4a_and_webm_say_how_to_convert(start: bytes, ending: str, sounds: Path, tmp_path: Path) -> None:
    (sounds / f"rex.{ending}").write_bytes(start + bytes(999))
    label(tmp_path, f"rex.{ending}", *FILES[1:])
    (sounds / "dogs" / "rex.wav").unlink()
    with pytest.raises(AdvaudioError, match=rf"rex\.{ending}: .*`ffmpeg -i NAME\.{ending} NAME\.wav`"):
        bring(tmp_path)
