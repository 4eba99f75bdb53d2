"""Tables I, II and III of the paper, with what survives of the paper's numbers beside ours, and a fourth of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from advaudio.attack_interface.clip_results import MODELS
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.estimates import Estimate
from advaudio.report.cells.grid import Grid, Merged
from advaudio.report.cells.paper import BOLD_CELLS, BoldCell
from advaudio.report.cells.words import dataset_name, model_name, representation_name

Best = Literal["highest", "lowest"]
LEADING_COLUMNS = ("data", "representation", "measure")


@dataclass(frozen=True)
class Measure:
    """One number of a cell, as the tables show it.

    Attributes
    ----------
    name, unit
        Such as "accuracy, original" and "%".
    of
        The number, in that unit.
    best
        Which end is better for the defender.
    digits
        After the point.
    paper
        The paper's number of a row and the model it belongs to, where either survives.
    """

    name: str
    unit: str
    of: Callable[[Cell], Estimate | None]
    best: Best
    digits: int
    paper: Callable[[BoldCell], tuple[float, str | None]] | None = None


@dataclass(frozen=True)
class Entry:
    """What a table says about one cell."""

    model: str
    estimate: Estimate | None
    best: bool
    seeds: int
    short: bool

    @property
    def mark(self) -> str:
        """† where an attack did not reach the threshold on the original model and does not count."""
        return "†" if self.short and self.estimate else ""


@dataclass(frozen=True)
class Row:
    """One measure of one data set and representation, for every model."""

    dataset: str
    representation: str
    measure: Measure
    entries: Sequence[Entry]
    paper: tuple[float, str | None] | None

    @property
    def headings(self) -> list[str]:
        """Data set, representation and measure with its unit, as printed."""
        unit = f" ({self.measure.unit})" if self.measure.unit else ""
        return [
            dataset_name(self.dataset),
            representation_name(self.representation),
            self.measure.name + unit,
        ]

    @property
    def paper_model(self) -> str:
        """The model that the paper's number belongs to, as printed; empty where no number survives."""
        if self.paper is None:
            return ""
        return model_name(self.paper[1]) if self.paper[1] else "model lost"


@dataclass(frozen=True)
class ResultTable:
    """One of the tables."""

    number: str
    title: str
    explanation: str
    rows: Sequence[Row]

    @property
    def header(self) -> list[str]:
        """Column headings: three for `Row.headings`, one for each model, the paper's."""
        return [
            *LEADING_COLUMNS,
            *(model_name(entry.model) for entry in self.rows[0].entries),
            "paper's best",
        ]

    @property
    def of_the_paper(self) -> bool:
        """Whether the paper has it."""
        return self.number in MEASURES


def _percent(estimate: Estimate | None) -> Estimate | None:
    return None if estimate is None else estimate.scaled(100)


def _plain(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value)


MEASURES: dict[str, tuple[str, str, Sequence[Measure]]] = {
    "I": (
        "Accuracy before and after adversarial training",
        "Share of the test clips classified correctly, mean over the folds. Drop ratio: what adversarial "
        "training cost, in per cent of the original accuracy. With 95 % intervals (Wilson's over the test "
        "clips; with several seeds, Student's over the seeds). Bold: the best of the row.",
        [
            Measure(
                "accuracy, original",
                "%",
                lambda cell: _percent(cell.accuracy["original"]),
                "highest",
                1,
                lambda bold: (bold.accuracy, bold.accuracy_model),
            ),
            Measure("accuracy, robust", "%", lambda cell: _percent(cell.accuracy["robust"]), "highest", 1),
            Measure("drop ratio", "%", lambda cell: cell.drop_ratio, "lowest", 1),
        ],
    ),
    "II": (
        "Fooling rate of the robust models within the original models' bound",
        "Each attack may use the perturbation that fools the threshold's share of the original model's clips; "
        "mean over the attacks that do. With 95 % intervals. Bold: the lowest of the row. †: an attack did not "
        "reach the threshold on the original model and does not count.",
        [
            Measure(
                "fooling rate, robust",
                "%",
                lambda cell: _percent(cell.robust_within_bound),
                "lowest",
                1,
                lambda bold: (bold.fooling_rate, None),
            )
        ],
    ),
    "III": (
        "ρ: how much more perturbation the robust models take",
        "Mean perturbation that fools the robust model over the mean that fools the original (Eq. 14), mean over "
        "the attacks that reach the threshold on both. Above 1, attacks got costlier. With 95 % intervals. "
        "Bold: the highest of the row. †: an attack did not reach the threshold on the original model and does "
        "not count.",
        [
            Measure(
                "ρ, each attack in its norm",
                "",
                lambda cell: cell.rho,
                "highest",
                2,
                lambda bold: (bold.rho, None),
            ),
            Measure("ρ, L2 for all", "", lambda cell: _plain(cell.rho_l2), "highest", 2),
        ],
    ),
}


UNDER_PGD = (
    "Accuracy under PGD-20 (not in the paper)",
    "Share of the test clips that are classified correctly and stay so under projected gradient descent with 20 "
    "steps within the bound (L∞), mean over the folds. With 95 % intervals as in Table I. Bold: the highest of the "
    "row.",
)


def result_tables(grid: Grid) -> list[ResultTable]:
    """The tables: a row per data set, representation and measure, a column per model.

    The fourth stands where PGD was run after training (`pgd_epsilons` of the budget).
    """
    chosen = dict(MEASURES)
    under_pgd = _measures_under_pgd(grid)
    if under_pgd:
        chosen["IV"] = (*UNDER_PGD, under_pgd)
    return [
        ResultTable(
            number,
            title,
            explanation,
            [
                _row(grid, dataset, representation, measure, marks=number in ("II", "III"))
                for dataset, representation in grid.rows
                for measure in measures
            ],
        )
        for number, (title, explanation, measures) in chosen.items()
    ]


def _measures_under_pgd(grid: Grid) -> list[Measure]:
    bounds = {bound for cell in grid.cells for found in cell.accuracy_under_pgd.values() for bound in found}
    return [
        Measure(
            f"{model}, within {bound}/255", "%", partial(_under_pgd, model=model, bound=bound), "highest", 1
        )
        for bound in sorted(bounds, key=float)
        for model in MODELS
    ]


def _under_pgd(cell: Cell, *, model: str, bound: str) -> Estimate | None:
    return _percent(cell.accuracy_under_pgd[model].get(bound))


def _row(grid: Grid, dataset: str, representation: str, measure: Measure, *, marks: bool) -> Row:
    found: list[tuple[str, Merged | None, Estimate | None]] = []
    for model in grid.models:
        merged = grid.at(dataset, representation, model)
        found.append((model, merged, merged.measure(measure.of) if merged else None))
    values = [round(estimate.value, measure.digits) for _, _, estimate in found if estimate is not None]
    best = None
    if len(values) > 1:
        best = max(values) if measure.best == "highest" else min(values)
    bold = BOLD_CELLS.get((dataset, representation))
    return Row(
        dataset,
        representation,
        measure,
        [
            Entry(
                model,
                estimate,
                best=estimate is not None and round(estimate.value, measure.digits) == best,
                seeds=len(merged.cells) if merged else 0,
                short=marks and merged is not None and any(cell.short_attacks for cell in merged.cells),
            )
            for model, merged, estimate in found
        ],
        measure.paper(bold) if bold and measure.paper else None,
    )
