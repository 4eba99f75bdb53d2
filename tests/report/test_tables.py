"""The tables: the right numbers in the right places, the best in bold, the paper's beside ours, in four formats."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import write_json
from advaudio.report.cells.cell import Cell, cell_of, read_cell
from advaudio.report.cells.claims import claims
from advaudio.report.cells.grid import build_grid
from advaudio.report.cells.sources import Folder
from advaudio.report.pages.figures import svg
from advaudio.report.tables.split import split_rows
from advaudio.report.tables.table_files import markdown, tidy
from advaudio.report.tables.tables import result_tables
from advaudio.report.tables.trade_off import draw, trade_off
from experiments.collect import collect
from experiments.results import write_results
from tests.report.cells import made_cell, write_cell
from tests.report.conftest import GRID
from tests.report.html import paragraphs, table_rows


@pytest.fixture(scope="module")
def written(eight_cells: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the tables of the eight cells in each format, and a record of each cell."""
    folder = tmp_path_factory.mktemp("tables")
    found = collect(Path(), [str(path) for path in eight_cells])
    write_results(found, folder, folder / "records")
    return folder


def _markdown_rows(text: str, heading: str) -> list[list[str]]:
    part = text[text.index(heading) :].split("\n## ")[0]
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_table_one_holds_the_accuracies_with_the_best_in_bold(written: Path) -> None:
    text = (written / "tables.md").read_text(encoding="utf-8")
    header, *rows = _markdown_rows(text, "## Table I:")
    assert header == ["data", "representation", "measure", "AlexNet", "ResNet-56", "paper's best"]
    assert len(rows) == 4 * 3
    assert rows[0][:3] == ["ESC-50", "STFT", "accuracy, original (%)"]
    assert rows[0][3].startswith("60.0 (")
    assert rows[0][4].startswith("**70.0 (")
    assert rows[0][5] == "69.77 (ResNet-56)"
    # The lowest drop ratio is the best: 8.3 % beats 14.3 %.
    assert rows[2][2:] == ["drop ratio (%)", *rows[2][3:5], ""]
    assert rows[2][3].startswith("**8.3 (")
    assert rows[2][4].startswith("14.3 (")


def test_table_three_holds_rho_and_what_survives_of_the_papers(written: Path) -> None:
    text = (written / "tables.md").read_text(encoding="utf-8")
    _, *rows = _markdown_rows(text, "## Table III:")
    by_place = {(row[1], row[2]): row for row in rows}
    for (representation, _), (_, _, ratio) in GRID.items():
        name = {"stft": "STFT", "dwt": "DWT"}[representation.split("_")[0]]
        name += " + tonnetz" if "_" in representation else ""
        assert any(f"{ratio:.2f} (" in cell for cell in by_place[name, "ρ, each attack in its norm"])
    assert by_place["DWT", "ρ, each attack in its norm"][-1] == "2.307 (model lost)"


def test_csv_has_a_row_for_every_number(written: Path) -> None:
    table = pd.read_csv(written / "tables.csv")
    assert len(table) == 8 * (3 + 1 + 2)
    for (representation, model), (accuracy, robust, ratio) in GRID.items():
        own = table[(table["representation"] == representation) & (table["model"] == model)]
        numbers = own.set_index("measure")["mean"]
        assert numbers["accuracy, original"] == pytest.approx(100 * accuracy)
        assert numbers["accuracy, robust"] == pytest.approx(100 * robust)
        assert numbers["ρ, each attack in its norm"] == pytest.approx(ratio)
        assert (own["low"].isna() | (own["low"] <= own["mean"])).all()
    assert table[(table["table"] == "II") & table["best"]]["model"].tolist() == ["resnet56"] * 4
    assert set(table.loc[table["representation"] == "dwt", "paper_best"].dropna()) == {71.56, 51.03, 2.307}


def test_latex_is_balanced_and_escaped(written: Path) -> None:
    text = (written / "tables.tex").read_text(encoding="utf-8")
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    assert r"\textbf{70.0 (" in text
    assert not re.search(r"(?<!\\)%", text)
    assert "ρ" not in text
    for row in re.findall(r"^ESC-50.*$", text, flags=re.M):
        assert row.count(" & ") == 5
        assert row.endswith(r"\\")


