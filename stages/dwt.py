"""Make the complex-Morlet wavelet pictures, the paper's "DWT"."""

from pathlib import Path

from advaudio.datasets.clip_store import ClipStore
from advaudio.device import torch_devices
from advaudio.params import read
from advaudio.representations.dwt import build_dwt
from stages.command_line import progress_bar, run


def main(
    params: Path = Path("params.yaml"),
    augmented: Path = Path("data/augmented"),
    pictures: Path = Path("data/dwt/pictures.npy"),
) -> None:
    """Transform every clip: frame-averaged wavelet energy in dB below its maximum, as values in [0, 1]."""
    chosen = read(params)
    dataset = chosen.chosen_dataset
    with progress_bar() as progress:
        build_dwt(
            ClipStore.open(augmented),
            pictures,
            size=dataset.spectrogram_size,
            clip_seconds=dataset.clip_seconds,
            sample_rate=dataset.dwt_sample_rate,
            device=torch_devices(chosen.device)[0],
            progress=progress,
            **chosen.dwt.model_dump(),
        )


if __name__ == "__main__":
    run(main)
