"""Look for gradient masking in the original and the robust model."""

from pathlib import Path

from advaudio.core.command_line import progress_bar, run
from advaudio.core.device import torch_devices
from advaudio.core.files import write_json
from advaudio.core.metrics_file import write_metrics
from advaudio.core.params import read_params
from advaudio.evaluation.attacked_clips import read_attacked_clips
from advaudio.evaluation.gradient_masking import check_models, failed_checks


def main(
    params: Path = Path("params.yaml"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    original: Path = Path("models/original.safetensors"),
    robust: Path = Path("models/robust.safetensors"),
    outputs: Path = Path("outputs/masking.json"),
    metrics: Path = Path("metrics/masking.json"),
) -> None:
    """Check whether the models' fooling rates can be believed (Athalye et al. 2018)."""
    chosen = read_params(params)
    clips = read_attacked_clips(pictures, split, original, robust)
    with progress_bar() as progress:
        checks = check_models(
            {"original": original, "robust": robust},
            clips.pictures,
            clips.labels,
            **chosen.chosen_budget.masking.model_dump(),
            seed=chosen.seed,
            devices=torch_devices(chosen.device),
            progress=progress,
        )
    write_json(outputs, checks)
    failed = {f"{name}_failed_checks": failed_checks(found) for name, found in checks.items()}
    write_metrics(metrics, {"failed": sum(failed.values()), **failed}, shown=["failed"])


if __name__ == "__main__":
    run(main)
