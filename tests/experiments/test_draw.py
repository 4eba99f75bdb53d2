"""Pictures drawn from the committed records."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json, write_json
from experiments.draw import main

RESULTS = Path(__file__).resolve().parents[2] / "results"
CELL = RESULTS / "esc50-alexnet" / "results.json"


def test_one_record_gives_a_panel_for_each_of_its_attacks(tmp_path: Path) -> None:
    main([CELL], tmp_path / "all.png")
    record = read_json(CELL)
    for name in set(record["attacks"]) - {"deepfool", "cwa"}:
        del record["attacks"][name]["models"]
    write_json(tmp_path / "two.json", record)
    main([tmp_path / "two.json"], tmp_path / "two.png")
    six, two = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("all", "two"))
    # Six attacks are two rows of three panels, two attacks one row of two.
    assert six.shape[:2] == (2 * two.shape[0], 3 * two.shape[1] // 2)
    blue = np.abs(six[..., :3] - np.array([0, 0x72, 0xB2]) / 255).max(-1) < 0.02
    assert all(blue[:, part].any() for part in np.array_split(np.arange(six.shape[1]), 3))


def test_several_records_give_the_trade_off_of_their_grid(tmp_path: Path) -> None:
    cells = sorted((RESULTS / "esc50-grid" / "cells").glob("stft-*.json"))
    main(cells[:2], tmp_path / "few.png")
    main(cells, tmp_path / "all.png")
    few, everything = (matplotlib.image.imread(tmp_path / f"{name}.png") for name in ("few", "all"))
    assert not np.array_equal(few, everything)


def test_a_record_without_curves_is_refused(tmp_path: Path) -> None:
    record = read_json(CELL)
    for attack in record["attacks"].values():
        del attack["models"]
    write_json(tmp_path / "bare.json", record)
    with pytest.raises(AdvaudioError, match=r"bare\.json has no fooling curves"):
        main([tmp_path / "bare.json"], tmp_path / "none.png")