def test_page_holds_the_same_tables(written: Path) -> None:
    page = (written / "tables.html").read_text(encoding="utf-8")
    shown = {
        (float(value), note)
        for value, note in re.findall(r'data-sort="([^"]+)"[^>]*>[^/]*</?[^"]*class="interval">([^<]+)', page)
    }
    for row in pd.read_csv(written / "tables.csv").itertuples():
        if row.measure == "accuracy, original":
            assert (row.mean, f"{row.low:.1f} to {row.high:.1f}") in shown
    assert "<strong>70.0</strong>" in page


def test_records_give_the_same_tables(written: Path, tmp_path: Path) -> None:
    records = sorted(str(path) for path in (written / "records").glob("*.json"))
    assert len(records) == 8
    write_results(collect(Path(), records), tmp_path)
    for name in ("tables.csv", "tables.tex", "tables.md"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_metrics_without_outputs_give_the_same_means(eight_cells: list[Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "params.yaml").write_bytes((eight_cells[0] / "params.yaml").read_bytes())
    (bare / "metrics").symlink_to(eight_cells[0] / "metrics")
    whole, alone = (
        tidy(result_tables(build_grid([read_cell(Folder(path, "cell"))]))) for path in (eight_cells[0], bare)
    )
    shared = whole["measure"] != "ρ, L2 for all"
    assert alone["mean"].tolist() == pytest.approx(whole.loc[shared, "mean"].tolist())
    assert alone["low"].isna().all()


def test_seeds_of_one_cell_become_their_mean_and_students_interval() -> None:
    grid = build_grid(made_cell(seed=seed, accuracy=value) for seed, value in [(0, 0.7), (1, 0.8), (2, 0.9)])
    table = tidy(result_tables(grid)).set_index("measure")
    own = table.loc["accuracy, original"]
    # t(0.975, 2) = 4.3027; standard error 0.1 / √3.
    assert (own["mean"], own["low"], own["high"]) == pytest.approx((80, 80 - 24.84, 80 + 24.84), abs=0.01)
    assert own["seeds"] == 3


def test_an_accuracy_is_as_sure_as_its_test_clips_are_many_not_those_attacked() -> None:
    cell = made_cell(accuracy=0.8)
    training = {model: {**metrics, "test_clips": 1600} for model, metrics in cell.record["training"].items()}
    of_all = cell_of({**cell.record, "training": training}, "all")
    widths = []
    for estimate in (of_all.accuracy["original"], cell.accuracy["original"]):
        assert estimate.low is not None
        assert estimate.high is not None
        widths.append(estimate.high - estimate.low)
    assert widths[0] * np.sqrt(8) == pytest.approx(widths[1], rel=0.02)


def test_a_cell_whose_attacks_were_not_run_stands_in_table_one_alone(written: Path, tmp_path: Path) -> None:
    record = json.loads(next((written / "records").glob("*.json")).read_text(encoding="utf-8"))
    name = tmp_path / "trained.json"
    write_json(name, {**record, "attacks": {}, "rho": {"mean": None}})
    message = write_results(collect(Path(), [str(name)]), tmp_path / "tables")
    assert f"Accuracy alone of {name}: no attack is recorded." in message
    table = pd.read_csv(tmp_path / "tables" / "tables.csv").set_index("measure")
    assert table.loc["accuracy, original", "mean"] == pytest.approx(
        100 * record["training"]["original"]["accuracy"]
    )
    assert {name.split(",")[0] for name in table.index} == {"accuracy", "drop ratio"}
    page = (tmp_path / "tables" / "tables.html").read_text(encoding="utf-8")
    assert "No attack is recorded: only its trainings are." in page
    assert "no curves" not in page


def test_records_older_than_a_parameter_stand_beside_new_ones() -> None:
    cell = made_cell()
    params = {**cell.params, "evaluation": {**cell.params["evaluation"]}}
    del params["evaluation"]["clips"]
    older = cell_of({**cell.record, "params": params}, "older")
    assert len(build_grid([older, made_cell(model="vgg16")]).places) == 2


def test_compiled_steps_do_not_keep_cells_apart() -> None:
    cells = [made_cell(), made_cell(model="vgg16", changes=(("training.compile", "always"),))]
    assert len(build_grid(cells).places) == 2


def test_cells_with_other_settings_are_left_out_and_said_so() -> None:
    cells = [made_cell(model=model) for model in ("alexnet", "vgg16")]
    grid = build_grid([_with_defence("pgd"), *cells])
    assert grid.models == ["alexnet", "vgg16"]
    ((name, why),) = grid.left_out
    assert (name, why) == ("pgd", "differs in defence")
    assert "pgd: differs in defence" in markdown(result_tables(grid), claims(grid), grid)


def _with_defence(defence: str) -> Cell:
    cell = made_cell(changes=(("defence", defence),))
    return Cell(**{**vars(cell), "name": defence})


def test_the_same_cell_twice_counts_once_and_a_contradiction_is_refused() -> None:
    one = made_cell()
    assert len(build_grid([one, made_cell()]).cells) == 1
    other = made_cell(changes=(("datasets.esc50.clip_seconds", 4.0),))
    with pytest.raises(AdvaudioError, match=r"same cell .*datasets\.clip_seconds"):
        build_grid([one, other])


def test_an_attack_short_of_the_threshold_is_marked() -> None:
    cell = made_cell()
    short = replace(cell.attacks["cwa"], reached={"original": False, "robust": True})
    grid = build_grid([replace(cell, attacks={**cell.attacks, "cwa": short})])
    text = markdown(result_tables(grid), claims(grid), grid)
    assert re.search(r"fooling rate, robust \(%\) \| [\d.]+† \(", text)


def test_without_an_attack_that_reaches_the_threshold_there_is_no_mean() -> None:
    grid = build_grid([made_cell(fooled=0.5)])
    text = markdown(result_tables(grid), claims(grid), grid)
    assert re.search(r"fooling rate, robust \(%\) \| – ", text)
    assert re.search(r"ρ, each attack in its norm \| – ", text)


def test_no_cell_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(AdvaudioError, match="dvc exp run"):
        build_grid([])


def test_splits_stand_side_by_side() -> None:
    cells = [
        made_cell(accuracy=value, changes=(("split.by", by),))
        for by, value in [("source", 0.6), ("sample", 0.8)]
    ]
    rows = split_rows(cells)
    assert [row.split for row in rows] == ["source", "sample"]
    assert rows[0].gain is None
    assert rows[1].gain is not None
    assert rows[1].gain.value == pytest.approx(0.2)
    assert split_rows([*cells[:1], made_cell(model="vgg16", changes=(("split.by", "sample"),))]) == []


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("params.yaml", "has no params.yaml"),
        ("metrics/train.json", "has no metrics/train.json"),
        ("outputs/robustness/cwa/details.json", "has no outputs/robustness/cwa/details.json"),
    ],
)
def test_unfinished_cells_are_refused_by_file(tmp_path: Path, missing: str, message: str) -> None:
    folder = write_cell(tmp_path / "cell")
    (folder / missing).unlink()
    with pytest.raises(AdvaudioError, match=message):
        collect(Path(), [str(folder)])


