"""Show two experiments side by side."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advaudio.core.command_line import run
from advaudio.report.cells import words
from experiments.collect import read_named
from experiments.comparison import compare, different_settings

SOURCE = "an experiment, a revision, `workspace`, a folder or a result file"


def main(
    first: Annotated[str, typer.Argument(metavar="A", help=SOURCE)],
    second: Annotated[str, typer.Argument(metavar="B", help=SOURCE)] = "workspace",
    repository: Annotated[Path, typer.Option(help="where the experiments are")] = Path(),
) -> None:
    """Every headline figure of A and B, its change, and which of the two is harder to attack."""
    cells = [read_named(repository, name) for name in (first, second)]
    console = Console()
    console.print(Text(f"A  {first}: {cells[0].title}\nB  {second}: {cells[1].title}\n"))
    settings = different_settings(*cells)
    if settings:
        parameters = Table("parameter", "A", "B", title="Parameters that differ", title_justify="left")
        for setting in settings:
            parameters.add_row(*map(Text, setting))
        console.print(parameters)
    figures = Table(title="Figures; change with its 95 % interval", title_justify="left")
    for heading in ("", "figure"):
        figures.add_column(heading)
    for heading in ("A", "B", "change"):
        figures.add_column(heading, justify="right")
    figures.add_column("better")
    group = ""
    for row in compare(*cells):
        if row.group != group and group:
            figures.add_section()
        figures.add_row(
            Text(row.group if row.group != group else ""),
            Text(f"{row.metric} ({row.unit})" if row.unit else row.metric),
            Text(words.value(row.first, row.digits)),
            Text(words.value(row.second, row.digits)),
            Text(words.with_interval(row.change, row.digits)),
            Text(row.better, style="bold green" if row.better in ("A", "B") else "dim"),
        )
        group = row.group
    console.print(figures)
    console.print(
        "Better means better for the defender. It is unclear where the interval of the change holds 0. Without an "
        "interval, the sign decides.",
        style="dim",
    )


if __name__ == "__main__":
    run(main)
