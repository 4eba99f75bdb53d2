"""Many cells side by side: only those that can be compared, repeats with other seeds as one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.estimates import Estimate, over_seeds
from advaudio.report.cells.paper import DATASET_NAMES, MODEL_NAMES, REPRESENTATION_NAMES
from advaudio.report.cells.words import listed, plural

PLACE_KEYS = ("dataset", "representation", "model")
UNCOMPARED = ("seed", "device", "datasets", "budgets")
UNCOMPARED_EVALUATION = ("bootstrap_samples", "example_clips")
UNCOMPARED_TRAINING = ("compile",)
UNCOMPARED_ADVERSARIAL = ("probe_clips", "probe_steps")
UNCOMPARED_DATASET = ("archive", "on_bad_file")


@dataclass(frozen=True, order=True)
class Place:
    """Where a cell stands in the paper's grid."""

    dataset: str
    representation: str
    model: str


@dataclass(frozen=True)
class Merged:
    """The cells of one place, one per seed."""

    cells: Sequence[Cell]

    def measure(self, value: Callable[[Cell], Estimate | None]) -> Estimate | None:
        """A number of these cells: with several seeds their mean and Student's interval."""
        return over_seeds([value(cell) for cell in self.cells])

    def accuracy(self, model: str) -> Estimate | None:
        """Accuracy of the `original` or the `robust` model."""
        return self.measure(lambda cell: cell.accuracy[model])


@dataclass(frozen=True)
class Grid:
    """Comparable cells by place, in the paper's order.

    Attributes
    ----------
    places
        Place → its cells.
    settings
        The parameters that all of them share.
    left_out
        Name of each cell that is not in the grid, and why.
    """

    places: Mapping[Place, Merged]
    settings: Mapping[str, Any]
    left_out: Sequence[tuple[str, str]]

    @property
    def cells(self) -> list[Cell]:
        """All cells."""
        return [cell for merged in self.places.values() for cell in merged.cells]

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Data set and representation of each row of the tables."""
        return list(dict.fromkeys((place.dataset, place.representation) for place in self.places))

    @property
    def models(self) -> list[str]:
        """Models, the columns of the tables."""
        present = {place.model for place in self.places}
        return [model for model in MODEL_NAMES if model in present] + sorted(present - MODEL_NAMES.keys())

    @property
    def description(self) -> str:
        """Such as "24 cells, up to 3 seeds each"."""
        seeds = {len(merged.cells) for merged in self.places.values()}
        many = "" if seeds == {1} else f", up to {plural(max(seeds), 'seed')} each"
        return f"{plural(len(self.places), 'cell')}{many}"

    def at(self, dataset: str, representation: str, model: str) -> Merged | None:
        """The cells of a place, if there are any."""
        return self.places.get(Place(dataset, representation, model))


def build_grid(cells: Iterable[Cell]) -> Grid:
    """Put cells with the same settings into a grid.

    Cells differ in data set, representation, model and seed. Those that differ in anything else that changes
    results (defence, budget, split, attacks, …) cannot stand in one table: the largest group with the same
    settings makes the grid, the others are left out and named. A cell that occurs twice is taken once.

    Raises
    ------
    AdvaudioError
        If there is no cell, or two cells of the same place and seed differ in the facts of their data set or
        in the weights that they start from.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(settings_key(shared_settings(cell)), []).append(cell)
    if not groups:
        raise AdvaudioError(
            "There is no finished cell to make tables of. Run `dvc repro` or `dvc exp run` first, or name "
            "experiments, revisions, folders or result files."
        )
    largest = max(groups.values(), key=lambda group: len({_place(cell) for cell in group}))
    settings = shared_settings(largest[0])
    left_out = [
        (cell.name, "differs in " + listed(different_keys(settings, shared_settings(cell))))
        for group in groups.values()
        if group is not largest
        for cell in group
    ]
    found: dict[Place, dict[int, Cell]] = {}
    for cell in largest:
        seeds = found.setdefault(_place(cell), {})
        twin = seeds.setdefault(int(cell.params["seed"]), cell)
        different = different_keys(own_settings(twin), own_settings(cell))
        if different:
            raise AdvaudioError(
                f"{twin.name} and {cell.name} are the same cell ({cell.title}, seed {cell.params['seed']}) with "
                f"another {listed(different)}. Name the cells to compare, with one of the two."
            )
    places = {
        place: Merged([seeds[seed] for seed in sorted(seeds)])
        for place, seeds in sorted(found.items(), key=lambda item: _order(item[0]))
    }
    return Grid(places, settings, left_out)


def shared_settings(cell: Cell) -> dict[str, Any]:
    """Parameters that all cells of a grid must share."""
    params = cell.params
    settings = {key: value for key, value in params.items() if key not in (*PLACE_KEYS, *UNCOMPARED)}
    # Records older than the parameter are of all clips.
    settings["evaluation"] = {"clips": None, **_without(params["evaluation"], UNCOMPARED_EVALUATION)}
    settings["adversarial_training"] = _without(params["adversarial_training"], UNCOMPARED_ADVERSARIAL)
    settings["training"] = _without(params["training"], UNCOMPARED_TRAINING)
    budget = dict(params["budgets"][params["budget"]])
    budget["training"] = _without(budget["training"], ("pretrained",))
    return {**settings, "budgets": budget}


def own_settings(cell: Cell) -> dict[str, Any]:
    """Parameters that belong to a cell's data set and model."""
    budget = cell.params["budgets"][cell.params["budget"]]
    return {
        "datasets": _without(cell.params["datasets"][cell.dataset], UNCOMPARED_DATASET),
        "pretrained": budget["training"].get("pretrained"),
    }


def different_keys(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the parameters in which two trees differ."""
    names = []
    for key in sorted({*first, *second}):
        one, other = first.get(key), second.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names += different_keys(one, other, f"{prefix}{key}.")
        elif settings_key(one) != settings_key(other):
            names.append(f"{prefix}{key}")
    return names


def _without(section: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in names}


def settings_key(value: Any) -> str:
    """One text for equal settings, whatever their order."""
    return json.dumps(value, sort_keys=True, default=list)


def _place(cell: Cell) -> Place:
    return Place(cell.dataset, cell.representation, cell.model)


def _order(place: Place) -> tuple[tuple[int, str], ...]:
    def rank(names: Mapping[str, str], name: str) -> tuple[int, str]:
        known = list(names)
        return (known.index(name) if name in known else len(known), name)

    return (
        rank(DATASET_NAMES, place.dataset),
        rank(REPRESENTATION_NAMES, place.representation),
        rank(MODEL_NAMES, place.model),
    )
