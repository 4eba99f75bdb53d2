"""Run many cells of the grid as DVC experiments, over the GPUs of this machine or a dask cluster."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from advaudio.core.command_line import console, run
from advaudio.core.errors import AdvaudioError
from experiments.sweep.cells import PAPER_GRID
from experiments.sweep.run import News, sweep
from experiments.sweep.worker import Outcome


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
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TextColumn("{task.description}"), console=console, disable=not console.is_terminal
    ) as bars:
        bar = bars.add_task("starting", total=None)

        def tell(news: News) -> None:
            bars.update(bar, total=news.cells, completed=news.done, description=_end(news))
            if news.outcome is None:
                console.print(f"{news.cells} cells, {news.done} of them done before.", highlight=False)
            elif news.outcome.state in ("done", "failed"):
                line = f"{news.outcome.name} {news.outcome.state} after {news.outcome.seconds:.0f} s"
                console.print(
                    f"{line}; {news.done} of {news.cells} cells done {_end(news)}".rstrip(), highlight=False
                )

        summary = sweep(wanted, Path.cwd(), workers=workers, scheduler=scheduler, folder=folder, tell=tell)
    if summary.failed:
        raise AdvaudioError(
            f"{len(summary.done)} of the missing cells ran; not all ended well: "
            f"{'; '.join(_fate(outcome) for outcome in summary.failed)}. "
            "The same command runs what is missing."
        )
    console.print(f"{len(summary.done)} cells ran. See them with: dvc exp show", highlight=False)


def _end(news: News) -> str:
    if news.seconds_left is None or news.done == news.cells:
        return ""
    return f"end at about {datetime.now() + timedelta(seconds=news.seconds_left):%a %H:%M}"


def _fate(outcome: Outcome) -> str:
    place = f"log: {outcome.log}" if outcome.log else outcome.said
    return f"{outcome.name} {outcome.state} ({place})"


if __name__ == "__main__":
    run(main)
