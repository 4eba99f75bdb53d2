"""Make the STFT pictures."""

from pathlib import Path

from advaudio.clips.clip_store import ClipStore
from advaudio.core.command_line import progress_bar, run
from advaudio.core.device import torch_devices
from advaudio.core.params import read_params
from advaudio.representations.stft import build_stft


def main(
    params: Path = Path("params.yaml"),
    augmented: Path = Path("data/augmented"),
    pictures: Path = Path("data/stft/pictures.npy"),
) -> None:
    """Transform every clip: squared magnitude in dB below the clip's maximum, as values in [0, 1]."""
    chosen = read_params(params)
    dataset = chosen.chosen_dataset
    with progress_bar() as progress:
        build_stft(
            ClipStore.open(augmented),
            pictures,
            size=dataset.spectrogram_size,
            clip_seconds=dataset.clip_seconds,
            device=torch_devices(chosen.device)[0],
            progress=progress,
            **chosen.stft.model_dump(),
        )


if __name__ == "__main__":
    run(main)