def test_results_of_other_parameters_are_refused(tmp_path: Path) -> None:
    folder = write_cell(tmp_path / "cell")
    lock = "schema: '2.0'\nstages:\n  train:\n    cmd: x\n    params:\n      params.yaml:\n        model: vgg16\n"
    (folder / "dvc.lock").write_text(lock, encoding="utf-8")
    with pytest.raises(AdvaudioError, match=r"stale: params\.yaml has another `model`"):
        collect(Path(), [str(folder)])


def test_page_says_where_sounds_would_come_from(written: Path) -> None:
    page = (written / "tables.html").read_text(encoding="utf-8")
    assert "no clips here to listen to (data/augmented" in page


def test_weights_of_one_name_from_two_folders_are_not_taken_for_the_same(tmp_path: Path) -> None:
    key = "budgets.quick.training.pretrained"
    folders = [
        write_cell(tmp_path / place, changes=((key, f"/{place}/weights.pt"),)) for place in ("one", "other")
    ]
    with pytest.raises(AdvaudioError, match=r"the same cell .* with another pretrained"):
        build_grid([read_cell(Folder(path, path.name)) for path in folders])


def _under_pgd(cell: Cell, original: dict[str, float], robust: dict[str, float]) -> Cell:
    training = cell.record["training"]
    found = {"original": original, "robust": robust}
    measured = {
        model: {**training[model], "test_clips": 400}
        | {f"pgd_accuracy_at_{bound}": value for bound, value in found[model].items()}
        for model in training
    }
    return cell_of({**cell.record, "training": measured}, cell.name)


