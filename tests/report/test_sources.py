"""What is read of a cell's results is refused when it is damaged, by name and with what to do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.sources import Folder, Source, need_array, need_json, need_table
from tests.faults.damage import DAMAGES, spoil

TABLE = b"epoch,loss\n0,1.5\n1,0.25\n"
READERS: dict[str, Callable[[Source], Any]] = {
    "table.csv": lambda source: need_table(source, "table.csv", "epoch", "loss"),
    "values.json": lambda source: need_json(source, "values.json"),
    "pictures.npy": lambda source: need_array(source, "pictures.npy", (None, 3, 4)),
}


@pytest.fixture
def source(tmp_path: Path) -> Folder:
    (tmp_path / "table.csv").write_bytes(TABLE)
    (tmp_path / "values.json").write_text('{"rho": 2.5, "attacks": {"bim_a": [1, 2]}}\n', encoding="utf-8")
    np.save(tmp_path / "pictures.npy", np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4))
    return Folder(tmp_path, "this cell")


def test_whole_files_are_read(source: Folder) -> None:
    assert READERS["table.csv"](source)["loss"].tolist() == [1.5, 0.25]
    assert READERS["values.json"](source)["attacks"] == {"bim_a": [1, 2]}
    assert READERS["pictures.npy"](source)[1, 2, 3] == 1.0


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_refused(source: Folder, name: str, kind: str) -> None:
    spoil(source.path / name, kind, random.Random(kind))
    with pytest.raises(AdvaudioError) as refusal:
        READERS[name](source)
    assert f"{name} of this cell" in str(refusal.value)
    assert "dvc checkout" in str(refusal.value)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3), (2, 3, 4, 1)])
def test_pictures_of_another_shape_are_refused(source: Folder, shape: tuple[int, ...]) -> None:
    np.save(source.path / "pictures.npy", np.zeros(shape))
    with pytest.raises(AdvaudioError, match=r"pictures\.npy of this cell: its shape"):
        READERS["pictures.npy"](source)
