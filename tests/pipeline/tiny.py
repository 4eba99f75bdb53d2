"""A clone whose pipeline runs in a minute: parameters so small that only the plumbing is left."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from studies.clone import TINY_NETWORK
from tests.pipeline.clone import Clone, make_clone

OWN_MODEL = "networks.tiny_network:build"
ATTACKS = ("bim_a", "bim_b", "jsma", "deepfool", "cwa", "pia")
ATTACK_STAGES = [f"attack@{name}" for name in ATTACKS]
STAGE_NAMES = [
    *("download", "augment", "stft", "dwt", "tonnetz", "append", "split", "train", "train_fgsm"),
    *ATTACK_STAGES,
    *("masking", "rho", "report"),
]
TINY: dict[str, Any] = {
    "datasets__demo__source": {"recordings_per_class": 3, "clips_per_recording": 1},
    "datasets__demo__clip_seconds": 1.0,
    "datasets__demo__spectrogram_size": [10, 16],
    "datasets__demo__tonnetz_size": [6, 16],
    "augment__pitch_scales": [0.9],
    # Low notes have long filters.
    "dwt__scales": 12,
    "dwt__minimum_frequency": 1000.0,
    "split__folds": 2,
    "training__batch_size": 8,
    "training__learning_rate": 0.01,
    "model": OWN_MODEL,
    # There alone are runs the same to the last bit, on a machine with a GPU too.
    "device": "cpu",
    "budgets__quick__training": {"epochs": 6, "repeats": 1, "pretrained": "none", "pgd_epsilons": []},
    "budgets__quick__masking": {"clips": 8, "epsilons": [0.02, 0.1], "steps": [2, 4], "restarts": 1},
    "budgets__quick__attacks": {
        "bim_a": [{"steps": 5}],
        "bim_b": [{"steps": 5}],
        "jsma": [{"iterations": 20}],
        "deepfool": [{"iterations": 20}],
        "cwa": [{"search_steps": 3, "iterations": 20}],
        "pia": [{"iterations": 10, "samples": 8}],
    },
    "evaluation__bootstrap_samples": 50,
}


def make_tiny_clone(folder: Path) -> Clone:
    """A clone with tiny parameters and no results, committed."""
    clone = make_clone(folder)
    clone.change_params(**TINY)
    shutil.copy2(TINY_NETWORK, folder / "networks")
    (folder / "dvc.lock").unlink(missing_ok=True)
    clone.commit("tiny parameters")
    return clone
