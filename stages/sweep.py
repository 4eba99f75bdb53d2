"""Run many cells of the grid as DVC experiments, over the GPUs of this machine or a dask cluster."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from advaudio.errors import AdvaudioError
from advaudio.sweep.cells import PAPER_GRID
from advaudio.sweep.run import News, sweep
from stages.command_line import console, run


def main(
    settings: Annotated[
        list[str] | None, typer.Argument(help="key=value,value …, as for dvc exp run --set-param")
    ] = None,
    paper: Annotated[bool, typer.Option("--paper", help="4 representations × 6 models")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; by default one per GPU, or one")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="a dask scheduler of your own, tcp://…; its workers run the cells")
    ] = None,
    folder: Annotated[
        str, typer.Option(help="where those workers keep clones and cache; $VARIABLES are the worker's")
    ] = "~/.cache/advaudio-sweep",
) -> None:
    """Run each combination of values as an experiment; those that exist already are left alone."""
    wanted = [*(settings or []), *(PAPER_GRID if paper else ())]
    with console.status("starting") as status:

        def tell(news: News) -> None:
            status.update(_line(news))
            if news.outcome is None:
                console.print(f"{news.cells} cells, {news.done} of them done before.")
            elif news.outcome.state in ("done", "failed"):
                console.print(
                    f"{news.outcome.name} {news.outcome.state} after {news.outcome.seconds:.0f} s; {_line(news)}",
                    highlight=False,
                )

        summary = sweep(wanted, Path.cwd(), workers=workers, scheduler=scheduler, folder=folder, tell=tell)
    if summary.failed:
        told = "; ".join(
            f"{outcome.name} {outcome.state}"
            + (f" (log: {outcome.log})" if outcome.log else f" ({outcome.said})")
            for outcome in summary.failed
        )
        raise AdvaudioError(
            f"{len(summary.done)} cells ran, {len(summary.failed)} jobs did not end well: {told}. "
            "The same command runs what is missing."
        )
    console.print(f"{len(summary.done)} cells ran. See them with: dvc exp show")


def _line(news: News) -> str:
    text = f"{news.done} of {news.cells} cells done"
    if news.seconds_left is not None and news.done < news.cells:
        end = datetime.now() + timedelta(seconds=news.seconds_left)
        text += f", end at about {end:%H:%M}"
    return text


if __name__ == "__main__":
    run(main)
