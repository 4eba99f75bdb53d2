"""The clips whose adversarial pictures an attack kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advaudio.report.cells.cell import Cell
from advaudio.report.cells.sources import Source, need_array, need_table

COLUMNS = ("model", "sample", "label", "adversarial_label", "perturbation", "decibels_rms")


@dataclass(frozen=True)
class Example:
    """One clip before and after an attack on one model that it fooled.

    Attributes
    ----------
    attack, model
        Names.
    sample
        Row of the clip in the table of all clips and copies.
    label, adversarial_label
        True class, and the one that the model takes it for.
    clean, adversarial
        Pictures (height, width) in [0, 1].
    perturbation, decibels
        In the attack's norm; root-mean-square change of the spectrogram in dB.
    """

    attack: str
    model: str
    sample: int
    label: int
    adversarial_label: int
    clean: NDArray[Any]
    adversarial: NDArray[Any]
    perturbation: float
    decibels: float


def kept_examples(source: Source, cell: Cell) -> list[Example]:
    """All kept clips that were fooled, by attack, model and clip; none where the pictures are not there."""
    found = []
    for attack in cell.attacks:
        folder = f"outputs/attacks/{attack}/examples"
        if source.read(f"{folder}/examples.csv") is None:
            continue
        table = need_table(source, f"{folder}/examples.csv", *COLUMNS)
        clean = need_array(source, f"{folder}/clean.npy", (None, None, None))
        for model, rows in table.groupby("model", sort=False):
            pictures = need_array(source, f"{folder}/{model}.npy", clean.shape)
            rows = rows.reset_index(drop=True)
            for position in np.flatnonzero(np.isfinite(rows["perturbation"].to_numpy(dtype=float))):
                row: Any = rows.loc[position]
                found.append(
                    Example(
                        attack=attack,
                        model=str(model),
                        sample=int(row["sample"]),
                        label=int(row["label"]),
                        adversarial_label=int(row["adversarial_label"]),
                        clean=clean[position],
                        adversarial=pictures[position],
                        perturbation=float(row["perturbation"]),
                        decibels=float(row["decibels_rms"]),
                    )
                )
    return found


def on_original(examples: Iterable[Example]) -> list[Example]:
    """One example per attack, of the original model: of the clip that most attacks fooled it on, if they did."""
    own = [example for example in examples if example.model == "original"]
    wanted = most_fooled(own)
    chosen: dict[str, Example] = {}
    for example in own:
        if example.attack not in chosen or example.sample == wanted:
            chosen[example.attack] = example
    return list(chosen.values())


def most_fooled(examples: Sequence[Example]) -> int | None:
    """The clip in most of the examples, the first of several."""
    counts: dict[int, int] = {}
    for example in examples:
        counts[example.sample] = counts.get(example.sample, 0) + 1
    return max(counts, key=lambda sample: counts[sample]) if counts else None
