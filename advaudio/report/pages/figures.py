"""The figures of the report, as SVG that follows the page's light or dark colours."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# Okabe and Ito's palette: distinguishable with any colour vision, on white and on near-black.
ORIGINAL = "#0072B2"
ROBUST = "#D55E00"
THIRD = "#009E73"
INK = "#010203"  # stands for the page's text colour until the SVG is embedded

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "advaudio",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a class name may hold dollar signs
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True)
class PictureAxes:
    """What the rows and columns of a picture mean.

    Attributes
    ----------
    seconds
        Length of the clip, the picture's width.
    ticks
        Row positions (from the bottom) and the words to write there.
    divider
        Row where the tonnetz begins, if the picture has one.
    """

    seconds: float
    ticks: Sequence[tuple[float, str]]
    divider: float | None = None


@dataclass(frozen=True)
class Pair:
    """A picture before and after an attack, (height, width) in [0, 1], and what to write above."""

    original: NDArray[Any]
    adversarial: NDArray[Any]
    original_title: str
    adversarial_title: str
    difference_title: str


@dataclass(frozen=True)
class Strip:
    """A clip in one representation and what each attack made of it.

    Attributes
    ----------
    title
        Such as "STFT: dog bark".
    original
        Picture (height, width) in [0, 1].
    adversarial
        Attack's printed name, what the model takes it for, and the picture; None where the attack failed.
    """

    title: str
    original: NDArray[Any]
    adversarial: Sequence[tuple[str, str, NDArray[Any] | None]]


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element without a fixed size; the same bytes for the same figure."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = text.replace(INK, "currentColor")
    return _unique_names(text)


def _unique_names(text: str) -> str:
    """Drop names of elements that nothing refers to, and mark the others: several figures share a page."""
    used = set(re.findall(r"#([\w.-]+)", text))
    mark = hashlib.sha256(text.encode("utf-8")).hexdigest()[:8]
    text = re.sub(
        r' id="([^"]*)"', lambda found: f' id="{mark}-{found[1]}"' if found[1] in used else "", text
    )
    return re.sub(r'(href="|url\()#', rf"\1#{mark}-", text)


def _panels(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, NDArray[Any]]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False))


EPOCH_COLUMNS = (
    "fold",
    "epoch",
    "train_accuracy",
    "validation_accuracy",
    "train_loss",
    "validation_loss",
)


def learning_curves(curves: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy and loss against the epoch, a column per training.

    Parameters
    ----------
    curves
        Title of a training → table with columns fold, epoch, train_accuracy, validation_accuracy,
        train_loss, validation_loss, and optionally probe_accuracy; accuracies in [0, 1].
    """
    with mpl.rc_context(STYLE):
        figure, panels = _panels(2, len(curves), (4.6 * len(curves), 5.4))
        for column, (title, table) in enumerate(curves.items()):
            accuracy, loss = panels[0, column], panels[1, column]
            _mean_and_folds(accuracy, table, "train_accuracy", THIRD, "training", percent=True)
            _mean_and_folds(accuracy, table, "validation_accuracy", ORIGINAL, "validation", percent=True)
            if "probe_accuracy" in table and table["probe_accuracy"].notna().any():
                _mean_and_folds(
                    accuracy, table, "probe_accuracy", ROBUST, "validation under PGD", percent=True
                )
            _mean_and_folds(loss, table, "train_loss", THIRD, "training")
            _mean_and_folds(loss, table, "validation_loss", ORIGINAL, "validation")
            accuracy.set(title=title, ylabel="accuracy (%)", ylim=(0, 100))
            loss.set(xlabel="epoch", ylabel="loss (nats)")
            loss.set_ylim(bottom=0)
            for axis in (accuracy, loss):
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        lines = {
            str(line.get_label()): line
            for panel in panels[0]
            for line in panel.get_legend_handles_labels()[0]
        }
        figure.legend(handles=list(lines.values()), loc="outside lower center", ncols=len(lines))
    return figure


def _mean_and_folds(
    axes: Axes, table: pd.DataFrame, column: str, colour: str, label: str, *, percent: bool = False
) -> None:
    values = table.pivot_table(index="epoch", columns="fold", values=column) * (100 if percent else 1)
    axes.plot(values.index, values.to_numpy(), color=colour, linewidth=0.7, alpha=0.35)
    # Folds stop at different epochs; a mean over the few that are left would jump.
    whole = values.dropna()
    axes.plot(whole.index, whole.mean(axis=1), color=colour, linewidth=2, label=label)


