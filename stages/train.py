"""Train the original model in folds."""

from pathlib import Path
from typing import Annotated

import typer

from advaudio.clips.class_names import read_class_names
from advaudio.core.command_line import progress_bar, run
from advaudio.core.metrics_file import write_metrics
from advaudio.core.params import read_params
from advaudio.models.registry import require_watched
from advaudio.training.accuracy import accuracy_over_folds
from advaudio.training.checkpoints import remove_finished
from advaudio.training.folds import train_folds
from advaudio.training.live import live_curves
from advaudio.training.outputs import write_outputs
from advaudio.training.settings import TrainingSettings


def main(
    params: Path = Path("params.yaml"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    clips: Path = Path("data/raw/clips.csv"),
    model_file: Path = Path("models/original.safetensors"),
    outputs: Path = Path("outputs/train"),
    metrics: Path = Path("metrics/train.json"),
    networks: Annotated[Path, typer.Option(help="folder of your own networks")] = Path("networks"),
    scratch: Annotated[Path, typer.Option(help="checkpoints, to resume from")] = Path(".advaudio/train"),
    live: Annotated[Path, typer.Option(help="dvclive's log of the epochs")] = Path("live/train"),
) -> None:
    """Train one network per fold on clean pictures; publish the one that validation picks."""
    chosen = read_params(params)
    require_watched(chosen.model, networks)
    class_names = read_class_names(clips)
    budget = chosen.chosen_budget.training
    with progress_bar() as progress, live_curves(live) as on_epoch:
        result = train_folds(
            pictures,
            split,
            model_file,
            model=chosen.model,
            classes=len(class_names),
            epochs=budget.epochs,
            repeats=budget.repeats,
            pretrained=chosen.pretrained,
            pgd_epsilons=tuple(budget.pgd_epsilons),
            training=TrainingSettings(**chosen.training.model_dump()),
            seed=chosen.seed,
            device=chosen.device,
            checkpoint_folder=scratch,
            progress=progress,
            on_epoch=on_epoch,
        )
    write_outputs(result, outputs, class_names)
    found = {**accuracy_over_folds(result.folds), "test_clips": result.test_clips}
    write_metrics(metrics, found, shown=["accuracy"])
    remove_finished(scratch)


if __name__ == "__main__":
    run(main)
