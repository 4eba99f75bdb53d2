"""Draw records of cells (see results/README.md) as a picture for a page or a paper.

python -m experiments.draw results/esc50-alexnet/results.json --picture fooling-curves.png
python -m experiments.draw results/esc50-grid/cells/*.json --picture trade-off.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advaudio.core.command_line import run
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import atomic_path
from advaudio.report.cells.cell import AttackResult, Cell, read_cell_file
from advaudio.report.cells.grid import build_grid
from advaudio.report.cells.words import attack_name
from advaudio.report.pages.figures import INK, ORIGINAL, ROBUST, STYLE
from advaudio.report.tables.trade_off import draw, trade_off

NORMS = {"linf": "perturbation, L∞", "l2": "perturbation, L2", "l0": "changed pixels, L0"}
LINES = {"original": (ORIGINAL, "original model"), "robust": (ROBUST, "adversarially trained model")}
SHOWN = 0.97
"""A panel ends where so many clips are fooled: the rest of a curve is a flat line."""


def main(
    records: Annotated[list[Path], typer.Argument(help="records of cells")],
    picture: Annotated[Path, typer.Option(help="PNG to write")],
) -> None:
    """Draw the fooling curves of one record, or of several what adversarial training costs and buys."""
    if len(records) == 1:
        figure, dpi = curves_figure(read_cell_file(records[0])), 110
    else:
        found = trade_off(build_grid(read_cell_file(path) for path in records))
        if found is None:
            raise AdvaudioError(
                "The records share no accuracy under PGD: run their cells with `pgd_epsilons` in the budget's training."
            )
        figure, dpi = draw(found), 120
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png", facecolor="white")


def curves_figure(cell: Cell) -> Figure:
    """Share of the clips fooled against the size of the perturbation: a panel per attack, three in a row.

    Raises
    ------
    AdvaudioError
        If no attack has a curve.
    """
    drawn = {name: result for name, result in cell.attacks.items() if result.curves}
    if not drawn:
        raise AdvaudioError(
            f"{cell.name} has no fooling curves: name a record made where outputs/ were at hand."
        )
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for panel in panels.flat[len(drawn) :]:
            panel.axis("off")
        for panel, (name, result) in zip(panels.flat, drawn.items(), strict=False):
            _panel(panel, result)
            panel.set_title(attack_name(name))
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(f"Fooling curves: {cell.title}")
    return figure


def _panel(panel: Axes, result: AttackResult) -> None:
    right = 0.0
    for model, curve in result.curves.items():
        colour, label = LINES[model]
        rates = [100 * rate for rate in curve.fooling_rate]
        panel.step(curve.epsilon, rates, where="post", color=colour, label=label, linewidth=2)
        below = [
            epsilon for epsilon, rate in zip(curve.epsilon, curve.fooling_rate, strict=True) if rate <= SHOWN
        ]
        right = max(right, below[-1] if below else 0.0)
    if result.epsilon_90 is not None:
        panel.axvline(
            result.epsilon_90.value, color=INK, linestyle="--", linewidth=1, label="ε₉₀ of the original"
        )
    panel.set(xlabel=NORMS.get(result.norm or "", "perturbation"), ylabel="clips fooled (%)", ylim=(0, 102))
    panel.set_xlim(0, 1.15 * right or None)
    panel.grid(alpha=0.25)


if __name__ == "__main__":
    run(main)
