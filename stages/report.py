"""Write one page with everything about this cell."""

from pathlib import Path

from advaudio.core.command_line import run
from advaudio.core.files import write_text
from advaudio.core.params import read_params
from advaudio.report.pages.cell_page import Files, cell_page


def main(
    params: Path = Path("params.yaml"),
    folder: Path = Path(),
    pictures: Path = Path("data/pictures/pictures.npy"),
    clips: Path = Path("data/raw/clips.csv"),
    dataset: Path = Path("data/raw/dataset.json"),
    augmented: Path = Path("data/augmented"),
    page: Path = Path("report/report.html"),
) -> None:
    """Gather accuracies, attacks, curves and examples into one self-contained HTML page."""
    files = Files(folder=folder, pictures=pictures, clips=clips, dataset=dataset, augmented=augmented)
    write_text(page, cell_page(read_params(params).model_dump(), files))


if __name__ == "__main__":
    run(main)
