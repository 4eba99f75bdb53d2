"""Write one page with everything about this cell."""

from pathlib import Path

from advaudio.files import write_text
from advaudio.params import read
from advaudio.report.cell import Choice, Files, cell_page
from advaudio.report.page import render
from stages.command_line import run


def main(
    params: Path = Path("params.yaml"),
    pictures: Path = Path("data/pictures/pictures.npy"),
    clips: Path = Path("data/raw/clips.csv"),
    dataset: Path = Path("data/raw/dataset.json"),
    outputs: Path = Path("outputs"),
    metrics: Path = Path("metrics"),
    page: Path = Path("report/report.html"),
) -> None:
    """Gather accuracies, attacks, curves and examples into one self-contained HTML page."""
    chosen = read(params)
    choice = Choice(
        dataset=chosen.dataset,
        representation=chosen.representation,
        model=chosen.model,
        defence=chosen.defence,
        budget=chosen.budget,
        seed=chosen.seed,
        split_by=chosen.split.by,
        fooling_threshold=chosen.evaluation.fooling_threshold,
        attacks=tuple(chosen.attacks),
    )
    files = Files(
        pictures=pictures,
        clips=clips,
        dataset=dataset,
        train=outputs / "train",
        train_fgsm=outputs / "train_fgsm",
        metrics=metrics / "train.json",
        metrics_fgsm=metrics / "train_fgsm.json",
        attacks=outputs / "attacks",
        rho=outputs / "rho.json",
    )
    write_text(page, render(cell_page(choice, files)))


if __name__ == "__main__":
    run(main)
