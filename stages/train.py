"""Train the original model in folds."""

from pathlib import Path
from typing import Annotated

import typer

from advaudio.clips.class_names import read_class_names
from advaudio.core.command_line import progress_bar, run
from advaudio.core.params import read_params
from advaudio.models.registry import require_watched
from advaudio.training.job import original_job
from advaudio.training.outputs import TrainingFiles, train_and_write
from stages.live import live_curves


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
    names = read_class_names(clips)
    job = original_job(chosen, pictures, split, len(names))
    files = TrainingFiles(model_file, outputs, metrics, scratch)
    with progress_bar() as progress, live_curves(live) as on_epoch:
        train_and_write(job, files, names, device=chosen.device, progress=progress, on_epoch=on_epoch)


if __name__ == "__main__":
    run(main)
