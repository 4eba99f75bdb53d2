"""Fooling curves as charts that the page draws and reads out under the pointer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from advaudio.report.cells.cell import AttackResult, Cell, Curve, StrongestBound
from advaudio.report.cells.words import attack_name, norm_name, norm_unit, number, percent

WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 328, 10, 184


@dataclass(frozen=True)
class Chart:
    """The curves of one attack or bound, in the units of the drawing (y points down).

    Attributes
    ----------
    title
        In words.
    lines
        Model and SVG path.
    threshold
        Height of the dotted line.
    data
        JSON for the page's script: the same curves in perturbation and fooling rate.
    """

    title: str
    result: AttackResult | StrongestBound
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    lines: Sequence[tuple[str, str]]
    threshold: float
    data: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = RIGHT
    top: int = TOP
    bottom: int = BOTTOM


def fooling_charts(cell: Cell, *, corners: int = 400) -> list[Chart]:
    """A chart for each attack whose curves are known; of a longer curve so many corners are kept."""
    return [
        _chart(attack_name(name), result, cell.threshold, corners)
        for name, result in cell.attacks.items()
        if result.curves
    ]


def strongest_charts(cell: Cell, *, corners: int = 400) -> list[Chart]:
    """A chart of the strongest bound known in each norm of two attacks or more: one attack's own curve is its bound."""
    return [
        _chart(f"Any {norm_name(bound.norm)} attack", bound, cell.threshold, corners)
        for bound in cell.strongest
        if len(bound.attacks) > 1
    ]


def thin(curve: Curve, corners: int) -> Curve:
    """At most so many corners of a curve, evenly chosen, the first and the last among them."""
    if len(curve.epsilon) <= corners:
        return curve
    kept = np.unique(np.linspace(0, len(curve.epsilon) - 1, corners).round().astype(int))
    return Curve([curve.epsilon[row] for row in kept], [curve.fooling_rate[row] for row in kept])


def _chart(title: str, result: AttackResult | StrongestBound, threshold: float, corners: int) -> Chart:
    curves = {model: thin(curve, corners) for model, curve in result.curves.items()}
    largest = max((curve.epsilon[-1] for curve in curves.values() if curve.epsilon), default=0.0) or 1.0
    ticks = [tick for tick in MaxNLocator(5).tick_values(0, largest) if 0 <= tick <= largest]
    return Chart(
        title=title,
        result=result,
        x_ticks=[(round(_across(tick, largest), 1), number(float(tick))) for tick in ticks],
        y_ticks=[(round(_up(rate), 1), percent(rate, 0)) for rate in (0, 0.25, 0.5, 0.75, 1)],
        lines=[(model, _path(curve, largest)) for model, curve in curves.items()],
        threshold=round(_up(threshold), 1),
        data=json.dumps(
            {
                "left": LEFT,
                "right": RIGHT,
                "largest": largest,
                "unit": norm_unit(result.norm),
                "curves": {
                    model: {
                        "x": [float(f"{value:.4g}") for value in curve.epsilon],
                        "y": [float(f"{value:.4g}") for value in curve.fooling_rate],
                    }
                    for model, curve in curves.items()
                },
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ),
    )


def _across(epsilon: float, largest: float) -> float:
    return LEFT + (RIGHT - LEFT) * epsilon / largest


def _up(rate: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * rate


def _path(curve: Curve, largest: float) -> str:
    steps = [f"M{LEFT} {BOTTOM}"]
    for epsilon, rate in zip(curve.epsilon, curve.fooling_rate, strict=True):
        steps.append(f"H{_across(epsilon, largest):.1f}V{_up(rate):.1f}")
    return "".join([*steps, f"H{RIGHT}"])
