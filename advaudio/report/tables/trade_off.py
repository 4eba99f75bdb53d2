"""What adversarial training costs and what it buys: accuracy against accuracy under PGD, an arrow for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advaudio.attack_interface.clip_results import MODELS
from advaudio.report.cells.grid import Grid, Merged
from advaudio.report.cells.words import dataset_name, model_name, representation_name
from advaudio.report.pages.figures import INK, ORIGINAL, ROBUST, STYLE, THIRD

# Okabe and Ito's palette; the shapes tell the models apart without colours.
COLOURS = (ORIGINAL, ROBUST, THIRD, "#CC79A7", "#E69F00", "#56B4E9")
SHAPES = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class TradeOff:
    """The cells whose accuracy under PGD is known, within one bound.

    Attributes
    ----------
    bound
        Of PGD's perturbation, L∞, in 255ths.
    arrows
        Data set, representation and model → (accuracy, accuracy under PGD) of the original model and of the robust
        one, each in per cent.
    """

    bound: str
    arrows: dict[tuple[str, str, str], tuple[tuple[float, float], tuple[float, float]]]

    @property
    def panels(self) -> list[tuple[str, str]]:
        """Data set and representation of each panel."""
        return list(dict.fromkeys(place[:2] for place in self.arrows))

    @property
    def models(self) -> list[str]:
        """Models that have an arrow."""
        return list(dict.fromkeys(place[2] for place in self.arrows))


def trade_off(grid: Grid) -> TradeOff | None:
    """The arrows of a grid within the second smallest bound that its cells share; None where there is none."""
    measured = {
        (*row, model): merged
        for row in grid.rows
        for model in grid.models
        if (merged := grid.at(*row, model)) is not None and _bounds(merged)
    }
    if not measured:
        return None
    shared = set.intersection(*(_bounds(merged) for merged in measured.values()))
    if not shared:
        return None
    bound = sorted(shared, key=float)[:2][-1]
    arrows = {
        place: (_point(merged, "original", bound), _point(merged, "robust", bound))
        for place, merged in measured.items()
    }
    return TradeOff(bound, arrows)


def draw(found: TradeOff, columns: int = 2) -> Figure:
    """A panel for each data set and representation; each arrow leads from the original model to the robust one."""
    models = found.models
    looks = {model: (COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]) for i, model in enumerate(models)}
    columns = min(columns, len(found.panels))
    rows = -(-len(found.panels) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * columns, 3.3 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for panel in panels.flat[len(found.panels) :]:
            panel.axis("off")
        for panel, place in zip(panels.flat, found.panels, strict=False):
            for model in models:
                arrow = found.arrows.get((*place, model))
                if arrow is not None:
                    _arrow(panel, *arrow, *looks[model])
            panel.set_title(f"{dataset_name(place[0])}, {representation_name(place[1])}")
            panel.grid(alpha=0.25)
        for panel in panels[-1]:
            panel.set_xlabel("accuracy (%)")
        for panel in panels[:, 0]:
            panel.set_ylabel(f"right under PGD-20\nwithin {found.bound}/255 (%)")
        panels[0, 0].set_ylim(bottom=-1)
        figure.legend(handles=_legend(looks), loc="outside lower center", ncols=2 * columns)
    return figure


def _bounds(merged: Merged) -> set[str]:
    """Bounds, in 255ths, that both models of every cell have a number for."""
    return set.intersection(
        *(set(cell.accuracy_under_pgd[model]) for cell in merged.cells for model in MODELS)
    )


def _point(merged: Merged, model: str, bound: str) -> tuple[float, float]:
    accuracy = merged.accuracy(model)
    attacked = merged.measure(lambda cell: cell.accuracy_under_pgd[model][bound])
    assert accuracy is not None
    assert attacked is not None
    return 100 * accuracy.value, 100 * attacked.value


def _arrow(
    panel: Axes, original: tuple[float, float], robust: tuple[float, float], colour: str, shape: str
) -> None:
    panel.annotate(
        "",
        xy=robust,
        xytext=original,
        arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.4, "shrinkA": 4, "shrinkB": 4},
    )
    panel.plot(*original, shape, color=colour, markerfacecolor="none", markersize=6)
    panel.plot(*robust, shape, color=colour, markersize=6)


def _legend(looks: dict[str, tuple[str, str]]) -> Sequence[Line2D]:
    kinds = [
        Line2D([], [], linestyle="", marker="o", color=INK, markerfacecolor="none", label="original"),
        Line2D([], [], linestyle="", marker="o", color=INK, label="adversarially trained"),
    ]
    models = [
        Line2D([], [], linestyle="", marker=shape, color=colour, label=model_name(model))
        for model, (colour, shape) in looks.items()
    ]
    return [*models, *kinds]
