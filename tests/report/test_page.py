"""The page escapes what comes from outside, stands alone, and is the same bytes for the same numbers."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from advaudio.report.cells.cell import Curve
from advaudio.report.pages import figures
from advaudio.report.pages.curves import fooling_charts, thin
from advaudio.report.pages.masking import all_passed, masking_blocks, single_step_gap
from advaudio.report.pages.page import (
    Block,
    Charts,
    Entry,
    Fold,
    Page,
    Picture,
    Points,
    Section,
    Sound,
    Sounds,
    Table,
    Text,
    render,
)
from tests.report.cells import made_cell

HOSTILE = "--><script>alert('x')</script>\"onmouseover=\"alert(1)"


def _svg(word: str) -> str:
    return figures.svg(figures.confusion(np.array([[3, 1], [0, 2]]), [word, "b"]))


def _page(word: str) -> str:
    cell = made_cell(model=word)
    blocks: list[Block] = [
        Text(word),
        Points([word]),
        Table(word, ["class", word], [[word, Entry(word, 1.0, note=word)], [word, Entry(word, strong=True)]]),
        Picture(_svg(word), word, word),
        Charts(fooling_charts(cell), word),
        Sounds(word, [Sound(word, b"fLaC", word)]),
        Fold(word, [Text(word)]),
    ]
    return render(Page(word, cell.title, [word], [Section("s", word, blocks)]))


def test_names_from_outside_are_escaped_wherever_they_stand() -> None:
    page = _page(HOSTILE)
    assert page.count("<script") == 1
    tags = re.sub(r">[^<]*<", "><", page)
    assert "onmouseover" not in re.sub(r'="[^"]*"', "", tags)
    assert page.count("&lt;script&gt;") > 20


def test_page_needs_nothing_from_outside_and_forbids_it() -> None:
    page = _page("siren")
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page.replace("xlink:", ""))
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_page_and_figures_repeat_bitwise() -> None:
    assert _page("siren") == _page("siren")


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
        assert {"bim_a": "BIM-a", "cwa": "CWA"}[name] in chart.alternative


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


CHECKS: dict[str, dict[str, dict[str, Any]]] = {
    "original": {
        "more_steps_never_weaker": {
            "passed": True,
            "epsilon": 0.0157,
            "steps": [5, 10],
            "fooling_rate": [0.4, 0.5],
        },
        "outside_attack_adds_little": {"passed": None, "epsilon": 0.0157, "ours": 0.5, "theirs": None},
    },
    "robust": {"unbounded_reaches_all": {"passed": False, "fooling_rate": 0.75}},
}


def test_masking_checks_are_told_in_words() -> None:
    _, table = masking_blocks(CHECKS)
    assert isinstance(table, Table)
    texts = [[entry if isinstance(entry, str) else entry.text for entry in row] for row in table.rows]
    assert [row[2] for row in texts] == ["yes", "not run", "no"]
    assert texts[0][3] == "epsilon 0.0157; steps 5, 10; fooling rate 40 %, 50 %"
    assert texts[2][:2] == ["robust", "Without a bound, is every clip fooled?"]
    assert not all_passed(CHECKS)
    assert all_passed({"original": CHECKS["original"]})
    assert single_step_gap(CHECKS) is None


@pytest.mark.parametrize(("single_step", "told"), [(0.69, False), (0.44, True)])
def test_a_model_that_withstands_single_steps_alone_is_told_of(single_step: float, told: bool) -> None:
    check = {
        "passed": True,
        "epsilon": [0.0039, 0.0314],
        "iterative": [0.4, 0.98],
        "single_step": [0.4, single_step],
    }
    blocks = masking_blocks({"robust": {"iterative_beats_single_step": check}})
    sentences = [block.text for block in blocks[2:] if isinstance(block, Text)]
    assert len(sentences) == told
    if told:
        assert sentences[0].startswith(
            "Within 0.0314 a single step fools 44 % of the robust model's clips, iterations fool 98 %"
        )
    # The same on the original model says nothing of the training.
    assert single_step_gap({"original": {"iterative_beats_single_step": check}}) is None
