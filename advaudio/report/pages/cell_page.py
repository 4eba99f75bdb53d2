"""The report of one cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import ClipStore
from advaudio.clips.picture_layout import read_layout
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json
from advaudio.report.cells.cell import MODELS, Cell, cell_of, read_record
from advaudio.report.cells.examples import kept_examples
from advaudio.report.cells.paper import BOLD_CELLS
from advaudio.report.cells.sources import Folder, Source, damaged, need_json, need_table
from advaudio.report.cells.words import model_name, percent
from advaudio.report.pages import figures
from advaudio.report.pages.example_blocks import example_blocks, listening_blocks
from advaudio.report.pages.masking import masking_blocks
from advaudio.report.pages.page import Block, Entry, Page, Picture, Section, Table, Text
from advaudio.report.pages.provenance import cell_provenance
from advaudio.report.pages.sections import attack_blocks, claim_table, curve_blocks, number_entry
from advaudio.report.tables.claims import claims
from advaudio.report.tables.grid import build_grid

RESULTS = ("metrics/train.json", "metrics/train_fgsm.json", "metrics/rho.json")
TRAININGS = {"original": "train", "robust": "train_fgsm"}

LAYOUT_KEYS = ("height", "width", "clip_seconds")
DATASET_KEYS = ("title", "licence", "citation", "archive", "clips", "recordings", "dropped_clips")


@dataclass(frozen=True)
class Files:
    """Where the results of the cell lie: `folder` is laid out as this repository."""

    folder: Path
    pictures: Path
    clips: Path
    dataset: Path
    augmented: Path


def cell_page(params: dict[str, Any], files: Files) -> Page:
    """Gather the results of a cell into a page.

    Parameters
    ----------
    params
        The checked content of params.yaml.

    Raises
    ------
    AdvaudioError
        If a result is missing or unreadable.
    """
    source = Folder(files.folder, str(files.folder))
    cell = cell_of({**read_record(source), "params": params}, source.name)
    if not all(result.curves for result in cell.attacks.values()):
        raise AdvaudioError(
            f"{files.folder} has no details of the attacks in outputs/robustness. Run `dvc repro`."
        )
    names = read_class_names(files.clips)
    layout = read_layout(files.pictures)
    content = read_json(files.pictures.with_suffix(".json"), *LAYOUT_KEYS)
    dataset = read_json(files.dataset, *DATASET_KEYS)
    examples = kept_examples(source, cell)
    sections = [
        Section("accuracy", "Accuracy", _accuracy_blocks(cell, source)),
        Section("attacks", "Attacks", [Text(ATTACKS_EXPLAINED), *attack_blocks(cell)]),
        Section("fooling-curves", "Fooling curves", curve_blocks(cell)),
        Section("examples", "Adversarial examples", example_blocks(examples, layout, names, cell)),
        Section(
            "listen",
            "Listen",
            listening_blocks(examples, lambda: ClipStore.open(files.augmented), content, names),
        ),
        Section("training", "Training", _training_blocks(source, names)),
        Section(
            "claims", "The paper's claims", [Text(CLAIMS_EXPLAINED), claim_table(claims(build_grid([cell])))]
        ),
        Section("provenance", "Provenance", cell_provenance(cell, dataset, content, files.folder, RESULTS)),
    ]
    if "masking" in cell.record:
        sections.insert(5, Section("masking", "Hidden gradients?", masking_blocks(cell.record["masking"])))
    return Page(
        title=cell.title,
        subtitle=f"{dataset['title']}: {dataset['clips']} clips, {len(names)} classes. "
        "How easily is this classifier fooled, and what does adversarial training buy?",
        summary=_summary(cell),
        sections=sections,
    )


ATTACKS_EXPLAINED = (
    "An attack changes the picture of a clip a little, so that the model takes it for another class. ε₉₀ is the "
    "smallest perturbation at which the attack fools the threshold's share of the clips that the original model "
    "classifies correctly; it is the bound within which the robust model is attacked (Table II of the paper). "
    "AUC is the area under the fooling curve. ρ compares the mean perturbations of successful attacks without "
    "that bound (Table III): above 1, the attack got costlier."
)
CLAIMS_EXPLAINED = (
    "One cell cannot settle claims about many; this is what it says about each. All cells together: "
    "python -m experiments.tables."
)


def _summary(cell: Cell) -> list[str]:
    original, robust, drop = cell.accuracy["original"], cell.accuracy["robust"], cell.drop_ratio
    sentences = [
        f"Accuracy is {percent(original.value)} before and {percent(robust.value)} after adversarial training "
        f"(defence: {cell.params['defence']})"
        + (
            f": a {'drop' if drop.value >= 0 else 'gain'} of {abs(drop.value):.1f} % of the original accuracy."
            if drop
            else "."
        )
    ]
    reached = len(cell.attacks) - len(cell.short_attacks)
    sentences.append(
        f"{reached} of {len(cell.attacks)} attacks fool the original model on at least "
        f"{percent(cell.threshold, 0)} of the clips that it classifies correctly."
    )
    if cell.robust_within_bound is not None:
        sentences.append(
            "Within the perturbation that the original model needs for that, the robust model is fooled on "
            f"{percent(cell.robust_within_bound.value)} (mean over these attacks)."
        )
    if cell.rho is None:
        sentences.append("ρ is undefined here: no attack reached the threshold on both models.")
    else:
        sentences.append(
            f"Fooling the robust model takes {cell.rho.value:.2f} times the perturbation "
            f"(ρ, mean over {len(cell.record['rho']['comparable'])} attacks that reach the threshold on both models)."
        )
    return sentences


def _accuracy_blocks(cell: Cell, source: Source) -> list[Block]:
    rows: list[list[str | Entry]] = []
    for model, folder in TRAININGS.items():
        own, summary = cell.record["training"][model], _summary_of_training(source, folder)
        rows.append(
            [
                model,
                number_entry(cell.accuracy[model], 1, 100),
                *(
                    Entry(percent(value), value)
                    for value in (
                        own["accuracy_std"],
                        own["accuracy_best"],
                        summary["test_balanced_accuracy"],
                        summary["picked"]["test_accuracy"],
                    )
                ),
            ]
        )
    drop = cell.drop_ratio
    blocks: list[Block] = [
        Table(
            "Accuracy on the test clips, mean over the folds with its 95 % interval over the clips",
            ["model", "accuracy (%)", "std over folds", "best fold", "balanced", "attacked model"],
            rows,
        )
    ]
    if drop is not None:
        blocks.append(Text(f"Drop ratio (original − robust) / original: {drop.value:.1f} %."))
    bold = BOLD_CELLS.get((cell.dataset, cell.representation))
    if bold is None:
        return [*blocks, Text("The paper has no number for this data set, so none stands beside ours.")]
    table = Table(
        "What survives of the paper's row for this data set and representation: its best cells",
        ["", "accuracy", "fooled within the bound, robust", "ρ"],
        [
            ["paper", f"{bold.accuracy:.2f} %", f"{bold.fooling_rate:.2f} %", f"{bold.rho:.3f}"],
            ["its model", model_name(bold.accuracy_model), "lost", "lost"],
        ],
    )
    return [*blocks, table]


def _summary_of_training(source: Source, folder: str) -> dict[str, Any]:
    path = f"outputs/{folder}/summary.json"
    summary = need_json(source, path)
    picked = summary.get("picked")
    if (
        "test_balanced_accuracy" not in summary
        or not isinstance(picked, dict)
        or "test_accuracy" not in picked
    ):
        raise damaged(source, path, "is no summary of a training")
    return summary


def _training_blocks(source: Source, names: Sequence[str]) -> list[Block]:
    curves = {
        f"{model.capitalize()} model": need_table(
            source, f"outputs/{folder}/epochs.csv", *figures.EPOCH_COLUMNS
        )
        for model, folder in TRAININGS.items()
    }
    blocks: list[Block] = [
        Picture(
            figures.svg(figures.learning_curves(curves)),
            "Thin lines are single folds, thick ones their means. Under PGD: a small attack after each epoch; "
            "if it falls to zero, adversarial training has collapsed.",
            "Learning curves of both models: accuracy and loss against the epoch.",
        )
    ]
    for model in MODELS:
        matrix = _confusion(source, f"outputs/{TRAININGS[model]}/confusion.csv", names)
        correct = float(np.trace(matrix)) / max(int(matrix.sum()), 1)
        blocks.append(
            Picture(
                figures.svg(figures.confusion(matrix, names)),
                f"Confusion matrix of the {model} model that was attacked, on its {int(matrix.sum())} test clips.",
                f"Confusion matrix of the {model} model; {percent(correct)} lie on the diagonal.",
                narrow=True,
            )
        )
    return blocks


def _confusion(source: Source, path: str, names: Sequence[str]) -> np.ndarray[Any, Any]:
    position = {name: index for index, name in enumerate(names)}
    table = need_table(source, path, "actual", "predicted", dtype=str, keep_default_na=False)
    foreign = (set(table["actual"]) | set(table["predicted"])) - position.keys()
    if foreign:
        raise damaged(source, path, f"names a class that the data set has not, {min(foreign)!r}")
    matrix = np.zeros((len(names), len(names)), dtype=int)
    for actual, predicted in zip(table["actual"], table["predicted"], strict=True):
        matrix[position[actual], position[predicted]] += 1
    return matrix
