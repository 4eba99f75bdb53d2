"""What the way of splitting alone does to accuracy: cells that differ in nothing else, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from advaudio.report.cells.cell import Cell
from advaudio.report.cells.estimates import difference
from advaudio.report.pages.page import Entry, Table
from advaudio.report.pages.sections import number_entry
from advaudio.report.tables.grid import own_settings, settings_key, shared_settings

SPLITS = ("source", "clip", "sample", "official")


def split_table(cells: Sequence[Cell]) -> Table | None:
    """Original accuracy under each split, and its excess over the split by source; None without two splits."""
    groups: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        groups.setdefault(settings_key(_apart_from_split(cell)), {}).setdefault(_split(cell), cell)
    rows: list[list[str | Entry]] = []
    for by_split in groups.values():
        if len(by_split) < 2:
            continue
        source = by_split.get("source")
        for split in (split for split in SPLITS if split in by_split):
            cell = by_split[split]
            accuracy = cell.accuracy["original"]
            gain = difference(accuracy, source.accuracy["original"]) if source and split != "source" else None
            rows.append(
                [
                    f"{cell.title}, seed {cell.params['seed']}",
                    split,
                    number_entry(accuracy, 1, 100),
                    number_entry(gain, 1, 100),
                ]
            )
    if not rows:
        return None
    return Table(
        "Accuracy of the original model under each split",
        ["cell", "split by", "accuracy (%)", "more than by source (points)"],
        rows,
        headings=2,
    )


def _split(cell: Cell) -> str:
    return str(cell.params["split"]["by"])


def _apart_from_split(cell: Cell) -> dict[str, Any]:
    settings = shared_settings(cell)
    settings["split"] = {key: value for key, value in settings["split"].items() if key != "by"}
    place = {key: cell.params[key] for key in ("dataset", "representation", "model", "seed")}
    return {**settings, **own_settings(cell), "place": place}
