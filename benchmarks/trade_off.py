"""Draw what adversarial training costs and buys in the cells of a grid, from their records (results/README.md).

python -m benchmarks.trade_off results/esc50-grid/cells/*.json --picture results/esc50-grid/trade-off.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from advaudio.core.files import atomic_path
from advaudio.report.cells.cell import read_cell_file
from advaudio.report.cells.grid import build_grid
from advaudio.report.tables.trade_off import draw, trade_off


def main(
    records: Annotated[list[Path], typer.Argument(help="records of cells")],
    picture: Annotated[Path, typer.Option(help="PNG to write")],
) -> None:
    """Accuracy against accuracy under PGD-20: an arrow from the original to the robust model of each cell."""
    found = trade_off(build_grid(read_cell_file(path) for path in records))
    if found is None:
        raise typer.BadParameter(
            "no record has `pgd_accuracy_at_…`: set `pgd_epsilons` in the budget's training"
        )
    with atomic_path(picture) as temporary:
        draw(found).savefig(temporary, dpi=120, format="png", facecolor="white")


if __name__ == "__main__":
    typer.run(main)
