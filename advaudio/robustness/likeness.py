"""How much adversarial examples differ from their originals, clip by clip, so that a median gets an interval."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from advaudio.attack_interface.clip_results import MODELS


def changes_in_decibels(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, list[float]]]:
    """Attack → model → root-mean-square change of the spectrogram of each fooled clip in dB, the smallest first."""
    return {
        name: {
            model: sorted(table.loc[table["model"] == model, "decibels_rms"].dropna().tolist())
            for model in MODELS
        }
        for name, table in tables.items()
    }
