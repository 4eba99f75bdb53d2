"""Make the tonnetz pictures."""

from pathlib import Path

from advaudio.datasets.clip_store import ClipStore
from advaudio.device import torch_devices
from advaudio.params import read
from advaudio.representations.tonnetz import build_tonnetz
from stages.command_line import progress_bar, run


def main(
    params: Path = Path("params.yaml"),
    augmented: Path = Path("data/augmented"),
    pictures: Path = Path("data/tonnetz/pictures.npy"),
) -> None:
    """Transform every clip: CQT chroma, then six tonal centroids, as values in [0, 1]."""
    chosen = read(params)
    dataset = chosen.chosen_dataset
    with progress_bar() as progress:
        build_tonnetz(
            ClipStore.open(augmented),
            pictures,
            size=dataset.tonnetz_size,
            clip_seconds=dataset.clip_seconds,
            device=torch_devices(chosen.device)[0],
            progress=progress,
            **chosen.tonnetz.model_dump(),
        )


if __name__ == "__main__":
    run(main)
