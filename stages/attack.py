"""Attack the original and the robust model with one attack."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from advaudio.clips.picture_layout import read_layout
from advaudio.core.command_line import progress_bar, run
from advaudio.core.device import torch_devices
from advaudio.core.params import read_params
from advaudio.evaluation.attack_evaluation import evaluate_attack
from advaudio.evaluation.attacked_clips import read_attacked_clips
from advaudio.evaluation.outputs import write_attack
from advaudio.evaluation.starting_points import read_candidates


def main(
    name: Annotated[str, typer.Argument(help="a key of the parameter `attacks`")],
    params: Path = Path("params.yaml"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    original: Path = Path("models/original.safetensors"),
    robust: Path = Path("models/robust.safetensors"),
    outputs: Annotated[Path, typer.Option(help="folder of one folder per attack")] = Path("outputs/attacks"),
    metrics: Annotated[Path, typer.Option(help="folder of one file per attack")] = Path("metrics/attacks"),
    scratch: Annotated[Path, typer.Option(help="finished chunks, to resume from")] = Path(
        ".advaudio/attacks"
    ),
) -> None:
    """Find the smallest perturbation of the test clips that fools each model, budget by budget."""
    chosen = read_params(params)
    settings, ladder = chosen.attack(name)
    clips = read_attacked_clips(
        pictures, split, original, robust, at_most=chosen.evaluation.clips, seed=chosen.seed
    )
    layout = read_layout(pictures)
    checkpoints = scratch / name
    with progress_bar() as progress:
        evaluation = evaluate_attack(
            name,
            original=original,
            robust=robust,
            pictures=clips.pictures,
            labels=clips.labels,
            samples=clips.samples,
            settings=settings,
            ladder=ladder,
            threshold=chosen.evaluation.fooling_threshold,
            seed=chosen.seed,
            devices=torch_devices(chosen.device),
            examples=chosen.evaluation.example_clips,
            decibels_per_unit=layout.decibels_per_unit,
            spectrogram_rows=layout.spectrogram_rows,
            candidates=read_candidates(pictures, split, original),
            checkpoint_folder=checkpoints,
            progress=progress,
        )
    write_attack(
        evaluation,
        outputs / name,
        metrics / f"{name}.json",
        threshold=chosen.evaluation.fooling_threshold,
        auc_epsilon_factor=chosen.evaluation.auc_epsilon_factor,
        bootstrap_samples=chosen.evaluation.bootstrap_samples,
        seed=chosen.seed,
    )
    shutil.rmtree(checkpoints, ignore_errors=True)


if __name__ == "__main__":
    run(main)
