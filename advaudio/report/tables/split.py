"""What the way of splitting alone does to accuracy: cells that differ in nothing else, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from advaudio.report.cells.cell import Cell
from advaudio.report.cells.estimates import Estimate, difference
from advaudio.report.cells.grid import own_settings, settings_key, shared_settings

SPLITS = ("source", "clip", "sample", "official")


@dataclass(frozen=True)
class SplitRow:
    """A cell under one split; `gain`: its original accuracy minus that of the split by source, where both are known."""

    cell: Cell
    split: str
    gain: Estimate | None


def split_rows(cells: Sequence[Cell]) -> list[SplitRow]:
    """The cells that were run under two splits or more."""
    groups: dict[str, dict[str, Cell]] = {}
    for cell in cells:
        split = str(cell.params["split"]["by"])
        groups.setdefault(settings_key(_apart_from_split(cell)), {}).setdefault(split, cell)
    rows = []
    for by_split in (group for group in groups.values() if len(group) > 1):
        source = by_split.get("source")
        for split in filter(by_split.__contains__, SPLITS):
            cell, gain = by_split[split], None
            if source is not None and source is not cell:
                gain = difference(cell.accuracy["original"], source.accuracy["original"])
            rows.append(SplitRow(cell, split, gain))
    return rows


def _apart_from_split(cell: Cell) -> dict[str, Any]:
    settings = shared_settings(cell)
    settings["split"] = {key: value for key, value in settings["split"].items() if key != "by"}
    place = {key: cell.params[key] for key in ("dataset", "representation", "model", "seed")}
    return {**settings, **own_settings(cell), "place": place}
