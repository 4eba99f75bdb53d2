"""From collected cells to files: the tables in four formats, and a record of each cell."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from advaudio.core.files import write_csv, write_json, write_text
from advaudio.report.cells.claims import claims
from advaudio.report.cells.grid import build_grid
from advaudio.report.cells.words import plural
from advaudio.report.tables.grid_page import grid_page
from advaudio.report.tables.table_files import latex, markdown, tidy
from advaudio.report.tables.tables import result_tables
from experiments.collect import Collection


def write_results(collection: Collection, output: Path, records: Path | None = None) -> str:
    """Write `tables.md`, `tables.csv`, `tables.tex` and `tables.html` to `output`.

    Parameters
    ----------
    records
        Folder to write a record of each cell to (see `cell`), to keep or to pass on.

    Returns
    -------
    str
        What was written and what was left out, for the user.

    Raises
    ------
    AdvaudioError
        If there is no cell, or cells contradict each other.
    """
    built = build_grid(collection.cells)
    grid = replace(built, left_out=[*built.left_out, *collection.unfinished])
    tables, verdicts = result_tables(grid), claims(grid)
    page = grid_page(
        grid,
        tables,
        verdicts,
        all_cells=collection.cells,
        examples=collection.examples,
        sources=collection.sources,
    )
    write_text(output / "tables.md", markdown(tables, verdicts, grid))
    write_text(output / "tables.tex", latex(tables))
    write_csv(output / "tables.csv", tidy(tables))
    write_text(output / "tables.html", page)
    if records is not None:
        for cell in collection.cells:
            write_json(
                records / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', cell.name).strip('-.')}.json", cell.record
            )
    lines = [f"Wrote tables.md, .csv, .tex and .html to {output}: {grid.description}."]
    lines += [f"Left out {name}: {why}" for name, why in grid.left_out]
    unattacked = [cell.name for cell in grid.cells if not cell.attacks]
    if unattacked:
        lines.append(f"Accuracy alone of {', '.join(unattacked)}: no attack is recorded.")
    bare = [
        cell.name
        for cell in grid.cells
        if cell.attacks and not any(result.curves for result in cell.attacks.values())
    ]
    if bare:
        lines.append(f"No intervals and curves for {', '.join(bare)}: their outputs/ are not in DVC's cache.")
    lines += [f"({claim.letter}) {claim.text}: {claim.verdict}." for claim in verdicts]
    if records is not None:
        lines.append(f"Wrote {plural(len(collection.cells), 'record')} to {records}.")
    return "\n".join(lines)
