"""Bring the selected data set into one array of samples and one table of clips."""

from pathlib import Path
from typing import Annotated

import typer

from advaudio.core.command_line import console, progress_bar, run
from advaudio.core.params import read_params
from advaudio.datasets.load import REPORT_FILE, load


def main(
    params: Path = Path("params.yaml"),
    clips: Annotated[Path, typer.Option(help="folder to write")] = Path("data/raw"),
    cache: Annotated[Path, typer.Option(help="where downloads are kept")] = Path(".advaudio/downloads"),
    archive: Annotated[Path | None, typer.Option(help="use this file; overrides the parameter")] = None,
) -> None:
    """Download, or take from an archive, a folder or the synthesiser; check every clip; write one store."""
    chosen = read_params(params)
    dataset = chosen.chosen_dataset
    if archive is None and dataset.archive is not None:
        archive = Path(dataset.archive)
    with progress_bar() as progress:
        report = load(
            chosen.dataset,
            clips,
            source=dataset.source,
            archive=archive,
            on_bad_file=dataset.on_bad_file,
            seed=chosen.seed,
            cache_folder=cache,
            progress=progress,
        )
    if report["dropped_clips"]:
        console.print(
            f"Left out {report['dropped_clips']} files: see {clips / REPORT_FILE}.", highlight=False
        )
    console.print(
        f"{report['title']}: {report['clips']} clips. Licence: {report['licence']}. "
        f"Please cite: {report['citation']}",
        highlight=False,
    )


if __name__ == "__main__":
    run(main)