def test_accuracy_under_pgd_has_a_table_of_its_own_where_it_was_measured() -> None:
    grid = build_grid([_under_pgd(made_cell(), {"1": 0.2, "16": 0.0}, {"1": 0.5, "16": 0.1})])
    table = tidy(result_tables(grid))
    own = table[table["table"] == "IV"].set_index("measure")
    assert own["mean"].to_dict() == pytest.approx(
        {
            "original, within 1/255": 20.0,
            "robust, within 1/255": 50.0,
            "original, within 16/255": 0.0,
            "robust, within 16/255": 10.0,
        }
    )
    # Wilson's interval of 200 of 400.
    half = own.loc["robust, within 1/255"]
    assert (half["low"], half["high"]) == pytest.approx((45.13, 54.87), abs=0.01)
    assert (
        "†" not in markdown(result_tables(grid), claims(grid), grid).split("## Table IV")[1].split("\n##")[0]
    )
    assert "IV" not in tidy(result_tables(build_grid([made_cell()])))["table"].tolist()


def test_arrows_lead_from_the_original_to_the_robust_model_within_the_second_smallest_shared_bound() -> None:
    cells = [
        _under_pgd(
            made_cell(model="vgg16", accuracy=0.8), {"1": 0.3, "2": 0.2, "8": 0}, {"1": 0.5, "2": 0.4, "8": 0}
        ),
        _under_pgd(
            made_cell(model="alexnet", accuracy=0.7), {"2": 0.1, "4": 0, "8": 0}, {"2": 0.2, "4": 0, "8": 0.1}
        ),
        made_cell(model="resnet18"),
    ]
    found = trade_off(build_grid(cells))
    assert found is not None
    assert found.bound == "8"
    assert found.models == ["alexnet", "vgg16"]
    robust = 100 * cells[1].accuracy["robust"].value
    place = (cells[0].dataset, cells[0].representation)
    assert np.ravel(found.arrows[*place, "alexnet"]).tolist() == pytest.approx([70, 0, robust, 10])
    drawn = svg(draw(found))
    assert "AlexNet" in drawn
    assert "within 8/255" in drawn
    assert "ResNet-18" not in drawn
    assert trade_off(build_grid([made_cell()])) is None


def test_seeds_of_one_cell_make_one_arrow() -> None:
    cells = [
        _under_pgd(made_cell(seed=seed, accuracy=value), {"2": value / 2}, {"2": value})
        for seed, value in [(0, 0.6), (1, 0.8)]
    ]
    found = trade_off(build_grid(cells))
    assert found is not None
    (arrow,) = found.arrows.values()
    assert [*arrow[0], arrow[1][1]] == pytest.approx([70, 35, 70])


def test_the_page_counts_the_cells_that_withstand_single_steps_alone(written: Path, tmp_path: Path) -> None:
    names = []
    for number, path in enumerate(sorted((written / "records").glob("*.json"))):
        check = {
            "passed": True,
            "epsilon": [0.0314],
            "iterative": [1.0],
            "single_step": [0.8 if number < 2 else 0.3],
        }
        record = json.loads(path.read_text(encoding="utf-8"))
        names.append(str(tmp_path / path.name))
        write_json(Path(names[-1]), {**record, "masking": {"robust": {"iterative_beats_single_step": check}}})
    write_results(collect(Path(), names), tmp_path / "tables")
    page = (tmp_path / "tables" / "tables.html").read_text(encoding="utf-8")
    sentence = "In 6 of 8 cells the robust model withstands single steps, not attacks: "
    assert sentence in page
    assert page.split(sentence)[1].split("</li>")[0].endswith(" and 2 more.")


def test_the_page_shows_splits_left_out_cells_and_what_training_costs(tmp_path: Path) -> None:
    cells = [
        _under_pgd(made_cell(accuracy=value, changes=(("split.by", by),)), {"2": 0.1}, {"2": 0.3})
        for by, value in [("source", 0.6), ("sample", 0.8)]
    ]
    names = []
    for number, cell in enumerate(cells):
        names.append(str(tmp_path / f"{number}.json"))
        write_json(Path(names[-1]), cell.record)
    write_results(collect(Path(), names), tmp_path / "tables")
    page = (tmp_path / "tables" / "tables.html").read_text(encoding="utf-8")
    header, *rows = table_rows(page, "Accuracy of the original model under each split")
    assert header[1:] == ["split by", "accuracy (%)", "more than by source (points)"]
    assert [(row[1], row[2].split()[0], row[3].split()[0]) for row in rows] == [
        ("source", "60.0", "–"),
        ("sample", "80.0", "20.0"),
    ]
    sentences = paragraphs(page)
    assert "Adversarial training made 1 of 1 cell stronger under PGD, and 0 less accurate." in sentences
    assert f"{names[1]}: differs in split.by" in sentences
    assert "Table IV. Accuracy under PGD-20 (not in the paper)" in page
