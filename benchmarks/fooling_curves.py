"""Draw the fooling curves of a cell's record (results/README.md) as one picture.

python -m benchmarks.fooling_curves results/esc50-alexnet/results.json results/esc50-alexnet/fooling-curves.png
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import matplotlib
import numpy as np
import typer

from advaudio.core.files import atomic_path, read_json
from advaudio.report.cells.words import attack_name, dataset_name, model_name, representation_name

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {"original": "#c2410c", "robust": "#1d4ed8"}
NORMS = {"linf": "perturbation, L∞", "l2": "perturbation, L2", "l0": "changed pixels, L0"}


def main(
    record: Annotated[Path, typer.Argument(help="results.json of a cell")],
    picture: Annotated[Path, typer.Argument(help="PNG to write")],
) -> None:
    """One panel per attack: share of the clips fooled against the size of the perturbation."""
    content = read_json(record)
    attacks: dict[str, Any] = content["attacks"]
    columns = min(3, len(attacks))
    rows = -(-len(attacks) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 3.2 * rows), squeeze=False, constrained_layout=True
    )
    for axis in axes.flat[len(attacks) :]:
        axis.axis("off")
    for axis, (name, attack) in zip(axes.flat, attacks.items(), strict=False):
        _panel(axis, attack_name(name), attack)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    params = content["params"]
    model, data = model_name(params["model"]), dataset_name(params["dataset"])
    figure.suptitle(f"Fooling curves: {model} on {data}, {representation_name(params['representation'])}")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)


def _panel(axis: Any, title: str, attack: dict[str, Any]) -> None:
    right = 0.0
    for model, colour in COLOURS.items():
        curve = attack["models"][model]["curve"]
        epsilon = np.array(curve["epsilon"], dtype=float)
        rate = 100 * np.array(curve["fooling_rate"], dtype=float)
        label = "original model" if model == "original" else "adversarially trained model"
        axis.step(epsilon, rate, where="post", color=colour, label=label, linewidth=2)
        below = epsilon[rate <= 97]
        right = max(right, float(below[-1]) if len(below) else 0.0)
    if attack["threshold_reached"]["original"]:
        axis.axvline(
            attack["bound"], color="#64748b", linestyle="--", linewidth=1, label="ε₉₀ of the original"
        )
    axis.set(title=title, xlabel=NORMS[attack["norm"]], ylabel="clips fooled (%)", ylim=(0, 102))
    axis.set_xlim(0, 1.15 * right or None)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    typer.run(main)
