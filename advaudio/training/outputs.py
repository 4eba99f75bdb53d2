"""What a training leaves behind: the model, and the files for the report, the plots and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from advaudio.core.files import read_json, write_csv, write_json
from advaudio.core.metrics_file import write_metrics
from advaudio.core.progress import Progress, silent
from advaudio.training.accuracy import accuracy_over_folds, drop_ratio
from advaudio.training.checkpoints import remove_finished
from advaudio.training.collapse import COLLAPSE_STEPS
from advaudio.training.folds import train_folds
from advaudio.training.job import TrainingJob
from advaudio.training.loop import Epoch
from advaudio.training.result import TrainingResult

EPOCHS = "epochs.csv"
FOLDS = "folds.csv"
LEARNING_CURVES = "learning_curves.csv"
CONFUSION = "confusion.csv"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class TrainingFiles:
    """Where a training writes.

    Parameters
    ----------
    model
        The published model.
    tables
        Folder of the tables (see `write_tables`).
    metrics
        JSON file of the metrics.
    checkpoints
        Folder of the checkpoints, to resume from.
    """

    model: Path
    tables: Path
    metrics: Path
    checkpoints: Path


def train_and_write(
    job: TrainingJob,
    files: TrainingFiles,
    class_names: Sequence[str],
    *,
    device: str = "auto",
    original: Path | None = None,
    progress: Progress = silent,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train in folds (see `train_folds`), write model, tables and metrics, and remove the checkpoints.

    Parameters
    ----------
    job
        What to train.
    files
        Where to write.
    class_names
        Name of every class, in the order of the labels.
    device
        `auto`, `cpu` or `cuda`.
    original
        `summary.json` of the original model's training. If it is given, the metrics hold what adversarial
        training cost of the accuracy there, and in how many folds it collapsed.
    progress, on_epoch
        As in `train_folds`.
    """
    clean_accuracy = None if original is None else read_json(original, "test_accuracy")["test_accuracy"]
    result = train_folds(
        job,
        files.model,
        device=device,
        checkpoint_folder=files.checkpoints,
        progress=progress,
        on_epoch=on_epoch,
    )
    write_tables(result, files.tables, class_names)
    write_metrics(files.metrics, training_metrics(result, clean_accuracy), shown=["accuracy"])
    remove_finished(files.checkpoints)
    return result


def training_metrics(result: TrainingResult, clean_accuracy: float | None = None) -> dict[str, Any]:
    """The metrics of a training, as JSON values; beside `clean_accuracy`, those of adversarial training too."""
    accuracy = accuracy_over_folds(result.folds)
    metrics: dict[str, Any] = {**accuracy, "test_clips": result.test_clips}
    if clean_accuracy is not None:
        metrics["drop_ratio"] = drop_ratio(clean_accuracy, accuracy["accuracy"])
        metrics["collapsed_folds"] = result.collapsed_folds
        metrics["collapse"] = result.collapse_by_fold()
    return metrics


def collapse_warning(result: TrainingResult) -> str | None:
    """A paragraph that names each fold whose adversarial training collapsed, with what shows it; None without one."""
    folds = {name: fold for name, fold in result.collapse_by_fold().items() if fold["collapsed"]}
    if not folds:
        return None
    lines = [
        f"  {name}: one step of FGSM fools {fold['fooled_by_one_step']:.0%} of {fold['clips']} validation clips, "
        f"{COLLAPSE_STEPS} steps of PGD fool {fold['fooled_by_iterations']:.0%} (L∞ {fold['epsilon']:.4g})"
        for name, fold in folds.items()
    ]
    return (
        f"Warning: adversarial training collapsed in {len(folds)} of {len(result.folds)} folds "
        "(catastrophic overfitting: the network withstands single steps, not iterations).\n"
        + "\n".join(lines)
        + "\nA smaller adversarial_training.epsilon, or defence: fgsm_rs or pgd, helps."
    )


def write_tables(result: TrainingResult, folder: Path, class_names: Sequence[str]) -> None:
    """Write the tables of a training into `folder`.

    - `epochs.csv`: one row per repeat, fold and epoch.
    - `folds.csv`: one row per repeat and fold.
    - `learning_curves.csv`: means over the folds, one row per epoch that every fold reached, for plots.
    - `confusion.csv`: columns `actual` and `predicted`, one row per test clip of the picked model.
    - `summary.json`: `TrainingResult.summary` and the layers that were pretrained.
    """
    write_csv(folder / EPOCHS, result.curves)
    write_csv(folder / FOLDS, result.folds)
    write_csv(folder / LEARNING_CURVES, mean_curves(result.curves))
    write_csv(folder / CONFUSION, confusion_rows(result.confusion, class_names))
    layers = {
        "loaded": list(result.pretrained.loaded_layers),
        "random": list(result.pretrained.random_layers),
    }
    write_json(folder / SUMMARY, {**result.summary(), "pretrained_layers": layers})


def mean_curves(epochs: pd.DataFrame) -> pd.DataFrame:
    """Means over repeats and folds of every epoch that all of them reached.

    A mean over the folds that happen to be left after some stopped early would jump.
    """
    runs = epochs.groupby(["repeat", "fold"]).ngroups
    reached = epochs.groupby("epoch")["fold"].size()
    whole = epochs[epochs["epoch"].isin(reached.index[reached == runs])]
    means = whole.drop(columns=["repeat", "fold"]).astype(float).groupby("epoch").mean()
    means = means.dropna(axis="columns", how="all").reset_index()
    return means.astype({"epoch": int})


def confusion_rows(confusion: NDArray[Any], class_names: Sequence[str]) -> pd.DataFrame:
    """A confusion matrix (counts, row = true class) as one row per clip, which DVC's plot counts again."""
    rows = [
        (class_names[actual], class_names[predicted])
        for actual in range(len(class_names))
        for predicted in range(len(class_names))
        for _ in range(int(confusion[actual, predicted]))
    ]
    return pd.DataFrame(rows, columns=["actual", "predicted"])
