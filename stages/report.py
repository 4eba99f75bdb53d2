"""Write one page with everything about this cell."""

from pathlib import Path

from advaudio.files import write_text
from advaudio.params import read
from advaudio.report.cell_page import Files, cell_page
from advaudio.report.page import render
from stages.command_line import run


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
    write_text(page, render(cell_page(read(params).model_dump(), files)))


if __name__ == "__main__":
    run(main)
