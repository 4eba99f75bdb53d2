"""Build the selected representation, the one that models are trained on."""

from pathlib import Path

from advaudio.core.command_line import progress_bar, run
from advaudio.core.params import read_params
from advaudio.representations.append import append


def main(
    params: Path = Path("params.yaml"),
    stft: Path = Path("data/stft/pictures.npy"),
    dwt: Path = Path("data/dwt/pictures.npy"),
    tonnetz: Path = Path("data/tonnetz/pictures.npy"),
    pictures: Path = Path("data/pictures/pictures.npy"),
) -> None:
    """Take the STFT or DWT pictures, and stack the tonnetz on their frequency axis if it is selected."""
    spectrogram, _, appended = read_params(params).representation.partition("_")
    with progress_bar() as progress:
        append(
            {"stft": stft, "dwt": dwt}[spectrogram],
            tonnetz if appended else None,
            pictures,
            progress=progress,
        )


if __name__ == "__main__":
    run(main)
