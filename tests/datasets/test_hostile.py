"""Every broken or hostile input gets its error, in one paragraph, and leaves nothing behind."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from advaudio.clips.clip_store import ClipStore
from advaudio.core.errors import AdvaudioError
from advaudio.datasets.load import load
from tests.datasets.hostile import ARCHIVES, CONTENTS, Case, files, make_tar, make_zip, wav

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")


def import_esc10(archive: Path, folder: Path, on_bad_file: str = "error") -> dict[str, object]:
    return load(
        "esc10",
        folder / "clips",
        source={},
        archive=archive,
        on_bad_file=on_bad_file,
        seed=0,
        cache_folder=folder / "cache",
        workers=1,
    )


@pytest.mark.parametrize("case", ARCHIVES + CONTENTS, ids=lambda case: case.name)
def test_refused(case: Case, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(AdvaudioError, match=case.says) as caught:
        import_esc10(case.make(tmp_path), tmp_path)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert set(left) <= {"a.zip", "a.tar", "a.tar.gz", "esc10.lock"}
    assert not (tmp_path / "clips").exists()


@pytest.mark.parametrize(
    "case", [case for case in CONTENTS if "audio" in case.name], ids=lambda case: case.name
)
def test_dropped_on_demand(case: Case, tmp_path: Path) -> None:
    report = import_esc10(case.make(tmp_path), tmp_path, "drop")
    kept = 20 if case.name == "audio without a row" else 19
    assert report["clips"] == kept
    assert report["dropped_clips"] == 1
    assert len(ClipStore.open(tmp_path / "clips")) == kept


def test_reasons_are_the_same_in_every_run(tmp_path: Path) -> None:
    broken = dict.fromkeys(list(files())[1:5:2], b"text") | {"ESC-50-master/audio/1-5-A-5.wav": wav()[:3000]}
    make_zip(tmp_path / "a.zip", files() | broken)
    reports = [import_esc10(tmp_path / "a.zip", tmp_path, "drop") for _ in range(2)]
    assert reports[0] == reports[1]
    assert "0x" not in str(reports[0]["dropped"])
    assert reports[0]["dropped_clips"] == 3


def test_dropping_a_whole_class_is_refused(tmp_path: Path) -> None:
    content = files()
    for name in [name for name in content if name.endswith("-3.wav")]:
        content[name] = b"broken"
    with pytest.raises(
        AdvaudioError, match=r"No clip of the class 'class3' .* is left.*1-3-A-3.wav: it cannot be decoded"
    ):
        import_esc10(make_zip(tmp_path / "a.zip", content), tmp_path, "drop")


def test_an_older_store_survives_a_failure(tmp_path: Path) -> None:
    import_esc10(make_zip(tmp_path / "a.zip", files()), tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "clips").iterdir()}
    with pytest.raises(AdvaudioError):
        import_esc10(make_zip(tmp_path / "b.zip", files() | {"../x": b""}), tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "clips").iterdir()} == before


def test_zip_tar_and_folder_give_the_same_store(tmp_path: Path) -> None:
    content = files()
    unpacked = tmp_path / "unpacked"
    for name, data in content.items():
        (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
        (unpacked / name).write_bytes(data)
    companions = {
        "ESC-50-master/audio/._1-0-A-0.wav": b"x",
        "__MACOSX/a.wav": b"x",
        "./ESC-50-master/LICENSE": b"",
    }
    stores = []
    for archive in (
        make_zip(tmp_path / "a.zip", content | companions),
        make_tar(tmp_path / "a.tar.gz", content | companions),
        make_tar(tmp_path / "a.tar", content, "w"),
        unpacked,
    ):
        import_esc10(archive, tmp_path)
        stores.append([(tmp_path / "clips" / name).read_bytes() for name in ("samples.npy", "clips.csv")])
    assert stores[0] == stores[1] == stores[2] == stores[3]
