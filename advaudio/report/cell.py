"""The report of one cell: one data set, one representation, one model, original and robust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advaudio.datasets.class_names import read_class_names
from advaudio.evaluation.clip_results import MODELS
from advaudio.files import open_array, read_json
from advaudio.report import figures
from advaudio.report.page import Page, Picture, Section, Table
from advaudio.report.paper import (
    ATTACK_NAMES,
    BOLD_CELLS,
    DATASET_NAMES,
    MODEL_NAMES,
    REPRESENTATION_NAMES,
)
from advaudio.representations.layout import Layout, read_layout

NORM_NAMES = {"linf": "L∞", "l2": "L2", "l0": "L0"}
NORM_UNITS = {"linf": "L∞, 1 = whole range", "l2": "L2", "l0": "L0, pixels"}
FREQUENCY_TICKS = 5


@dataclass(frozen=True)
class Choice:
    """What was selected in params.yaml."""

    dataset: str
    representation: str
    model: str
    defence: str
    budget: str
    seed: int
    split_by: str
    fooling_threshold: float
    attacks: Sequence[str]


@dataclass(frozen=True)
class Files:
    """Where the results of the cell lie."""

    pictures: Path
    clips: Path
    dataset: Path
    train: Path
    train_fgsm: Path
    metrics: Path
    metrics_fgsm: Path
    attacks: Path
    rho: Path


def cell_page(choice: Choice, files: Files) -> Page:
    """Gather the results of a cell into a page.

    Raises
    ------
    AdvaudioError
        If a result is missing or unreadable.
    """
    names = read_class_names(files.clips)
    layout = read_layout(files.pictures)
    dataset = read_json(files.dataset)
    accuracy = {"original": read_json(files.metrics), "robust": read_json(files.metrics_fgsm)}
    details = {name: read_json(files.attacks / name / "details.json") for name in choice.attacks}
    rho = read_json(files.rho)
    cell = (
        f"{MODEL_NAMES.get(choice.model, choice.model)} on "
        f"{DATASET_NAMES.get(choice.dataset, choice.dataset)}, {REPRESENTATION_NAMES[choice.representation]}"
    )
    return Page(
        title=cell,
        subtitle=f"{dataset['title']}: {dataset['clips']} clips, {len(names)} classes. "
        "How easily is this classifier fooled, and what does adversarial training buy?",
        summary=_summary(choice, accuracy, details, rho),
        sections=[
            _accuracy_section(choice, accuracy, files),
            _attacks_section(choice, details, rho),
            _curves_section(choice, details),
            _examples_section(choice, details, files.attacks, layout, names),
            _learning_section(files, names),
        ],
        provenance=_provenance(choice, dataset, layout),
    )


def attack_name(name: str) -> str:
    """Printed name of an attack."""
    return ATTACK_NAMES.get(name, name)


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}g}"


def _with_interval(details: Mapping[str, Any], name: str, scale: float, digits: int) -> str:
    value, interval = details["metrics"][name], details["intervals_95"].get(name)
    if value is None:
        return "–"
    text = f"{scale * value:.{digits}f}"
    if interval is None:
        return text
    return f"{text} ({scale * interval[0]:.{digits}f}–{scale * interval[1]:.{digits}f})"


def _summary(
    choice: Choice, accuracy: Mapping[str, Any], details: Mapping[str, Any], rho: Mapping[str, Any]
) -> list[str]:
    robust = accuracy["robust"]
    sentences = [
        f"Accuracy is {_percent(accuracy['original']['accuracy'])} before and {_percent(robust['accuracy'])} "
        f"after adversarial training (defence: {choice.defence}): a "
        f"{'drop' if robust['drop_ratio'] >= 0 else 'gain'} of {abs(robust['drop_ratio']):.1f} % "
        "of the original accuracy."
    ]
    reached = [name for name in choice.attacks if details[name]["threshold_reached"]["original"]]
    sentences.append(
        f"{len(reached)} of {len(choice.attacks)} attacks fool the original model on at least "
        f"{_percent(choice.fooling_threshold, 0)} of the clips that it classifies correctly."
    )
    under = [
        value
        for name in choice.attacks
        if (value := details[name]["metrics"]["robust_fooling_rate_under_bound"]) is not None
    ]
    if under:
        sentences.append(
            f"Within the perturbation that the original model needs for that, the robust model is fooled on "
            f"{_percent(float(np.mean(under)))} (mean over the attacks)."
        )
    if rho["mean"] is None:
        sentences.append("ρ is undefined here: no attack reached the threshold on both models.")
    else:
        sentences.append(
            f"Fooling the robust model takes {rho['mean']:.2f} times the perturbation "
            f"(ρ, mean over {len(rho['comparable'])} attacks that reach the threshold on both models)."
        )
    return sentences


def _accuracy_section(choice: Choice, accuracy: Mapping[str, Any], files: Files) -> Section:
    rows = []
    for model, folder in (("original", files.train), ("robust", files.train_fgsm)):
        own, summary = accuracy[model], read_json(folder / "summary.json")
        rows.append(
            [
                model,
                f"{_percent(own['accuracy'])} ± {100 * own['accuracy_std']:.1f}",
                _percent(own["accuracy_best"]),
                _percent(summary["test_balanced_accuracy"]),
                _percent(summary["picked"]["test_accuracy"]),
                f"{own['drop_ratio']:.1f} %" if "drop_ratio" in own else "",
            ]
        )
    tables = [
        Table(
            "Accuracy on the test clips, mean and standard deviation over the folds",
            ["model", "accuracy", "best fold", "balanced", "attacked model", "drop ratio"],
            rows,
        )
    ]
    bold = BOLD_CELLS.get((choice.dataset, choice.representation))
    if bold:
        tables.append(
            Table(
                "What survives of the paper's row for this data set and representation (its best cell)",
                ["", "accuracy", "fooling rate, robust", "ρ"],
                [
                    [
                        f"paper ({MODEL_NAMES[bold.accuracy_model]} for the accuracy; else unknown)",
                        f"{bold.accuracy:.2f} %",
                        f"{bold.fooling_rate:.2f} %",
                        f"{bold.rho:.3f}",
                    ]
                ],
            )
        )
        text: list[str] = []
    else:
        text = ["The paper has no number for this data set, so none stands beside ours."]
    return Section("accuracy", "Accuracy", text, tables)


def _attacks_section(choice: Choice, details: Mapping[str, Any], rho: Mapping[str, Any]) -> Section:
    rows = []
    for name in choice.attacks:
        own = details[name]
        rows.append(
            [
                attack_name(name),
                NORM_NAMES[own["norm"]],
                _percent(own["metrics"]["fooling_rate"]),
                _number(own["metrics"]["epsilon_90"]),
                _number(own["metrics"]["auc"]),
                _with_interval(own, "robust_fooling_rate_under_bound", 100, 0),
                _percent(own["metrics"]["robust_fooling_rate"]),
                _with_interval(own, "rho", 1, 2),
            ]
        )
    short = [
        f"{attack_name(name)} ({_percent(details[name]['metrics']['fooling_rate'])})"
        for name in choice.attacks
        if not details[name]["threshold_reached"]["original"]
    ]
    text = [
        "ε₉₀ is the smallest perturbation at which the attack fools "
        f"{_percent(choice.fooling_threshold, 0)} of the clips that the original model classifies correctly; it is "
        "the bound under which the robust model is attacked (Table II of the paper). ρ compares the mean "
        "perturbations of successful attacks without that bound (Table III, Eq. 14). Brackets hold 95 % bootstrap "
        "intervals over the clips."
    ]
    if short:
        text.append(
            f"With the budget {choice.budget}, these attacks did not reach the threshold on the original model: "
            f"{', '.join(short)}. Their bound is the largest perturbation that succeeded, and they do not count "
            "in the mean ρ."
        )
    worst = rho["worst_case"]
    worst_rows = [
        [
            model,
            _percent(worst[model]["fooling_rate"]),
            _percent(worst[model]["fooling_rate_under_bound"]),
            _percent(worst[model]["accuracy_under_bound"]),
        ]
        for model in MODELS
    ]
    return Section(
        "attacks",
        "Attacks",
        text,
        [
            Table(
                "Each attack in its own norm",
                [
                    "attack",
                    "norm",
                    "fooling rate",
                    "ε₉₀",
                    "AUC",
                    "robust in bound (%)",
                    "robust, no bound",
                    "ρ",
                ],
                rows,
            ),
            Table(
                "Worst case: a clip is lost if any attack wins it",
                ["model", "fooled, no bound", "fooled, under each attack's bound", "accuracy that is left"],
                worst_rows,
            ),
        ],
    )


def _curves_section(choice: Choice, details: Mapping[str, Any]) -> Section:
    rows = [
        {"attack": name, "model": model, "perturbation": epsilon, "fooling_rate": rate}
        for name in choice.attacks
        for model in MODELS
        for epsilon, rate in zip(
            details[name]["models"][model]["curve"]["epsilon"],
            details[name]["models"][model]["curve"]["fooling_rate"],
            strict=True,
        )
    ]
    norms = {name: NORM_UNITS[details[name]["norm"]] for name in choice.attacks}
    figure = figures.fooling_curves(
        pd.DataFrame(rows), names=ATTACK_NAMES, norms=norms, threshold=choice.fooling_threshold
    )
    return Section(
        "fooling-curves",
        "Fooling curves",
        figures=[
            Picture(
                figures.svg(figure),
                "Share of the correctly classified clips that are fooled by a perturbation of at most so much. "
                "Farther right is more robust. The dotted line is the threshold.",
                "Fooling curves: "
                + "; ".join(
                    f"{attack_name(name)} reaches the threshold at {_number(details[name]['metrics']['epsilon_90'])} "
                    f"on the original and {_number(details[name]['metrics']['robust_epsilon_90'])} on the robust model"
                    for name in choice.attacks
                ),
            )
        ],
    )


def _examples_section(
    choice: Choice, details: Mapping[str, Any], attacks: Path, layout: Layout, names: Sequence[str]
) -> Section:
    rows = []
    for name in choice.attacks:
        example = _example(name, attacks / name / "examples", details[name]["norm"], names)
        if example is not None:
            rows.append(example)
    if not rows:
        return Section(
            "examples", "Adversarial examples", ["No attack fooled the original model on a kept clip."]
        )
    figure = figures.examples(rows, _axes(layout))
    return Section(
        "examples",
        "Adversarial examples",
        [
            "The first kept clip that each attack fooled the original model on. The claim of the paper to check: do "
            "they look like their originals? The difference is drawn on a scale of its own."
        ],
        figures=[
            Picture(
                figures.svg(figure),
                "Left: the clip. Middle: the adversarial example, and what it is taken for. Right: what changed. "
                "Low frequencies are below" + ("; above the line, the tonnetz." if layout.centroids else "."),
                "Adversarial examples: "
                + "; ".join(
                    f"{row.attack} turns {row.original_class} into {row.adversarial_class}, {row.perturbation}"
                    for row in rows
                ),
            )
        ],
    )


def _example(name: str, folder: Path, norm: str, names: Sequence[str]) -> figures.Example | None:
    table = pd.read_csv(folder / "examples.csv")
    table = table[table["model"] == "original"].reset_index(drop=True)
    fooled = table.index[np.isfinite(table["perturbation"].to_numpy(dtype=float))]
    if not len(fooled):
        return None
    row: Any = table.loc[fooled[0]]
    clean: NDArray[Any] = open_array(folder / "clean.npy")[fooled[0]]
    adversarial: NDArray[Any] = open_array(folder / "original.npy")[fooled[0]]
    size = (
        f"{NORM_NAMES[norm]} {_number(float(row['perturbation']))}, {float(row['decibels_rms']):.2g} dB RMS"
    )
    return figures.Example(
        attack_name(name),
        np.asarray(clean),
        np.asarray(adversarial),
        names[int(row["label"])],
        names[int(row["adversarial_label"])],
        size,
    )


def _axes(layout: Layout) -> figures.PictureAxes:
    rows = np.linspace(0, len(layout.frequencies) - 1, FREQUENCY_TICKS).round().astype(int)
    ticks = [(float(row) + 0.5, _frequency(layout.frequencies[row])) for row in rows]
    divider = None
    if layout.centroids:
        divider = float(len(layout.frequencies))
        ticks.append((divider + len(layout.centroids) / 2, "tonnetz"))
    return figures.PictureAxes(layout.clip_seconds, ticks, divider)


def _frequency(hertz: float) -> str:
    return f"{hertz / 1000:.1f} kHz" if hertz >= 1000 else f"{hertz:.0f} Hz"


def _learning_section(files: Files, names: Sequence[str]) -> Section:
    curves = {
        "Original model": pd.read_csv(files.train / "epochs.csv"),
        "Robust model": pd.read_csv(files.train_fgsm / "epochs.csv"),
    }
    position = {name: index for index, name in enumerate(names)}
    pictures = [
        Picture(
            figures.svg(figures.learning_curves(curves)),
            "Thin lines are single folds, thick ones their means. Under PGD: a small attack after each epoch; "
            "if it falls to zero, adversarial training has collapsed.",
            "Learning curves of both models: accuracy and loss against the epoch.",
        )
    ]
    for title, folder in (("original", files.train), ("robust", files.train_fgsm)):
        table = pd.read_csv(folder / "confusion.csv", dtype=str, keep_default_na=False)
        matrix = np.zeros((len(names), len(names)), dtype=int)
        for actual, predicted in zip(table["actual"], table["predicted"], strict=True):
            matrix[position[actual], position[predicted]] += 1
        correct = float(np.trace(matrix)) / max(int(matrix.sum()), 1)
        pictures.append(
            Picture(
                figures.svg(figures.confusion(matrix, names)),
                f"Confusion matrix of the {title} model that was attacked, on its {int(matrix.sum())} test clips.",
                f"Confusion matrix of the {title} model; {_percent(correct)} lie on the diagonal.",
                narrow=True,
            )
        )
    return Section("training", "Training", figures=pictures)


def _provenance(choice: Choice, dataset: Mapping[str, Any], layout: Layout) -> list[tuple[str, str]]:
    archive = dataset["archive"]
    return [
        ("Data", f"{dataset['title']} ({dataset['licence']})"),
        (
            "Archive",
            f"{archive['name']}, SHA-256 {archive['sha256']}" if archive else "made or read in place",
        ),
        ("Citation", dataset["citation"]),
        (
            "Clips",
            f"{dataset['clips']} of {dataset['recordings']} recordings, {dataset['dropped_clips']} dropped",
        ),
        (
            "Picture",
            f"{layout.height} × {layout.width}, {layout.decibels_per_unit:g} dB for the range 0 to 1",
        ),
        ("Split", f"by {choice.split_by}"),
        ("Budget", choice.budget),
        ("Defence", choice.defence),
        ("Seed", str(choice.seed)),
        ("Parameters and hashes", "params.yaml and dvc.lock of the commit that holds this report's hash"),
    ]
