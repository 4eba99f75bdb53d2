"""Deal the clips into training, validation and test parts."""

from pathlib import Path

from advaudio.datasets.clip_store import read_table
from advaudio.datasets.split import split
from advaudio.files import write_csv
from advaudio.params import read
from stages.command_line import run


def main(
    params: Path = Path("params.yaml"),
    clips: Path = Path("data/augmented/clips.csv"),
    parts: Path = Path("data/split.csv"),
) -> None:
    """Hold out the test part and deal the rest into folds, by recording unless told otherwise."""
    chosen = read(params)
    write_csv(parts, split(read_table(clips), seed=chosen.seed, **chosen.split.model_dump()))


if __name__ == "__main__":
    run(main)
