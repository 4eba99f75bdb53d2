"""The page escapes what comes from outside, stands alone, and is the same bytes for the same numbers."""

import re

import numpy as np
import pandas as pd

from advaudio.report import figures
from advaudio.report.page import Page, Picture, Section, Table, render


def _curves() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "attack": ["bim_a"] * 4,
            "model": ["original", "original", "robust", "robust"],
            "perturbation": [0.01, 0.02, 0.02, 0.04],
            "fooling_rate": [0.5, 1.0, 0.25, 0.75],
        }
    )


def _fooling_svg() -> str:
    return figures.svg(
        figures.fooling_curves(_curves(), names={"bim_a": "BIM-a"}, norms={"bim_a": "L∞"}, threshold=0.9)
    )


def _page(word: str) -> str:
    section = Section(
        "s",
        word,
        [word],
        [Table(word, ["class", word], [[word, word]])],
        [Picture(_fooling_svg(), word, word)],
    )
    return render(Page(word, word, [word], [section], [(word, word)]))


def test_names_from_a_users_table_are_escaped() -> None:
    hostile = "<script>alert('x')</script>\"onmouseover=\"alert(1)"
    page = _page(hostile)
    assert "<script" not in page
    assert '"onmouseover' not in page
    assert page.count("&lt;script&gt;") == 15


def test_page_needs_nothing_from_outside() -> None:
    page = _page("siren")
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page.replace("xlink:", ""))
    assert "@import" not in page
    assert "url(http" not in page


def test_figures_follow_the_page_colours_and_repeat_bitwise() -> None:
    first, second = _fooling_svg(), _fooling_svg()
    assert first == second
    assert "currentColor" in first
    assert figures.INK not in first
    assert "BIM-a" in first
    assert "perturbation (L∞)" in first
    opening = first[: first.index(">")]
    assert "viewBox" in opening
    assert " width=" not in opening


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


def test_fooling_curves_start_at_zero_and_end_at_the_rate() -> None:
    figure = figures.fooling_curves(_curves(), names={}, norms={"bim_a": "L∞"}, threshold=0.9)
    original = figure.axes[0].lines[0]
    np.testing.assert_allclose(np.asarray(original.get_xdata()), [0, 0.01, 0.02])
    np.testing.assert_allclose(np.asarray(original.get_ydata()), [0, 50, 100])


def test_confusion_is_a_share_of_the_true_class() -> None:
    figure = figures.confusion(np.array([[3, 1], [0, 0]]), ["a_b", "c"])
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(np.asarray(shown), [[75, 25], [0, 0]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a b", "c"]
