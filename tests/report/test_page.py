"""The page escapes what comes from outside, stands alone, and is the same bytes for the same numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from advaudio.core.params import read_params
from advaudio.report.cells.cell import Curve
from advaudio.report.cells.words import attack_name
from advaudio.report.pages import figures
from advaudio.report.pages.cell_page import Files, cell_page
from advaudio.report.pages.curves import fooling_charts, strongest_charts, thin
from advaudio.report.pages.masking import Masking, SingleStepGap, collapse_of
from advaudio.report.pages.page import render
from tests.pipeline.recording import below, leaves_of
from tests.report.cells import made_cell
from tests.report.html import paragraphs, table_rows
from tests.report.whole_cell import write_whole_cell

ROOT = Path(__file__).resolve().parents[2]


def _params(files: Files) -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((files.folder / "params.yaml").read_text(encoding="utf-8"))
    return params


def _page(files: Files) -> str:
    return cell_page(_params(files), files)


@pytest.fixture(scope="module")
def plain_page(plain_cell: Files) -> str:
    """The page of `plain_cell`."""
    return _page(plain_cell)


def _svg(word: str) -> str:
    return figures.svg(figures.confusion(np.array([[3, 1], [0, 2]]), [word, "b"]))


def test_names_from_outside_are_escaped_wherever_they_stand(hostile_page: str) -> None:
    assert hostile_page.count("<script") == 1
    tags = re.sub(r">[^<]*<", "><", hostile_page)
    assert "onmouseover" not in re.sub(r'="[^"]*"', "", tags)
    assert hostile_page.count("&lt;script&gt;") > 20


def test_page_needs_nothing_from_outside_and_forbids_it(plain_page: str) -> None:
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", plain_page.replace("xlink:", ""))
    assert "@import" not in plain_page
    assert not re.search(r"url\((?!#)", plain_page)
    assert "default-src 'none'" in plain_page


def test_page_repeats_bitwise(plain_cell: Files, plain_page: str) -> None:
    assert _page(plain_cell) == plain_page


def test_page_shows_every_declared_parameter_and_no_other(plain_cell: Files, plain_page: str) -> None:
    params = _params(plain_cell)
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["report"]
    keys = [key.replace("${budget}", params["budget"]) for key in stage["params"]]
    leaves = leaves_of(params)
    declared = {leaf for key in keys for leaf in below(key, leaves)}
    # Budgets of attacks that this cell does not have.
    foreign = {
        leaf
        for leaf in declared
        if leaf.startswith("budgets.") and ".attacks." in leaf and leaf.split(".")[3] not in params["attacks"]
    }
    # These choose a section, and the range enters the verdict on claim (f); only that of the transform is used.
    choosing, ranges = {"dataset", "representation", "budget"}, {"dwt.dynamic_range", "stft.dynamic_range"}
    assert choosing | ranges <= declared
    assert _changed(plain_cell, {"stft.dynamic_range": 1234567.0}) != plain_page
    hidden = (leaves - declared) | foreign | {"dwt.dynamic_range"}
    assert _changed(plain_cell, dict.fromkeys(hidden, 1234567.0)) == plain_page
    shown = sorted(declared - choosing - ranges - foreign)
    marks: dict[str, Any] = {leaf: f"mark{index:03d}" for index, leaf in enumerate(shown)}
    marks |= {"seed": 7654321, "evaluation.fooling_threshold": 0.87654}
    page = _changed(plain_cell, marks)
    assert [leaf for leaf, mark in marks.items() if str(mark) not in page] == []


def _changed(files: Files, changes: dict[str, Any]) -> str:
    params = _params(files)
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    return cell_page(params, files)


def test_page_of_checked_parameters_has_every_section(plain_cell: Files) -> None:
    checked = read_params(plain_cell.folder / "params.yaml").model_dump()
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", cell_page(checked, plain_cell)) == [
        "In short",
        "Accuracy",
        "Attacks",
        "Fooling curves",
        "Adversarial examples",
        "Listen",
        "Hidden gradients?",
        "Training",
        "The paper&#39;s claims",
        "Provenance",
    ]


def test_an_attack_short_of_the_threshold_is_named(tmp_path: Path) -> None:
    page = _page(write_whole_cell(tmp_path / "cell", fooled=0.8))
    sentences = paragraphs(page)
    assert any(text.startswith("0 of 2 attacks reached the threshold") for text in sentences)
    assert any(
        text.startswith("Below the threshold of 90 % on the original model: BIM-a and CWA.")
        for text in sentences
    )
    assert "ρ is undefined here: no attack reached the threshold on both models." in sentences
    assert "of the original model's clips, less than the threshold of 90\xa0%." in page


def test_figures_follow_the_page_colours_and_share_no_names() -> None:
    first, second = _svg("a"), _svg("c")
    assert "currentColor" in first
    assert figures.INK not in first
    opening = first[: first.index(">")]
    assert "viewBox" in opening
    assert " width=" not in opening
    names = [set(re.findall(r' id="([^"]*)"', text)) for text in (first, second)]
    assert names[0]
    assert not names[0] & names[1]
    for text, own in zip((first, second), names, strict=True):
        assert set(re.findall(r'(?:href="|url\()#([^")]*)', text)) == own


@pytest.mark.parametrize("word", ["$\\frac{", "a$b$c", "ümläut & <b>"])
def test_figures_take_any_class_name_literally(word: str) -> None:
    text = _svg(word)
    assert word.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in text


def test_charts_carry_the_curves_that_the_script_reads() -> None:
    cell = made_cell(ratio=2.0)
    for chart, (name, result) in zip(fooling_charts(cell), cell.attacks.items(), strict=True):
        data = json.loads(chart.data)
        assert list(data["curves"]) == ["original", "robust"]
        for model, curve in result.curves.items():
            np.testing.assert_allclose(data["curves"][model]["x"], curve.epsilon, rtol=5e-4)
            np.testing.assert_allclose(data["curves"][model]["y"], curve.fooling_rate, rtol=5e-4)
        assert data["largest"] == max(curve.epsilon[-1] for curve in result.curves.values())
        assert chart.title == attack_name(name)


def test_the_strongest_bound_is_drawn_where_two_attacks_share_a_norm(tmp_path: Path) -> None:
    files = write_whole_cell(tmp_path / "cell")
    rho = files.folder / "outputs" / "robustness" / "rho.json"
    sentence = "for each clip the smallest perturbation that any attack found"
    assert sentence not in _page(files), "each norm has one attack here"
    content = json.loads(rho.read_text(encoding="utf-8"))
    assert [found["attacks"] for found in content["strongest_bounds"].values()] == [["bim_a"], ["cwa"]]
    content["strongest_bounds"]["linf"]["attacks"] = ["bim_a", "bim_b"]
    rho.write_text(json.dumps(content), encoding="utf-8")
    page = _page(files)
    assert sentence in page
    assert "The L∞ attacks are BIM-a and BIM-b." in page
    assert page.count('<p class="chart-title">') == 3


def test_records_without_the_strongest_bounds_draw_none() -> None:
    assert strongest_charts(made_cell()) == []


def test_thinned_curve_keeps_its_ends_and_stays_near() -> None:
    epsilon = np.sort(np.random.default_rng(0).uniform(size=1000))
    whole = Curve(epsilon.tolist(), np.arange(1, 1001).__truediv__(1000).tolist())
    few = thin(whole, 101)
    assert len(few.epsilon) == 101
    assert (few.epsilon[0], few.epsilon[-1], few.fooling_rate[-1]) == (epsilon[0], epsilon[-1], 1.0)
    rates = np.searchsorted(epsilon, few.epsilon, side="right") / 1000
    np.testing.assert_allclose(few.fooling_rate, rates, atol=1e-12)
    assert np.diff(few.fooling_rate).max() <= 0.011


def test_learning_curves_average_only_epochs_that_every_fold_reached() -> None:
    table = pd.DataFrame(
        {
            "fold": [0, 0, 0, 1, 1],
            "epoch": [1, 2, 3, 1, 2],
            "train_accuracy": [0.2, 0.4, 0.9, 0.4, 0.6],
            "validation_accuracy": [0.1, 0.2, 0.3, 0.3, 0.4],
            "train_loss": [2.0, 1.0, 0.5, 2.0, 1.0],
            "validation_loss": [2.0, 1.5, 1.0, 2.0, 1.5],
        }
    )
    figure = figures.learning_curves({"Original model": table})
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() == 2]
    np.testing.assert_allclose(np.asarray(thick[0].get_xdata()), [1, 2])
    np.testing.assert_allclose(np.asarray(thick[0].get_ydata()), [30, 50])


def test_confusion_is_a_share_of_the_true_class() -> None:
    figure = figures.confusion(np.array([[3, 1], [0, 0]]), ["a_b", "c"])
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(np.asarray(shown), [[75, 25], [0, 0]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a b", "c"]


def test_comparison_draws_what_changed_under_each_adversarial_picture() -> None:
    clean, changed = np.zeros((4, 5)), np.full((4, 5), 0.25)
    strip = figures.Strip("STFT", clean, [("BIM-a", "taken for 3", changed), ("CWA", "", None)])
    figure = figures.comparison([strip, strip])
    images = [panel.images[0].get_array() for panel in figure.axes if panel.images]
    assert len(images) == 2 * 3
    np.testing.assert_allclose(np.asarray(images[2]), 0.25)
    titles = [panel.get_title() for panel in figure.axes]
    assert "CWA\nfailed" in titles
    assert "±0.25" in titles


def test_masking_checks_are_put_into_words(plain_page: str) -> None:
    _, *rows = table_rows(plain_page, "Signs of hidden gradients")
    own = {row[1]: row[2:] for row in rows if row[0] == "original"}
    assert own["Do more steps never fool fewer clips?"] == [
        "yes",
        "epsilon 0.0157; steps 5, 10; fooling rate 40 %, 50 %",
    ]
    assert own["Without a bound, is nearly every clip fooled?"] == ["no", "fooling rate 75 %"]
    assert own["Does another library's attack add little?"][0] == "not run"


def test_attacks_with_nothing_to_compare_are_not_said_to_pass() -> None:
    check: dict[str, Any] = {
        "passed": None,
        "epsilon": [],
        "white_box": [],
        "black_box": [],
        "white_box_smaller": 1.0,
    }
    page = SimpleNamespace(masking=Masking({"robust": {"white_box_beats_black_box": check}}))
    (row,) = table_rows(render("cell/masking.html", page), "Signs of hidden gradients")[1:]
    assert row[2:] == ["nothing to compare", "white box smaller 100 %"]


def test_each_fold_that_collapsed_is_named_with_both_rates(plain_page: str) -> None:
    _, *rows = table_rows(plain_page, "Did adversarial training collapse?")
    assert rows == [
        ["repeat0-fold0", "yes", "0.0157", "160", "25.0 %", "95.0 %"],
        ["repeat0-fold1", "too few clips", "0.0314", "0", "–", "–"],
    ]


def test_records_made_before_collapse_was_measured_by_fold_say_nothing_of_it() -> None:
    assert collapse_of({"training": {"robust": {"accuracy": 0.5, "collapsed_folds": 0}}}) == []


def test_the_gap_is_looked_for_down_to_half_of_the_largest_radius() -> None:
    check = {
        "epsilon": [0.0078, 0.01568627, 0.03137255],
        "iterative": [0.9, 0.95, 1],
        "single_step": [0.1, 0.6, 0.8],
    }
    found = Masking({"robust": {"iterative_beats_single_step": check}})
    assert found.gap == SingleStepGap(0.01568627, 0.6, 0.95)
    assert found.overfitted


def test_a_check_that_was_not_run_is_no_failure() -> None:
    passed: dict[str, Any] = {"a": {"passed": True}, "b": {"passed": None}}
    assert Masking({"original": passed}).all_passed
    assert not Masking({"original": passed, "robust": {"a": {"passed": False}}}).all_passed
    assert Masking({"original": passed, "robust": passed}).gap is None


@pytest.mark.parametrize(("single_step", "overfitted"), [(0.69, False), (0.44, True)])
def test_a_model_that_withstands_single_steps_alone_is_recognised(
    single_step: float, overfitted: bool
) -> None:
    check = {
        "passed": True,
        "epsilon": [0.0039, 0.0314],
        "iterative": [0.4, 0.98],
        "single_step": [0.4, single_step],
    }
    assert Masking({"robust": {"iterative_beats_single_step": check}}).overfitted == overfitted
    # The same on the original model says nothing of the training.
    assert not Masking({"original": {"iterative_beats_single_step": check}}).overfitted


def test_the_page_warns_of_a_model_that_withstands_single_steps_alone(plain_page: str) -> None:
    assert "catastrophic overfitting (Wong et al. 2020)" in plain_page
