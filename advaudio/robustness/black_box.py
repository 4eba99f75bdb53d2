"""A sign of hidden gradients: an attack without gradients that fools more clips than those with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS
from advaudio.core.paired_rates import TOLERANCE, more_often
from advaudio.robustness.rho import aligned

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
PRECISION = 1.15
"""Factor within which perturbations count as equal: the coarsest search of our budgets ends there."""


def white_box_beats_black_box(
    tables: Mapping[str, pd.DataFrame], *, tolerance: float = TOLERANCE
) -> dict[str, dict[str, Any]]:
    """Compare finished L∞ attacks with the same targets: no black-box curve may lie above the white-box one.

    Each side is the smallest perturbation that its attacks found for a clip. The sides are compared at `QUANTILES` of the
    black box's own norms, but not where the white box fools every clip: nothing could exceed it there.

    Parameters
    ----------
    tables
        Name of each attack to its table of clips (see `advaudio.attack_interface.clip_results`); an attack that
        asked for scores and never for a gradient is a black-box one.
    tolerance
        By how much the black-box rate may be higher, as a share of the clips; it must also be higher beyond chance
        (`advaudio.core.paired_rates.more_often`).

    Returns
    -------
    dict
        Model to `passed` (None: there are no two such attacks, or nothing to compare at any ε). Where there are two
        attacks also the ε compared at, both rates there, and the shares of the clips on which the perturbation of one
        side is smaller by more than `PRECISION`: `black_box_smaller` and `white_box_smaller`.
    """
    comparable = {name: table for name, table in tables.items() if _is_linf(table)}
    black = {name: table for name, table in comparable.items() if not table["backwards"].any()}
    targets = [_targets(table) for table in black.values()]
    white = {
        name: table
        for name, table in comparable.items()
        if name not in black and any(_targets(table).equals(wanted) for wanted in targets)
    }
    if not white:
        return {model: {"passed": None} for model in MODELS}
    checks: dict[str, dict[str, Any]] = {}
    for model in MODELS:
        values = aligned({**white, **black}, model)
        if not values.size:
            checks[model] = {"passed": None}
            continue
        ours, theirs = values[: len(white)].min(axis=0), values[len(white) :].min(axis=0)
        finite = theirs[np.isfinite(theirs)]
        quantiles = np.quantile(finite, QUANTILES, method="inverted_cdf") if len(finite) else finite
        epsilons = [float(value) for value in np.unique(quantiles) if not (ours <= value).all()]
        cheaper, dearer = theirs * PRECISION < ours, ours * PRECISION < theirs
        worse = more_often(cheaper, dearer, tolerance=tolerance) or any(
            more_often(theirs <= epsilon, ours <= epsilon, tolerance=tolerance) for epsilon in epsilons
        )
        checks[model] = {
            "passed": not worse if epsilons else None,
            "epsilon": epsilons,
            "white_box": [float(np.mean(ours <= epsilon)) for epsilon in epsilons],
            "black_box": [float(np.mean(theirs <= epsilon)) for epsilon in epsilons],
            "black_box_smaller": float(cheaper.mean()),
            "white_box_smaller": float(dearer.mean()),
        }
    return checks


def _is_linf(table: pd.DataFrame) -> bool:
    fooled = np.isfinite(table["perturbation"].to_numpy(dtype=float))
    own, linf = (table[name].to_numpy(dtype=float)[fooled] for name in ("perturbation", "linf"))
    return bool(fooled.any()) and bool(np.allclose(own, linf, rtol=1e-5, atol=0))


def _targets(table: pd.DataFrame) -> pd.Series[Any]:
    return table.drop_duplicates("sample").set_index("sample")["target"].sort_index()
