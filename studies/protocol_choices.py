"""What the paper leaves open, decided on validation clips: the transforms' settings, and the epochs that a model needs.

    python -m studies.protocol_choices data/augmented --json results/protocol-choices/choices.json

`data/augmented` is the store of clips that the stage `augment` makes. Each choice trains five folds, split by
recording, and reports the best validation accuracy of each. Test clips decide nothing. What the JSON file holds already
is not trained again, so a run that was stopped goes on; `--minutes` ends it in time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from advaudio.clips.clip_store import ClipStore
from advaudio.clips.split import split
from advaudio.core.files import read_json, write_csv, write_json
from advaudio.representations.append import append
from advaudio.representations.dwt import build_dwt
from advaudio.representations.stft import build_stft
from advaudio.representations.tonnetz import build_tonnetz
from advaudio.training.folds import train_folds
from advaudio.training.job import TrainingJob

DWT: dict[str, dict[str, Any]] = {
    "DWT to 4000 Hz": {},
    "DWT to 5500 Hz": {"maximum_frequency": 5500.0},
    "DWT to 7600 Hz": {"maximum_frequency": 7600.0},
    "DWT to 7900 Hz": {"maximum_frequency": 7900.0},
    "DWT from 120 to 7600 Hz": {"minimum_frequency": 120.0, "maximum_frequency": 7600.0},
    "DWT to 7600 Hz, 60 dB": {"maximum_frequency": 7600.0, "dynamic_range": 60.0},
    "DWT to 7600 Hz, 100 dB": {"maximum_frequency": 7600.0, "dynamic_range": 100.0},
    "DWT to 7600 Hz, 64 scales": {"maximum_frequency": 7600.0, "scales": 64},
    "DWT to 7600 Hz, 256 scales": {"maximum_frequency": 7600.0, "scales": 256},
    "DWT to 7900 Hz, 60 dB": {"maximum_frequency": 7900.0, "dynamic_range": 60.0},
    "DWT to 7900 Hz, 50 dB": {"maximum_frequency": 7900.0, "dynamic_range": 50.0},
    "DWT to 7900 Hz, 40 dB": {"maximum_frequency": 7900.0, "dynamic_range": 40.0},
}
STFT: dict[str, dict[str, Any]] = {
    "STFT": {},
    "STFT, 60 dB": {"dynamic_range": 60.0},
    "STFT, 100 dB": {"dynamic_range": 100.0},
    "STFT, hop 1024": {"hop_length": 1024},
    "STFT, 128 x 192": {"size": (128, 192)},
}
PAIR = "DWT to 7600 Hz + tonnetz"
TRANSFORM_EPOCHS = 16
EPOCHS = (4, 8, 12, 20, 40, 60)


def main(
    store: Annotated[Path, typer.Argument(help="augmented clips, such as data/augmented")],
    json: Annotated[Path, typer.Option(help="results; finished ones there are kept")],
    models: Annotated[str, typer.Option(help="names, separated by commas")] = "alexnet,resnet18",
    weights: Annotated[
        Path | None, typer.Option(help="folder of files MODEL-*; a model without one starts from noise")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0, help="start no training after so many minutes")] = 600,
    seed: int = 0,
) -> None:
    """Train what the file does not hold yet, on a CUDA GPU."""
    ends = time.monotonic() + 60 * minutes
    found: dict[str, Any] = read_json(json) if json.exists() else {}
    wanted = [(name, TRANSFORM_EPOCHS) for name in (*DWT, *STFT)] + [(PAIR, count) for count in EPOCHS]
    clips = ClipStore.open(store)
    with tempfile.TemporaryDirectory() as folder:
        work, made = Path(folder), ""
        write_csv(work / "split.csv", split(clips.table, by="source", folds=5, seed=seed))
        for name, epochs in wanted:
            for model in models.split(","):
                key = f"{name} | {model} | {epochs} epochs | seed {seed}"
                if key in found or time.monotonic() > ends:
                    continue
                if made != name:
                    build_pictures(clips, work, name)
                    made = name
                found[key] = _train(work, name, model, epochs, weights, seed, clips.table["label"].nunique())
                write_json(json, found)
                typer.echo(f"{key}: {100 * found[key]['mean_validation_accuracy']:.2f} %")


def build_pictures(clips: ClipStore, work: Path, name: str) -> None:
    """Write the pictures of a choice to `work`/pictures.npy."""
    pictures = work / "pictures.npy"
    if name in STFT:
        build_stft(clips, pictures, device="cuda", **STFT[name])
    elif name in DWT:
        build_dwt(clips, pictures, device="cuda", **DWT[name])
    else:
        build_dwt(clips, work / "dwt.npy", device="cuda", maximum_frequency=7600.0)
        build_tonnetz(clips, work / "tonnetz.npy", device="cuda")
        append(work / "dwt.npy", work / "tonnetz.npy", pictures)


def _train(
    work: Path, name: str, model: str, epochs: int, weights: Path | None, seed: int, classes: int
) -> dict[str, Any]:
    started = time.monotonic()
    start = None if weights is None else next(iter(sorted(weights.glob(f"{model}-*"))), None)
    job = TrainingJob(
        pictures=work / "pictures.npy",
        split=work / "split.csv",
        model=model,
        classes=classes,
        epochs=epochs,
        pretrained="none" if start is None else str(start),
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as scratch:
        result = train_folds(job, work / "model.safetensors", checkpoint_folder=Path(scratch), device="cuda")
    accuracies = [float(value) for value in result.folds["validation_accuracy"]]
    return {
        "variant": name,
        "model": model,
        "epochs": epochs,
        "seed": seed,
        "mean_validation_accuracy": sum(accuracies) / len(accuracies),
        "validation_accuracy": accuracies,
        "best_epoch": [int(value) for value in result.folds["best_epoch"]],
        "curves": {
            str(fold): [round(float(value), 4) for value in rows["validation_accuracy"]]
            for fold, rows in result.curves.groupby("fold")
        },
        "seconds": round(time.monotonic() - started, 1),
        "gpu": torch.cuda.get_device_name(),
    }


if __name__ == "__main__":
    typer.run(main)
