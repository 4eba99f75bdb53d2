"""Two cells side by side: every headline figure, its change, and which of the two is harder to attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from advaudio.report.cells.cell import AttackResult, Cell
from advaudio.report.cells.estimates import Estimate, difference
from advaudio.report.cells.grid import different_keys
from advaudio.report.cells.words import attack_name, setting

Better = Literal["A", "B", "same", "unclear", ""]
"""`unclear`: the difference is within its 95 % interval; empty: not both known, or neither is better."""


@dataclass(frozen=True)
class Comparison:
    """One figure of both cells, in `unit`, with `digits` after the point (None: three significant ones)."""

    group: str
    metric: str
    unit: str
    digits: int | None
    first: Estimate | None
    second: Estimate | None
    change: Estimate | None
    better: Better


@dataclass(frozen=True)
class _Metric:
    words: str
    unit: str
    scale: float
    digits: int | None
    better: Literal[-1, 1]


ACCURACY = _Metric("accuracy", "%", 100, 1, 1)
DROP = _Metric("drop ratio: accuracy lost", "%", 1, 1, -1)
WITHIN = _Metric("robust fooled within bound, mean", "%", 100, 1, -1)
RHO = _Metric("ρ, mean", "", 1, 2, 1)

ATTACK_METRICS: list[tuple[_Metric, Callable[[AttackResult], Estimate | None]]] = [
    (_Metric("original fooled", "%", 100, 1, -1), lambda result: result.fooling_rate),
    (_Metric("bound of the original, ε₉₀", "", 1, None, 1), lambda result: result.epsilon_90),
    (_Metric("area under its curve", "", 1, 3, -1), lambda result: result.auc),
    (_Metric("robust fooled within bound", "%", 100, 1, -1), lambda result: result.robust_within_bound),
    (_Metric("robust fooled without bound", "%", 100, 1, -1), lambda result: result.robust_fooling_rate),
    (_Metric("ρ", "", 1, 2, 1), lambda result: result.rho),
]


def compare(first: Cell, second: Cell) -> list[Comparison]:
    """All figures of two cells; of an attack that just one of them has, the other's are None."""
    cell_metrics: list[tuple[str, _Metric, Callable[[Cell], Estimate | None]]] = [
        ("original model", ACCURACY, lambda cell: cell.accuracy["original"]),
        ("robust model", ACCURACY, lambda cell: cell.accuracy["robust"]),
        ("adversarial training", DROP, lambda cell: cell.drop_ratio),
        ("all attacks", WITHIN, lambda cell: cell.robust_within_bound),
        ("all attacks", RHO, lambda cell: cell.rho),
    ]
    rows = [_row(group, metric, of(first), of(second)) for group, metric, of in cell_metrics]
    for name in dict.fromkeys([*first.attacks, *second.attacks]):
        one, other = first.attacks.get(name), second.attacks.get(name)
        same_norm = one is None or other is None or one.norm == other.norm
        for metric, value in ATTACK_METRICS:
            if metric.unit or same_norm:
                rows.append(
                    _row(
                        attack_name(name),
                        metric,
                        value(one) if one else None,
                        value(other) if other else None,
                    )
                )
    return rows


def different_settings(first: Cell, second: Cell) -> list[tuple[str, str, str]]:
    """Parameters in which two cells differ: dotted name, value of each."""
    return [
        (name, _value(first, name), _value(second, name))
        for name in different_keys(_own(first), _own(second))
    ]


def _row(group: str, metric: _Metric, first: Estimate | None, second: Estimate | None) -> Comparison:
    one = None if first is None else first.scaled(metric.scale)
    other = None if second is None else second.scaled(metric.scale)
    change = difference(other, one)
    return Comparison(
        group, metric.words, metric.unit, metric.digits, one, other, change, _better(change, metric.better)
    )


def _better(change: Estimate | None, direction: int) -> Better:
    if change is None:
        return ""
    if change.value == 0:
        return "same"
    if change.low is not None and not change.beyond(0):
        return "unclear"
    return "B" if change.value * direction > 0 else "A"


def _own(cell: Cell) -> dict[str, object]:
    # Of data sets and budgets only the chosen ones count.
    params = dict(cell.params)
    params["datasets"] = cell.params["datasets"][cell.dataset]
    params["budgets"] = cell.params["budgets"][cell.params["budget"]]
    return params


def _value(cell: Cell, name: str) -> str:
    value: object = _own(cell)
    for key in name.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return setting(value)
