"""Accuracies of the six models in all folds, clean and adversarially trained, and under PGD-20.

    python -m benchmarks.accuracy measure --pictures data/pictures/pictures.npy --split data/split.csv --classes 50 \\
        --model vgg16 --pretrained weights --epochs 20 --epsilons 2,4,8,16 --json results/vgg16.json --models models
    python -m benchmarks.accuracy table results/*.json --out table.md

`measure` trains one network in every fold for each defence and training ε, and writes one JSON file. With
`--models` the network that validation picks is kept, for the attacks: the robust ones of the clean one's fold.
"""

from __future__ import annotations

import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from advaudio.core.files import read_json, write_json, write_text
from advaudio.core.metric_names import PGD_ACCURACY_AT
from advaudio.core.params import TrainingBudget
from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.report.cells.words import dataset_name, representation_name
from advaudio.training.folds import train_folds
from advaudio.training.job import TrainingJob
from advaudio.training.result import TrainingResult
from benchmarks.markdown_table import markdown_table
from benchmarks.measurements import commit

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

PGD_EPSILONS = (1, 2, 4, 8)
"""L∞ bounds of PGD-20, in 1/255."""


@app.command()
def measure(
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write")],
    pictures: Annotated[Path, typer.Option(help=".npy of float32 pictures in [0, 1]")],
    split: Annotated[Path, typer.Option(help="split.csv")],
    classes: int = 50,
    model: str = "vgg16",
    pretrained: str = "none",
    epochs: int = 20,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    label_smoothing: float = 0.0,
    defences: Annotated[str, typer.Option(help="comma-separated: none, fgsm, fgsm_rs, pgd")] = "none,fgsm",
    epsilons: Annotated[str, typer.Option(help="of training, in 1/255, comma-separated")] = "8",
    repeats: int = 1,
    seed: int = 0,
    device: str = "auto",
    models: Annotated[Path | None, typer.Option(help="folder that keeps the picked models")] = None,
    note: Annotated[str, typer.Option(help="data and representation, in words")] = "",
) -> None:
    """Accuracy over all folds, and under PGD-20 at 1, 2, 4 and 8 /255, clean and adversarially trained."""
    settings = TrainingSettings(
        batch_size=batch_size, learning_rate=learning_rate, label_smoothing=label_smoothing
    )
    cells: list[tuple[str | None, float | None]] = []
    for defence in defences.split(","):
        adversarial = [(defence, float(item)) for item in epsilons.split(",")]
        cells += [(None, None)] if defence == "none" else adversarial
    content = {
        "data": note,
        "model": model,
        "pretrained": Path(pretrained).name,
        "epochs": epochs,
        "repeats": repeats,
        "seed": seed,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "torch": torch.__version__,
        "commit": commit(),
        "date": date.today().isoformat(),
        "pgd": "nested",
        "training": settings.for_model(model, pretrained != "none").model_dump(),
        "rows": (rows := list[dict[str, Any]]()),
    }
    pick = None
    with tempfile.TemporaryDirectory() as scratch:
        for chosen, epsilon in cells:
            name = f"{model}-{chosen}-{epsilon:g}" if chosen else f"{model}-clean"
            started = time.perf_counter()
            job = TrainingJob(
                pictures=pictures,
                split=split,
                model=model,
                classes=classes,
                epochs=epochs,
                defence=chosen,
                training=settings,
                adversarial=AdversarialSettings(epsilon=(epsilon or 8) / 255),
                repeats=repeats,
                pretrained=pretrained,
                seed=seed,
                pick=pick,
                pgd_epsilons=tuple(bound / 255 for bound in PGD_EPSILONS),
            )
            result = train_folds(
                job,
                (models or Path(scratch)) / f"{name}.safetensors",
                device=device,
                checkpoint_folder=Path(scratch) / name,
            )
            if chosen is None:
                pick = (result.picked_repeat, result.picked_fold)
            row = _row(result, chosen, epsilon) | {"seconds": time.perf_counter() - started}
            rows.append(row)
            write_json(json_file, content)
            print(f"{name} {note}: {row['test_accuracy']:.1%}, PGD-20 {row['pgd_accuracy']}", flush=True)


def _row(result: TrainingResult, defence: str | None, epsilon: float | None) -> dict[str, Any]:
    folds = result.folds
    return {
        "defence": defence or "none",
        "training_epsilon_in_255ths": epsilon,
        **result.summary(),
        "pgd_accuracy": {
            str(bound): float(folds[f"{PGD_ACCURACY_AT}{bound}"].mean()) for bound in PGD_EPSILONS
        },
        "test_accuracy_by_fold": folds["test_accuracy"].tolist(),
        "epochs_by_fold": folds["epochs"].tolist(),
    }


@app.command()
def table(
    files: Annotated[list[Path], typer.Argument(help="what `measure` wrote, or records of cells")],
    out: Annotated[Path, typer.Option(help="Markdown file to write")],
) -> None:
    """One Markdown table of several measurements."""
    rows = []
    for file in files:
        content = read_json(file)
        rows += _rows_of_cell(content) if "params" in content else _rows_of_measurement(content)
    text = markdown_table(rows)
    write_text(out, text)
    print(text)


def _rows_of_measurement(content: dict[str, Any]) -> list[dict[str, str]]:
    pretrained = content["pretrained"] != "none"
    return [
        _line(
            content["data"],
            content["model"],
            pretrained,
            content["epochs"],
            row["defence"],
            row["training_epsilon_in_255ths"],
            row["test_accuracy"],
            float(np.std(row["test_accuracy_by_fold"], ddof=0)),
            list(row["pgd_accuracy"].values()),
            content.get("pgd") == "nested",
        )
        for row in content["rows"]
    ]


def _rows_of_cell(record: dict[str, Any]) -> list[dict[str, str]]:
    params = record["params"]
    training = TrainingBudget.model_validate(params["budgets"][params["budget"]]["training"])
    data = (
        f"{dataset_name(params['dataset'])}, split {params['split']['by']}, "
        f"{representation_name(params['representation'])}"
    )
    return [
        _line(
            data,
            params["model"],
            training.pretrained_of(params["model"]) != "none",
            training.epochs,
            "none" if model == "original" else params["defence"],
            None if model == "original" else 255 * params["adversarial_training"]["epsilon"],
            metrics["accuracy"],
            metrics["accuracy_std"],
            [metrics[f"{PGD_ACCURACY_AT}{bound}"] for bound in PGD_EPSILONS],
            "test_clips" in metrics,
        )
        for model, metrics in record["training"].items()
    ]


def _line(
    data: str,
    model: str,
    pretrained: bool,
    epochs: int,
    defence: str,
    epsilon: float | None,
    accuracy: float,
    spread: float,
    under_pgd: list[float],
    nested: bool,
) -> dict[str, str]:
    return {
        "data": data,
        "model": model,
        "weights": "pretrained" if pretrained else "random",
        "epochs": str(epochs),
        "training": "clean" if epsilon is None else f"{defence}, ε = {epsilon:.3g}/255",
        "accuracy %": f"{100 * accuracy:.1f} ± {100 * spread:.1f}",
        **{
            f"PGD-20 {bound}/255 %": f"{100 * value:.1f}"
            for bound, value in zip(PGD_EPSILONS, under_pgd, strict=True)
        },
        "PGD": "nested" if nested else "each ε alone",
    }


if __name__ == "__main__":
    app()
