"""ESC-10: the 400 clips of ESC-50 in ten well-told-apart classes, under a freer licence (Piczak 2015)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advaudio.datasets.archive import Container
from advaudio.datasets.esc_archive import CITATION, HOMEPAGE, REMOTE, list_esc_clips
from advaudio.datasets.source import Source


def list_clips(container: Container, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of ESC-50, those of ESC-10 wanted, their ten classes numbered from 0 in ESC-50's order."""
    table = list_esc_clips(container, settings).rename(columns={"esc10": "wanted"})
    targets = sorted(table["label"][table["wanted"]].unique())
    table["label"] = table["label"].map({target: label for label, target in enumerate(targets)}).fillna(-1)
    return table.astype({"label": int})


SOURCE = Source(
    title="ESC-10",
    licence="CC BY 3.0 (each clip: see LICENSE in the archive)",
    citation=CITATION,
    homepage=HOMEPAGE,
    clips=400,
    classes=10,
    folds=5,
    remote=REMOTE,
    list_clips=list_clips,
)
