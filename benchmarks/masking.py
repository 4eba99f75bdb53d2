"""The gradient-masking checks of two models, with Auto-PGD of the Adversarial Robustness Toolbox beside ours.

    python -m benchmarks.masking --json masking.json

The models and pictures are those of a run of the pipeline, in which the stage `masking` does the other checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn

from advaudio.core.files import write_json
from advaudio.evaluation.attacked_clips import read_attacked_clips
from advaudio.evaluation.gradient_masking import masking_checks
from benchmarks.attacks_peers import of_art


def apgd_of_art(model: nn.Module, pictures: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Auto-PGD (Croce and Hein 2020), as an `outside` attack of `masking_checks`.

    Raises
    ------
    ImportError
        If adversarial-robustness-toolbox is not installed.
    """
    settings = {"norm": np.inf, "eps": epsilon, "eps_step": epsilon / 4, "max_iter": 50, "nb_random_init": 1}
    return of_art("AutoProjectedGradientDescent", **settings)(model, pictures, labels, False)


def main(
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write")],
    original: Annotated[Path, typer.Option(help="model file")] = Path("models/original.safetensors"),
    robust: Annotated[Path, typer.Option(help="model file")] = Path("models/robust.safetensors"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    clips: int = 200,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Check both models, print, and write."""
    test = read_attacked_clips(pictures, split, original, robust)
    checks = {
        name: masking_checks(
            model, test.pictures, test.labels, clips=clips, device=device, outside=apgd_of_art
        )
        for name, model in (("original", original), ("robust", robust))
    }
    for name, found in checks.items():
        for check, numbers in found.items():
            print(name, check, numbers)
    write_json(json_file, checks)


if __name__ == "__main__":
    typer.run(main)
