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
from advaudio.robustness.rho import both_reach, rho, rho_common, rho_equal_shares, rho_median
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
    common: float | str | None = NOT_IN_RECORD
    if "clips" in record:
        kept = record["clips"]["perturbations"][attack]
        pairs = (perturbations_of(kept[model]) for model in models)
        common = rho_common(*pairs) if reached else None
    return {
        **{f"{model}_clips": len(values) for model, values in models.items()},
        **{f"{model}_fooled": float(np.isfinite(values).mean()) for model, values in models.items()},
        "rho": paper,
        "rho_equal_shares": rho_equal_shares(before, after) if reached else None,
        "rho_median": rho_median(before, after),
        "rho_common": common,
    }


def read_cell(path: Path) -> dict[str, Any]:
    """All attacks of a record, and each reading's mean over the attacks that reach the threshold on both models.

    Raises
    ------
    AdvaudioError
        If the file is no record, or one without fooling curves.
    """
    record = read_json(path, "params", "attacks")
    try:
        attacks = {attack: read_attack(record, attack, str(path)) for attack in record["attacks"]}
        params = record["params"]
        title = f"{model_name(params['model'])}, {representation_name(params['representation'])}"
    except (KeyError, TypeError) as error:
        raise AdvaudioError(
            f"{path} has no fooling curves of its attacks: {type(error).__name__} {error}."
        ) from error
    # Two records can be of the same model and representation: the study tells them apart.
    origin = path.parent.parent.name if path.parent.name == "cells" else path.parent.name
    comparable = [found for found in attacks.values() if found["rho"] is not None]
    means: dict[str, float | str | None] = {}
    for reading in READINGS:
        values = [found[reading] for found in comparable]
        numbers = [value for value in values if isinstance(value, float)]
        means[reading] = (
            float(np.mean(numbers)) if numbers else NOT_IN_RECORD if NOT_IN_RECORD in values else None
        )
    return {
        "record": path.as_posix(),
        "cell": f"{title} ({origin})",
        "mean": {**means, "attacks": len(comparable)},
        "attacks": attacks,
    }


def changed_signs(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Where another reading lies on the other side of 1 than the paper's: of an attack, or of the mean of a cell."""
    found = []
    for cell in cells:
        for name, own in {"mean": cell["mean"], **cell["attacks"]}.items():
            for reading in READINGS[1:]:
                paper, other = own["rho"], own[reading]
                if paper is not None and isinstance(other, float) and (paper > 1) != (other > 1):
                    found.append(
                        {
                            "cell": cell["cell"],
                            "attack": name,
                            "reading": reading,
                            "rho": paper,
                            "other": other,
                        }
                    )
    return found


def ranking(cells: Sequence[Mapping[str, Any]], reading: str) -> dict[str, Any]:
    """How cells rank by the mean of a reading, beside the paper's: of cells that have both.

    Returns
    -------
    dict
        `cells`; `kendall`, the rank correlation (−1 to 1, ties count for neither order); `swapped` of `pairs`, in which
        the order is another; `first` and `last`, names by the paper's and by this reading.
    """
    known = [
        cell for cell in cells if cell["mean"]["rho"] is not None and isinstance(cell["mean"][reading], float)
    ]
    pairs = list(combinations(known, 2))
    signs = [
        np.sign(one["mean"]["rho"] - other["mean"]["rho"])
        * np.sign(one["mean"][reading] - other["mean"][reading])
        for one, other in pairs
    ]

    def ends(name: str) -> list[str]:
        ordered = sorted(known, key=lambda cell: -cell["mean"][name])
        return [ordered[0]["cell"], ordered[-1]["cell"]] if ordered else []

    return {
        "cells": len(known),
        "pairs": len(pairs),
        "swapped": int(sum(sign < 0 for sign in signs)),
        "kendall": float(np.mean(signs)) if signs else None,
        "first_and_last": {"rho": ends("rho"), reading: ends(reading)},
    }


def main(
    records: Annotated[list[Path], typer.Argument(help="records of cells")],
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write; a table goes beside it")],
) -> None:
    """Read every record, and say which signs and rankings change."""
    cells = [read_cell(path) for path in records]
    # Cells of one grid are ranked among themselves: others have other budgets and clips.
    grid = [cell for cell in cells if "/cells/" in f"/{cell['record']}"]
    rankings = {reading: ranking(grid, reading) for reading in READINGS[1:]}
    signs = changed_signs(cells)
    write_json(json_file, {"cells": cells, "changed_signs": signs, "rankings_of_the_grid": rankings})
    text = (
        "Mean over the attacks that reach the threshold on both models:\n\n"
        + _table_of_cells(cells)
        + "\nOf each such attack:\n\n"
        + _table_of_attacks(cells)
        + "\nOn the other side of 1 than the paper's:\n\n"
        + _table_of_signs(signs)
    )
    write_text(json_file.with_suffix(".md"), text)
    print(text)


def _table_of_cells(cells: Sequence[Mapping[str, Any]]) -> str:
    lines = []
    for cell in cells:
        own = cell["mean"]
        lines.append(
            {"cell": cell["cell"], **{TITLES[reading]: _printed(own[reading]) for reading in READINGS}}
            | {"attacks": str(own["attacks"])}
        )
    return markdown_table(lines, numbers_from=1)


def _table_of_attacks(cells: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        {
            "cell": cell["cell"],
            "attack": attack_name(name),
            "fooled, original": f"{own['original_fooled']:.1%}",
            "fooled, robust": f"{own['robust_fooled']:.1%}",
            **{TITLES[reading]: _printed(own[reading]) for reading in READINGS},
        }
        for cell in cells
        for name, own in cell["attacks"].items()
        if own["rho"] is not None
    ]
    return markdown_table(lines, numbers_from=2)


def _table_of_signs(signs: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        {
            "cell": found["cell"],
            "attack": "mean" if found["attack"] == "mean" else attack_name(found["attack"]),
            "reading": TITLES[found["reading"]],
            "paper": _printed(found["rho"], 3),
            "this reading": _printed(found["other"], 3),
        }
        for found in signs
    ]
    return markdown_table(lines, numbers_from=3) or "None.\n"


def _printed(value: float | str | None, digits: int = 2) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:.{digits}f}"


if __name__ == "__main__":
    typer.run(main)
