"""The content of one cell's page; `templates/cell.html` puts it into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import ClipStore
from advaudio.clips.picture_layout import layout_path, read_layout
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import damaged, read_json
from advaudio.report.cells.cell import TRAININGS, Cell, cell_of, read_record
from advaudio.report.cells.claims import Claim, claims
from advaudio.report.cells.estimates import Estimate
from advaudio.report.cells.examples import kept_examples
from advaudio.report.cells.grid import build_grid
from advaudio.report.cells.paper import BOLD_CELLS, BoldCell
from advaudio.report.cells.sources import Folder, Source, need_json, need_table, origin
from advaudio.report.pages import figures
from advaudio.report.pages.curves import Chart, fooling_charts, strongest_charts
from advaudio.report.pages.examples import ExampleFigure, example_figure
from advaudio.report.pages.listening import Listening, listening
from advaudio.report.pages.masking import FoldCollapse, Masking, collapse_of, masking_of
from advaudio.report.pages.page import render
from advaudio.report.pages.provenance import Provenance, cell_provenance

RESULTS = (*(f"metrics/{stage}.json" for stage in TRAININGS.values()), "metrics/rho.json")
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


@dataclass(frozen=True)
class Training:
    """One model's training; accuracies from 0 to 1.

    Attributes
    ----------
    accuracy
        On the test clips, mean over the folds.
    deviation, best
        Standard deviation over the folds, and the best fold.
    balanced
        Mean over the classes of their accuracies.
    picked
        Of the model that was attacked.
    confusion
        Drawn confusion matrix of that model.
    clips, correct
        Its test clips, and the share of them on the diagonal.
    """

    accuracy: Estimate
    deviation: float
    best: float
    balanced: float
    picked: float
    confusion: str
    clips: int
    correct: float


@dataclass(frozen=True)
class CellPage:
    """Everything that the page of a cell shows.

    Attributes
    ----------
    classes
        How many.
    trainings
        Model → its training.
    learning_curves
        Drawn, of both models.
    charts
        Fooling curves of the attacks.
    strongest
        Fooling curves of the strongest bounds known.
    examples
        None where no attack fooled the original model on a kept clip.
    collapse
        Of each fold, whether its adversarial training collapsed; empty where that was not measured.
    masking
        None where gradient masking was not checked.
    paper
        What survives of the paper's numbers for this data set and representation, if anything does.
    """

    cell: Cell
    classes: int
    trainings: Mapping[str, Training]
    learning_curves: str
    charts: Sequence[Chart]
    strongest: Sequence[Chart]
    examples: ExampleFigure | None
    listening: Listening
    collapse: Sequence[FoldCollapse]
    masking: Masking | None
    claims: Sequence[Claim]
    paper: BoldCell | None
    provenance: Provenance


def cell_page(params: dict[str, Any], files: Files) -> str:
    """The page of a cell as HTML text; see `gather`."""
    return render("cell.html", gather(params, files))


def gather(params: dict[str, Any], files: Files) -> CellPage:
    """Gather the results of a cell.

    Parameters
    ----------
    params
        The checked content of params.yaml.

    Raises
    ------
    AdvaudioError
        If a result is missing or unreadable.
    """
    source = Folder(files.folder, "this cell")
    cell = cell_of({**read_record(source), "params": params}, source.name)
    if not all(result.curves for result in cell.attacks.values()):
        raise AdvaudioError(f"{files.folder} has no details of the attacks. Run `dvc repro` to make them.")
    names = read_class_names(files.clips)
    content = read_json(layout_path(files.pictures), *LAYOUT_KEYS)
    dataset = read_json(files.dataset, *DATASET_KEYS)
    kept = kept_examples(source, cell)
    return CellPage(
        cell=cell,
        classes=len(names),
        trainings={model: _training(source, cell, model, names) for model in TRAININGS},
        learning_curves=_learning_curves(source),
        charts=fooling_charts(cell),
        strongest=strongest_charts(cell),
        examples=example_figure(kept, read_layout(files.pictures), names, cell),
        listening=listening(kept, lambda: ClipStore.open(files.augmented), content, names),
        collapse=collapse_of(cell.record),
        masking=masking_of(cell.record),
        claims=claims(build_grid([cell])),
        paper=BOLD_CELLS.get((cell.dataset, cell.representation)),
        provenance=cell_provenance(cell, dataset, content, files.folder, RESULTS),
    )


def _training(source: Source, cell: Cell, model: str, names: Sequence[str]) -> Training:
    folder = f"outputs/{TRAININGS[model]}"
    own = cell.record["training"][model]
    summary = need_json(source, f"{folder}/summary.json", "test_balanced_accuracy", "picked.test_accuracy")
    matrix = _confusion(source, f"{folder}/confusion.csv", names)
    clips = int(matrix.sum())
    return Training(
        accuracy=cell.accuracy[model],
        deviation=own["accuracy_std"],
        best=own["accuracy_best"],
        balanced=summary["test_balanced_accuracy"],
        picked=summary["picked"]["test_accuracy"],
        confusion=figures.svg(figures.confusion(matrix, names)),
        clips=clips,
        correct=float(np.trace(matrix)) / max(clips, 1),
    )


def _learning_curves(source: Source) -> str:
    tables = {
        f"{model.capitalize()} model": need_table(
            source, f"outputs/{stage}/epochs.csv", *figures.EPOCH_COLUMNS
        )
        for model, stage in TRAININGS.items()
    }
    return figures.svg(figures.learning_curves(tables))


def _confusion(source: Source, path: str, names: Sequence[str]) -> NDArray[Any]:
    position = {name: index for index, name in enumerate(names)}
    table = need_table(source, path, "actual", "predicted", dtype=str, keep_default_na=False)
    foreign = (set(table["actual"]) | set(table["predicted"])) - position.keys()
    if foreign:
        raise damaged(origin(source, path), f"it names a class that the data set lacks, {min(foreign)!r}")
    matrix = np.zeros((len(names), len(names)), dtype=int)
    for actual, predicted in zip(table["actual"], table["predicted"], strict=True):
        matrix[position[actual], position[predicted]] += 1
    return matrix
