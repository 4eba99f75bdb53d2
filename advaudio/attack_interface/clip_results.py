"""What an attack found, in files: one row per model and clip, from which every figure is computed.

`clips.csv`:

| column | meaning |
|---|---|
| `model` | `original` or `robust` |
| `sample` | number of the picture |
| `label`, `predicted` | true class, class the model gives the clean picture |
| `target` | wrong class to reach, −1 for an attack without a target |
| `perturbation` | smallest perturbation that fooled the model, in the attack's own norm; infinity: never fooled; empty: not classified correctly, so not attacked |
| `linf`, `l2`, `l0` | the same perturbation in each norm (L0: changed pixels); empty where there is none |
| `decibels_peak`, `decibels_rms` | largest and root-mean-square change of the spectrogram in dB; empty where there is none |
| `adversarial_label` | class the model gives the adversarial picture, −1 where there is none |
| `forwards`, `backwards`, `queries`, `iterations` | work spent on the clip, over all steps of the budget schedule |
| `budget_step` | last step of the budget schedule that the clip was attacked with, from 1; 0: not attacked |

`attack.json`: `norm`; `budget_schedule`, the budgets, cheapest first; `code`, the digest of the code of the attack's
class (`advaudio.core.resume.code_digest`), null in earlier ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_csv, read_json, write_csv, write_json

MODELS = ("original", "robust")
COLUMNS = (
    "model",
    "sample",
    "label",
    "predicted",
    "target",
    "perturbation",
    "linf",
    "l2",
    "l0",
    "decibels_peak",
    "decibels_rms",
    "adversarial_label",
    "forwards",
    "backwards",
    "queries",
    "iterations",
    "budget_step",
)
EARLIER_NAMES = {"rung": "budget_step"}
CLIPS = "clips.csv"
ABOUT = "attack.json"


@dataclass(frozen=True)
class AttackResults:
    """What an attack found on both models.

    Attributes
    ----------
    table
        One row per model and clip, with the columns of `clips.csv`.
    norm
        The attack's own: `linf`, `l2` or `l0`.
    budget_schedule
        The budgets that were available, cheapest first.
    code
        Digest of the code of the attack's class, None where it is not known.
    """

    table: pd.DataFrame
    norm: str
    budget_schedule: Sequence[Mapping[str, Any]]
    code: str | None = None

    def write(self, folder: Path) -> None:
        """Write `clips.csv` and `attack.json`; floats keep their exact value."""
        write_csv(folder / CLIPS, self.table[list(COLUMNS)])
        about = {"norm": self.norm, "budget_schedule": list(self.budget_schedule), "code": self.code}
        write_json(folder / ABOUT, about)


def read_attack_results(folder: Path) -> AttackResults:
    """Read what `AttackResults.write` wrote.

    Raises
    ------
    AdvaudioError
        If a file is missing or damaged, or the table has other columns.
    """
    about = read_json(folder / ABOUT, "norm", "budget_schedule")
    if not isinstance(about["budget_schedule"], list):
        raise AdvaudioError(
            f"{folder / ABOUT}: its budget_schedule is no list. Run `dvc checkout` to restore it."
        )
    table = read_clip_results(folder / CLIPS)
    return AttackResults(table, str(about["norm"]), about["budget_schedule"], about.get("code"))


def read_clip_results(path: Path) -> pd.DataFrame:
    """Read the table of an attack; one written before the columns had their present names is taken too.

    Raises
    ------
    AdvaudioError
        If the file is missing or has other columns.
    """
    # The default parser of older pandas does not return the very float that was written.
    table = read_csv(path, engine="python").rename(columns=EARLIER_NAMES)
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise AdvaudioError(
            f"{path} has no column {', '.join(missing)}. Run `dvc checkout` to restore it, or `dvc repro` to run "
            "the attack again."
        )
    return table
