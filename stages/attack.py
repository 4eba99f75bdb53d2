"""Attack the original and the robust model with one attack."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from advaudio.clips.picture_layout import read_layout
from advaudio.core.command_line import progress_bar, run
from advaudio.core.device import torch_devices
from advaudio.core.params import read_params
from advaudio.evaluation.attack_evaluation import Resources, evaluate_attack
from advaudio.evaluation.attacked_clips import read_attacked_clips
from advaudio.evaluation.budget_schedule import budget_schedule
from advaudio.evaluation.starting_points import read_candidates


def main(
    name: Annotated[str, typer.Argument(help="a key of the parameter `attacks`")],
    params: Path = Path("params.yaml"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    original: Path = Path("models/original.safetensors"),
    robust: Path = Path("models/robust.safetensors"),
    outputs: Annotated[Path, typer.Option(help="folder of one folder per attack")] = Path("outputs/attacks"),
    scratch: Annotated[Path, typer.Option(help="finished chunks, to resume from")] = Path(
        ".advaudio/attacks"
    ),
) -> None:
    """Find the smallest perturbation of the test clips that fools each model, budget by budget."""
    chosen = read_params(params)
    settings, budgets = chosen.attack(name)
    wanted = chosen.evaluation
    clips = read_attacked_clips(pictures, split, original, robust, at_most=wanted.clips, seed=chosen.seed)
    checkpoints = scratch / name
    with progress_bar() as progress:
        evaluation = evaluate_attack(
            budget_schedule(name, settings, budgets, seed=chosen.seed),
            clips,
            {"original": original, "robust": robust},
            threshold=wanted.fooling_threshold,
            examples=wanted.example_clips,
            layout=read_layout(pictures),
            candidates=read_candidates(pictures, split, original),
            resources=Resources(
                devices=torch_devices(chosen.device), checkpoints=checkpoints, progress=progress
            ),
        )
    evaluation.write(outputs / name)
    shutil.rmtree(checkpoints, ignore_errors=True)


if __name__ == "__main__":
    run(main)
