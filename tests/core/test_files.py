"""Atomic writing: the old file or the new one, never half of one."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import (
    ArrayWriter,
    atomic_path,
    open_array,
    read_json,
    relative_hint,
    write_csv,
    write_json,
)


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "table.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_array_round_trip_and_interrupted_write(tmp_path: Path) -> None:
    path = tmp_path / "a" / "pictures.npy"
    expected = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with ArrayWriter(path, (2, 3, 4), "float32") as array:
        array[:] = expected
    np.testing.assert_array_equal(open_array(path), expected)
    with pytest.raises(KeyboardInterrupt), ArrayWriter(path, (2, 3, 4), "float32") as array:
        array[:] = -1
        raise KeyboardInterrupt
    np.testing.assert_array_equal(open_array(path), expected)
    assert [file.name for file in path.parent.iterdir()] == ["pictures.npy"]


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AdvaudioError, match=r"Could not write .*file/below/x\.json"):
        write_json(tmp_path / "file" / "below" / "x.json", {})


def test_json_refuses_nan_and_reports_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"epsilon_90": None, "rho": 2.5})
    assert json.loads(path.read_text()) == read_json(path) == {"epsilon_90": None, "rho": 2.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"rho": float("nan")})
    assert read_json(path)["rho"] == 2.5
    path.write_text("{")
    with pytest.raises(AdvaudioError, match="dvc checkout"):
        read_json(path)


def test_table_keeps_floats_exactly(tmp_path: Path) -> None:
    values = [0.1, 1 / 3, 1e-300, 123456789.123456789]
    write_csv(tmp_path / "t.csv", pd.DataFrame({"value": values}))
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0] == "value"
    assert [float(line) for line in lines[1:]] == values


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"not an array at all"])
def test_broken_array_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npy"
    path.write_bytes(content)
    with pytest.raises(AdvaudioError, match=r"broken\.npy"):
        open_array(path)


def test_pickled_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(AdvaudioError, match=r"objects\.npy"):
        open_array(path)


def test_only_a_relative_path_has_a_hint_where_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert relative_hint(tmp_path / "a.zip") == ""
    assert str(tmp_path) in relative_hint("a.zip")
    assert "`dvc exp run --temp`" in relative_hint(Path("a.zip"))
