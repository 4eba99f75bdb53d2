"""Deal the clips into training, validation and test parts."""

from pathlib import Path

from advaudio.clips.clip_store import read_table
from advaudio.clips.split import split
from advaudio.core.command_line import run
from advaudio.core.files import write_csv
from advaudio.core.params import read_params


def main(
    params: Path = Path("params.yaml"),
    clips: Path = Path("data/augmented/clips.csv"),
    parts: Path = Path("data/split.csv"),
) -> None:
    """Hold out the test part and deal the rest into folds, by recording unless told otherwise."""
    chosen = read_params(params)
    write_csv(parts, split(read_table(clips), seed=chosen.seed, **chosen.split.model_dump()))


if __name__ == "__main__":
    run(main)
