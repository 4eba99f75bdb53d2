"""A finished cell with everything that its page shows: trainings, pictures, clips to hear, checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.files import open_array, write_csv, write_json
from advaudio.evaluation.attack_evaluation import EXAMPLES
from advaudio.report.pages.cell_page import Files
from advaudio.representations.stft import build_stft
from tests.report.cells import NORMS, write_cell

RATE, SECONDS = 16_000, 0.7
NAMES = ["dog_bark", "siren"]
CHANGES = {"original": 0.01, "robust": 0.03}
CHECKS: dict[str, dict[str, Any]] = {
    "gradients_do_not_vanish": {"passed": True, "share_without_gradient": 0.0},
    "more_steps_never_weaker": {
        "passed": True,
        "epsilon": 0.0157,
        "steps": [5, 10],
        "fooling_rate": [0.4, 0.5],
    },
    "iterative_beats_single_step": {
        "passed": True,
        "epsilon": [0.0078, 0.0157],
        "single_step": [0.3, 0.4],
        "iterative": [0.5, 0.9],
    },
    "unbounded_reaches_all": {"passed": False, "fooling_rate": 0.75},
    "outside_attack_adds_little": {"passed": None, "epsilon": 0.0157, "ours": 0.5, "theirs": None},
}


def write_whole_cell(folder: Path, names: Sequence[str] = NAMES, **settings: Any) -> Files:
    """Write a cell with these class names, these `cells.Settings` and all that its page reads."""
    write_cell(folder, **settings)
    data = folder / "data"
    files = Files(
        folder=folder,
        pictures=data / "pictures" / "pictures.npy",
        clips=data / "raw" / "clips.csv",
        dataset=data / "raw" / "dataset.json",
        augmented=data / "augmented",
    )
    _write_clips_and_pictures(files, names)
    write_csv(files.clips, pd.DataFrame({"label": [0, 1], "class_name": names}))
    facts = {"title": f"Sounds of {names[0]}", "licence": "CC0", "citation": names[1], "archive": None}
    write_json(files.dataset, {**facts, "clips": 2, "recordings": 2, "dropped_clips": 0})
    clean = open_array(files.pictures)
    for attack in NORMS:
        kept = folder / "outputs" / "attacks" / attack / EXAMPLES
        np.save(kept / "clean.npy", clean)
        for model, change in CHANGES.items():
            np.save(kept / f"{model}.npy", np.clip(clean - np.float32(change), 0, 1))
    for training in ("train", "train_fgsm"):
        _write_training(folder / "outputs" / training, names)
    write_json(folder / "outputs" / "masking.json", {"original": CHECKS, "robust": CHECKS})
    return files


def _write_clips_and_pictures(files: Files, names: Sequence[str]) -> None:
    generator = np.random.default_rng(0)
    time = np.arange(int(SECONDS * RATE)) / RATE
    with ClipStoreWriter(files.augmented, RATE) as writer:
        for label, name in enumerate(names):
            audio = np.sin(2 * np.pi * 700 * (1 + label) * time) + 0.1 * generator.standard_normal(len(time))
            writer.append(audio / np.abs(audio).max(), clip=f"{label}.wav", label=label, class_name=name)
    build_stft(
        ClipStore.open(files.augmented),
        files.pictures,
        size=(32, 24),
        clip_seconds=SECONDS,
        sample_rate=RATE,
        n_fft=512,
        hop_length=128,
    )


def _write_training(folder: Path, names: Sequence[str]) -> None:
    epochs = [(fold, epoch) for fold in range(2) for epoch in range(1, 5)]
    table = pd.DataFrame(epochs, columns=["fold", "epoch"])
    for name, start, step in (
        ("train_accuracy", 0.4, 0.12),
        ("validation_accuracy", 0.35, 0.1),
        ("train_loss", 2.0, -0.4),
        ("validation_loss", 2.1, -0.3),
        ("probe_accuracy", 0.1, 0.08),
    ):
        table[name] = start + step * table["epoch"] + 0.02 * table["fold"]
    write_csv(folder / "epochs.csv", table)
    pairs = {"actual": [*names] * 5, "predicted": [*names] * 4 + [*reversed(names)]}
    write_csv(folder / "confusion.csv", pd.DataFrame(pairs))
    write_json(folder / "summary.json", {"test_balanced_accuracy": 0.79, "picked": {"test_accuracy": 0.8}})
