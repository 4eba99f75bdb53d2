"""Make the complex-Morlet wavelet pictures, the paper's "DWT"."""

from pathlib import Path

from advaudio.clips.clip_store import ClipStore
from advaudio.core.command_line import progress_bar, run
from advaudio.core.device import torch_devices
from advaudio.core.params import read_params
from advaudio.representations.dwt import build_dwt


def main(
    params: Path = Path("params.yaml"),
    augmented: Path = Path("data/augmented"),
    pictures: Path = Path("data/dwt/pictures.npy"),
) -> None:
    """Transform every clip: frame-averaged wavelet energy in dB below its maximum, as values in [0, 1]."""
    chosen = read_params(params)
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