def confusion(matrix: NDArray[Any], class_names: Sequence[str]) -> Figure:
    """Confusion matrix in per cent of each true class; `matrix[true, predicted]` holds counts."""
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    classes = len(class_names)
    side = max(3.6, 0.3 * classes + 1.8)
    with mpl.rc_context(STYLE):
        figure, panels = _panels(1, 1, (side + 0.6, side))
        axes = panels[0, 0]
        image = axes.imshow(share, cmap="cividis", vmin=0, vmax=100)
        words = [name.replace("_", " ") for name in class_names]
        axes.set_xticks(range(classes), words, rotation=90)
        axes.set_yticks(range(classes), words)
        axes.set(xlabel="predicted", ylabel="true")
        if classes <= 15:
            for row, column in zip(*np.nonzero(share), strict=True):
                colour = "black" if share[row, column] > 55 else "white"
                axes.text(
                    column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=colour, size=8
                )
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label("share of the true class (%)")
    return figure


def examples(rows: Sequence[Pair], axes_of_picture: PictureAxes) -> Figure:
    """Original, adversarial and difference pictures, a row per attack; the difference is magnified.

    The three share one orientation: time from left to right in seconds, low frequencies below.
    """
    with mpl.rc_context(STYLE):
        figure, panels = _panels(len(rows), 3, (8.4, 2.15 * len(rows) + 0.3))
        for line, row in enumerate(rows):
            _picture(panels[line, 0], row.original, axes_of_picture, cmap="magma", vmin=0, vmax=1)
            _picture(panels[line, 1], row.adversarial, axes_of_picture, cmap="magma", vmin=0, vmax=1)
            difference, largest = _difference(row.original, row.adversarial)
            image = _picture(
                panels[line, 2], difference, axes_of_picture, cmap="RdBu_r", vmin=-largest, vmax=largest
            )
            bar = figure.colorbar(image, ax=panels[line, 2], ticks=[-largest, 0, largest], format="%.2g")
            bar.ax.tick_params(labelsize=7)
            panels[line, 0].set_title(row.original_title)
            panels[line, 1].set_title(row.adversarial_title)
            panels[line, 2].set_title(row.difference_title)
            panels[line, 0].set_yticks(*_ticks(axes_of_picture), fontsize=7)
        for panel in panels[-1]:
            panel.set_xlabel("time (s)")
    return figure


def comparison(strips: Sequence[Strip]) -> Figure:
    """The paper's figure: a clip in each representation, its adversarial examples, and under them what changed.

    Low frequencies are below, time runs to the right; each difference has its own scale, written above it.
    """
    columns = 1 + max(len(strip.adversarial) for strip in strips)
    with mpl.rc_context(STYLE):
        figure, panels = _panels(2 * len(strips), columns, (1.75 * columns, 3.3 * len(strips)))
        for panel in panels.flat:
            panel.set(xticks=[], yticks=[])
            panel.set_axis_off()
        for line, strip in enumerate(strips):
            _bare(panels[2 * line, 0], strip.original, strip.title, cmap="magma", vmin=0, vmax=1)
            for column, (attack, taken_for, picture) in enumerate(strip.adversarial, start=1):
                if picture is None:
                    panels[2 * line, column].set_title(f"{attack}\nfailed", fontsize=9)
                    continue
                _bare(
                    panels[2 * line, column], picture, f"{attack}\n{taken_for}", cmap="magma", vmin=0, vmax=1
                )
                difference, largest = _difference(strip.original, picture)
                _bare(
                    panels[2 * line + 1, column],
                    difference,
                    f"±{largest:.2g}",
                    cmap="RdBu_r",
                    vmin=-largest,
                    vmax=largest,
                )
    return figure


def _bare(panel: Axes, picture: NDArray[Any], title: str, **image: Any) -> None:
    panel.imshow(picture, origin="lower", aspect="auto", interpolation="nearest", **image)
    panel.set_title(title, fontsize=9)


def _difference(original: NDArray[Any], adversarial: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """What changed, and the largest change."""
    difference = adversarial.astype(float) - original
    return difference, float(np.abs(difference).max()) or 1.0


def _ticks(axes_of_picture: PictureAxes) -> tuple[list[float], list[str]]:
    return [row for row, _ in axes_of_picture.ticks], [word for _, word in axes_of_picture.ticks]


def _picture(axes: Axes, picture: NDArray[Any], meaning: PictureAxes, **image: Any) -> Any:
    height = picture.shape[0]
    drawn = axes.imshow(
        picture,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0, meaning.seconds, 0, height),
        **image,
    )
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    if meaning.divider is not None:
        axes.axhline(meaning.divider, color="white", linewidth=0.8)
    return drawn
