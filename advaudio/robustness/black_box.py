"""A sign of hidden gradients: an attack without gradients that fools more clips than those with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.clip_results import MODELS
from advaudio.robustness.fooling_curve import fooling_rate
from advaudio.robustness.rho import aligned


def white_box_beats_black_box(
    tables: Mapping[str, pd.DataFrame], *, tolerance: float = 0.05
) -> dict[str, dict[str, Any]]:
    """Compare finished L∞ attacks with the same targets: no black-box curve may lie above the white-box one.

    Parameters
    ----------
    tables
        Name of each attack to its table of clips (see `advaudio.attack_interface.clip_results`); an attack that
        asked for scores and never for a gradient is a black-box one.
    tolerance
        By how much the black-box rate may be higher, as a share of the clips.

    Returns
    -------
    dict
        Model to `passed` (None: there are no two such attacks) and, at the ε where the black-box rate is a
        quarter, half and three quarters of its highest, both rates.
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
        ours, theirs = values[: len(white)].min(axis=0), values[len(white) :].min(axis=0)
        finite = theirs[np.isfinite(theirs)]
        epsilons = [float(value) for value in np.quantile(finite, [0.25, 0.5, 0.75])] if len(finite) else []
        pairs = [(fooling_rate(ours, epsilon), fooling_rate(theirs, epsilon)) for epsilon in epsilons]
        checks[model] = {
            "passed": all((first or 0.0) >= (second or 0.0) - tolerance for first, second in pairs),
            "epsilon": epsilons,
            "white_box": [pair[0] for pair in pairs],
            "black_box": [pair[1] for pair in pairs],
        }
    return checks


def _is_linf(table: pd.DataFrame) -> bool:
    fooled = np.isfinite(table["perturbation"].to_numpy(dtype=float))
    own, linf = (table[name].to_numpy(dtype=float)[fooled] for name in ("perturbation", "linf"))
    return bool(fooled.any()) and bool(np.allclose(own, linf, rtol=1e-5, atol=0))


def _targets(table: pd.DataFrame) -> pd.Series[Any]:
    return table.drop_duplicates("sample").set_index("sample")["target"].sort_index()
