"""Train the robust model in the same folds, adversarially (Eq. 13)."""

from pathlib import Path
from typing import Annotated

import typer

from advaudio.clips.class_names import read_class_names
from advaudio.core.command_line import console, progress_bar, run
from advaudio.core.files import read_json
from advaudio.core.metrics_file import write_metrics
from advaudio.core.params import read_params
from advaudio.models.registry import require_watched
from advaudio.training.accuracy import accuracy_over_folds, drop_ratio
from advaudio.training.checkpoints import remove_finished
from advaudio.training.folds import train_folds
from advaudio.training.live import live_curves
from advaudio.training.outputs import write_outputs
from advaudio.training.settings import AdversarialSettings, TrainingSettings


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
    class_names = read_class_names(clips)
    budget = chosen.chosen_budget.training
    clean = read_json(original, "picked.repeat", "picked.fold", "test_accuracy")
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
            defence=None if chosen.defence == "none" else chosen.defence,
            training=TrainingSettings(**chosen.training.model_dump()),
            adversarial=AdversarialSettings(**chosen.adversarial_training.model_dump()),
            seed=chosen.seed,
            device=chosen.device,
            checkpoint_folder=scratch,
            # Only the same fold of both has the same test clips under `split.by: official`, and the same
            # training clips under every split.
            pick=(clean["picked"]["repeat"], clean["picked"]["fold"]),
            progress=progress,
            on_epoch=on_epoch,
        )
    write_outputs(result, outputs, class_names)
    accuracy = accuracy_over_folds(result.folds)
    drop = drop_ratio(clean["test_accuracy"], accuracy["accuracy"])
    collapsed = result.summary().get("collapsed_folds")
    found = {**accuracy, "test_clips": result.test_clips, "drop_ratio": drop, "collapsed_folds": collapsed}
    write_metrics(metrics, found, shown=["accuracy"])
    remove_finished(scratch)
    if collapsed:
        console.print(
            f"Warning: adversarial training collapsed in {collapsed} folds (accuracy under PGD fell while "
            "accuracy under FGSM rose); see outputs/train_fgsm/folds.csv. "
            "A smaller adversarial_training.epsilon or defence: fgsm_rs helps."
        )


if __name__ == "__main__":
    run(main)
