"""The other readings of ρ on the page, what a record keeps of its clips, and records of before."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest

from advaudio.report.cells.cell import Cell, cell_of, read_cell, read_cell_file
from advaudio.report.cells.sources import Folder
from advaudio.report.pages.cell_page import Files, cell_page
from experiments.collect import collect
from experiments.results import write_results
from tests.report.cells import CLIPS, made_cell, write_cell
from tests.report.html import paragraphs, table_rows


def earlier(cell: Cell) -> Cell:
    """The cell as a record of before has it: without readings, recordings and clips; with figures of no bound."""
    record = deepcopy(cell.record)
    record.pop("clips", None)
    for details in record["attacks"].values():
        del details["intervals_over"]
        for name in ("rho_equal_shares", "rho_median", "rho_common"):
            del details["metrics"][name]
        details["metrics"] |= {"auc": 0.4, "robust_fooling_rate_under_bound": 0.3}
    return cell_of(record, "earlier")


def test_the_page_shows_each_reading_with_its_interval(plain_cell: Files) -> None:
    params = read_cell(Folder(plain_cell.folder, "cell")).params
    page = cell_page(dict(params), plain_cell)
    header, *rows = table_rows(page, "ρ of each attack")
    assert header == ["attack", "paper", "equal shares", "medians", "common clips"]
    assert [row[0] for row in rows] == ["BIM-a", "CWA"]
    assert all(entry.startswith("2.00 ") and " to " in entry for row in rows for entry in row[1:])
    assert any("They describe one trained pair of models" in text for text in paragraphs(page))


def test_an_earlier_record_says_what_it_lacks(tmp_path: Path) -> None:
    cell = earlier(made_cell(fooled=0.5))
    assert cell.resampled == "clips"
    for result in cell.attacks.values():
        assert result.readings == {}
        assert result.auc is None
        assert result.robust_within_bound is None
    file = tmp_path / "cell.json"
    file.write_text(json.dumps(cell.record), encoding="utf-8")
    write_results(collect(Path(), [str(file)]), tmp_path)
    texts = paragraphs((tmp_path / "tables.html").read_text(encoding="utf-8"))
    assert "Not in this record." in texts
    assert any("The recordings that clips were cut from are not in this record" in text for text in texts)


def test_an_attack_without_a_bound_has_no_area(tmp_path: Path) -> None:
    folder = write_cell(tmp_path / "cell", fooled=0.5)
    metrics = json.loads((folder / "metrics" / "attacks" / "bim_a.json").read_text(encoding="utf-8"))
    assert metrics["epsilon_90"] is metrics["robust_fooling_rate"] is metrics["more"][0]["auc"] is None
    assert metrics["fooling_rate"] == 0.5
    write_results(collect(Path(), [str(folder)]), tmp_path / "tables")
    assert (tmp_path / "tables" / "tables.md").read_text(encoding="utf-8")


def test_a_record_keeps_the_clips_and_is_read_again(tmp_path: Path) -> None:
    folder = write_cell(tmp_path / "cell", ratio=3.0, robust_fooled=0.95)
    write_results(collect(Path(), [str(folder)]), tmp_path / "tables", tmp_path / "records")
    (file,) = (tmp_path / "records").iterdir()
    kept = read_cell_file(file).record["clips"]
    assert kept["sample"] == list(range(CLIPS))
    assert kept["recording"] is None
    assert kept["perturbations"].keys() == {"bim_a", "cwa"}
    robust = kept["perturbations"]["bim_a"]["robust"]
    assert robust.count(-1) == CLIPS // 20
    assert robust[0] == pytest.approx(3 * kept["perturbations"]["bim_a"]["original"][0], rel=1e-6)
    metrics = json.loads((folder / "metrics" / "rho.json").read_text(encoding="utf-8"))
    assert metrics["more"][0] == {
        "rho_equal_shares": pytest.approx(3.0, rel=0.1),
        "rho_median": pytest.approx(3.0, rel=0.1),
        "rho_common": pytest.approx(3.0, rel=0.1),
    }
