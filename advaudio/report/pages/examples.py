"""Adversarial examples to look at: one kept clip before and after each attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advaudio.clips.picture_layout import Layout
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.examples import Example, on_original
from advaudio.report.cells.words import attack_name, norm_name, number
from advaudio.report.pages import figures

FREQUENCY_TICKS = 5


@dataclass(frozen=True)
class Shown:
    """An example in words: classes are names, `decibels` is the root-mean-square change of the spectrogram."""

    attack: str
    class_name: str
    taken_for: str
    norm: str | None
    perturbation: float
    decibels: float


@dataclass(frozen=True)
class ExampleFigure:
    """The drawn examples of the original model; `tonnetz`: whether the pictures have one."""

    svg: str
    shown: Sequence[Shown]
    tonnetz: bool


def example_figure(
    examples: Sequence[Example], layout: Layout, names: Sequence[str], cell: Cell
) -> ExampleFigure | None:
    """Original, adversarial example and difference of each attack; None where none fooled the original model."""
    chosen = on_original(examples)
    if not chosen:
        return None
    shown = [
        Shown(
            example.attack,
            class_name(names, example.label),
            class_name(names, example.adversarial_label),
            cell.attacks[example.attack].norm,
            example.perturbation,
            example.decibels,
        )
        for example in chosen
    ]
    pairs = [
        figures.Pair(
            example.clean,
            example.adversarial,
            f"original: {one.class_name}",
            f"{attack_name(one.attack)}: {one.taken_for}",
            f"difference, {norm_name(one.norm)} {number(one.perturbation)}, {one.decibels:.2g} dB RMS",
        )
        for example, one in zip(chosen, shown, strict=True)
    ]
    return ExampleFigure(
        figures.svg(figures.examples(pairs, _axes(layout))), shown, tonnetz=bool(layout.centroids)
    )


def class_name(names: Sequence[str], label: int) -> str:
    """A class in words."""
    return names[label].replace("_", " ")


def _axes(layout: Layout) -> figures.PictureAxes:
    rows = np.linspace(0, len(layout.frequencies) - 1, FREQUENCY_TICKS).round().astype(int)
    ticks = [(float(row) + 0.5, _frequency(layout.frequencies[row])) for row in rows]
    divider = None
    if layout.centroids:
        divider = float(len(layout.frequencies))
        ticks.append((divider + len(layout.centroids) / 2, "tonnetz"))
    return figures.PictureAxes(layout.clip_seconds, ticks, divider)


def _frequency(hertz: float) -> str:
    return f"{hertz / 1000:.1f} kHz" if hertz >= 1000 else f"{hertz:.0f} Hz"
