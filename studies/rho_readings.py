"""What ρ says when it is read in other ways: over equal shares of both models' clips, and by medians.

    python -m studies.rho_readings results/*/results.json results/esc50-grid/cells/*.json --json FILE

writes that file, and a table (.md) beside it. The sorted perturbations of each model are rebuilt from the corners of
its fooling curve in the record, exactly: each corner is a number of clips of the clips attacked. Which clip is which is
not in records of before 2026-12; then ρ on common clips cannot be computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json, write_json, write_text
from advaudio.report.cells.words import attack_name, model_name, representation_name
from advaudio.robustness.fooling_curve import Array
from advaudio.robustness.recordings import perturbations_of
from advaudio.robustness.rho import both_reach, readings, rho, rho_common
from benchmarks.markdown_table import markdown_table

READINGS = ("rho", "rho_equal_shares", "rho_median", "rho_common")
TITLES = {
    "rho": "paper",
    "rho_equal_shares": "equal shares",
    "rho_median": "medians",
    "rho_common": "common clips",
}
NOT_IN_RECORD = "not in this record"
ROUNDING = 1e-9
"""How far shares of clips, as floats, are from whole numbers of clips."""


def sorted_perturbations(details: Mapping[str, Any], origin: str) -> Array:
    """Perturbations of the clips that a model has right, ascending, infinity where it was not fooled: (clips,).

    Parameters
    ----------
    details
        `clips_attacked`, `clips_fooled` and `curve` of one attack on one model, as a record has them.

    Raises
    ------
    AdvaudioError
        If a corner of the curve is no whole number of clips, or they are not those that were fooled.
    """
    clips, fooled = details["clips_attacked"], details["clips_fooled"]
    steps = np.diff([0.0, *details["curve"]["fooling_rate"]]) * clips
    counts = np.round(steps).astype(int)
    if np.abs(steps - counts).max(initial=0.0) > ROUNDING * max(clips, 1) or counts.sum() != fooled:
        raise AdvaudioError(f"{origin}: the fooling curve is not that of {fooled} of {clips} clips.")
    values = np.repeat(np.asarray(details["curve"]["epsilon"], dtype=float), counts)
    return np.concatenate((values, np.full(clips - fooled, np.inf)))


def read_attack(record: Mapping[str, Any], attack: str, origin: str) -> dict[str, Any]:
    """The readings of ρ of one attack, None where one is undefined, and how many clips they are of.

    Raises
    ------
    AdvaudioError
        If the curve is damaged, or does not give the ρ that the record has.
    """
    details = record["attacks"][attack]
    models = {
        model: sorted_perturbations(details["models"][model], f"{origin}, {attack}, {model}")
        for model in ("original", "robust")
    }
    threshold = details["threshold"]
    before, after = models["original"], models["robust"]
    reached = both_reach(before, after, threshold)
    paper = rho(before, after) if reached else None
    written = details["metrics"]["rho"]
    if paper is not None and (written is None or not np.isclose(paper, written, rtol=1e-9)):
        raise AdvaudioError(f"{origin}, {attack}: the curves give ρ {paper}, the record says {written}.")
    # Sorted values are no pairs, and these two readings need none.
    found = readings(before, after, threshold) if len(before) == len(after) else _unpaired(before, after, threshold)
    common: float | str | None = NOT_IN_RECORD
    if "clips" in record:
        kept = record["clips"]["perturbations"][attack]
        pairs = (perturbations_of(kept[model]) for model in models)
        common = rho_common(*pairs) if reached else None
    return {
        **{f"{model}_clips": len(values) for model, values in models.items()},
        **{f"{model}_fooled": float(np.isfinite(values).mean()) for model, values in models.items()},
        "rho": paper,
        "rho_equal_shares": found["rho_equal_shares"],
        "rho_median": found["rho_median"],
        "rho_common": common,
    }
