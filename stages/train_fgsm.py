"""Train the robust model in the same folds, adversarially (Eq. 13)."""

from pathlib import Path
from typing import Annotated

import typer

from advaudio.clips.class_names import read_class_names
from advaudio.core.command_line import console, progress_bar, run
from advaudio.core.params import read_params
from advaudio.models.registry import require_watched
from advaudio.training.job import robust_job
from advaudio.training.outputs import TrainingFiles, collapse_warning, train_and_write
from stages.live import live_curves


def main(
    params: Path = Path("params.yaml"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    clips: Path = Path("data/raw/clips.csv"),
    original: Annotated[Path, typer.Option(help="outputs of the original model's training")] = Path(
        "outputs/train/summary.json"
    ),
    model_file: Path = Path("models/robust.safetensors"),
    outputs: Path = Path("outputs/train_fgsm"),
    metrics: Path = Path("metrics/train_fgsm.json"),
    networks: Annotated[Path, typer.Option(help="folder of your own networks")] = Path("networks"),
    scratch: Annotated[Path, typer.Option(help="checkpoints, to resume from")] = Path(".advaudio/train_fgsm"),
    live: Annotated[Path, typer.Option(help="dvclive's log of the epochs")] = Path("live/train_fgsm"),
) -> None:
    """Train one network per fold against the parameter `defence`; publish the original model's fold."""
    chosen = read_params(params)
    require_watched(chosen.model, networks)
    names = read_class_names(clips)
    job = robust_job(chosen, pictures, split, len(names), original)
    files = TrainingFiles(model_file, outputs, metrics, scratch)
    with progress_bar() as progress, live_curves(live) as on_epoch:
        result = train_and_write(
            job, files, names, device=chosen.device, original=original, progress=progress, on_epoch=on_epoch
        )
    warning = collapse_warning(result)
    if warning:
        console.print(warning)


if __name__ == "__main__":
    run(main)
