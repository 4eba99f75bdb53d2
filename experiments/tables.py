"""Make the paper's tables from many experiments."""

from pathlib import Path
from typing import Annotated

import typer

from advaudio.core.command_line import console, progress_bar, run
from experiments.collect import collect
from experiments.results import write_results

CELLS = "experiments, revisions, `workspace`, folders or result files; by default all experiments and the workspace"


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="CELL...", help=CELLS)] = None,
    repository: Annotated[Path, typer.Option(help="where the experiments are")] = Path(),
    output: Annotated[Path, typer.Option(help="folder for tables.md, .csv, .tex and .html")] = Path(
        "report/tables"
    ),
    records: Annotated[
        Path | None, typer.Option(help="folder to write a result file of each cell to")
    ] = None,
) -> None:
    """Tables I, II and III of the paper, accuracy under PGD, a verdict on each claim, and a page with everything."""
    with progress_bar() as progress:
        collection = collect(repository, names or [], progress)
    written = write_results(collection, output, records)
    console.print(written, highlight=False, markup=False)


if __name__ == "__main__":
    run(main)
