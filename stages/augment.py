"""Add pitch-shifted copies of every clip."""

from pathlib import Path

from advaudio.augmentation.augment import augment
from advaudio.core.command_line import progress_bar, run
from advaudio.core.params import read_params


def main(
    params: Path = Path("params.yaml"),
    clips: Path = Path("data/raw"),
    augmented: Path = Path("data/augmented"),
) -> None:
    """Write every clip and its pitch-shifted copies, durations kept, into one store."""
    chosen = read_params(params)
    with progress_bar() as progress:
        augment(
            clips,
            augmented,
            scales=chosen.augment.pitch_scales,
            engine=chosen.augment.engine,
            progress=progress,
        )


if __name__ == "__main__":
    run(main)
