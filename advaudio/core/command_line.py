"""What all stages share: errors as one paragraph, a progress bar, Ctrl-C."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from advaudio.core.errors import AdvaudioError, machine_fault
from advaudio.core.interrupts import INTERRUPTED, INTERRUPTED_STATUS, let_signals_end_it
from advaudio.core.progress import Progress

console = Console(stderr=True)


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` as a command: options from its signature, help from its docstring.

    An `AdvaudioError`, and a fault of the machine, is printed as one paragraph and ends with status 1; Ctrl-C
    and a polite kill end with status 130.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    try:
        try:
            status = app(standalone_mode=False)
        finally:
            let_signals_end_it()
    except AdvaudioError as error:
        _fail(str(error))
    except typer.Exit as finished:
        status = finished.exit_code
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED_STATUS
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's usage errors
            error.show()
            sys.exit(error.exit_code)
        fault = machine_fault(error)
        if fault is None:
            raise
        sys.exit(f"Error: {fault}")  # plainly: without memory, Rich cannot even import what it draws with
    # Typer returns the status of an interrupt instead of raising it.
    if status == INTERRUPTED_STATUS:
        console.print(INTERRUPTED)
    sys.exit(status)


def _fail(message: str) -> NoReturn:
    console.print(f"[bold red]Error:[/] {_escape(message)}", highlight=False, soft_wrap=True)
    sys.exit(1)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Give a `Progress` callback that draws one bar per description; silent where nobody watches."""
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Bars(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def report(done: int, total: int, description: str) -> None:
            key = description.split(":")[0]
            if key not in tasks:
                tasks[key] = bars.add_task(description, total=total)
            bars.update(tasks[key], completed=done, total=total, description=description)

        yield report
