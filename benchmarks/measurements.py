"""The one form of what the benchmarks measure: rows of task, system, metric, value and unit, and where they come from."""

from __future__ import annotations

import importlib.util
import math
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
import typer

from advaudio.core.files import write_json
from benchmarks.markdown_table import markdown_table

FOLDERS = re.compile(r"(?:[A-Za-z]:)?(?:/[^\s/:;,'\"()]+)+/")
"""Absolute paths up to their last part."""
MODULES = {"adversarial-robustness-toolbox": "art"}
"""Modules of distributions that are named otherwise."""


@dataclass(frozen=True)
class Row:
    """One number: what was done, by whom, what was measured of it, and in which unit."""

    task: str
    system: str
    metric: str
    value: float
    unit: str


class Measurements:
    """The rows of one run of a benchmark, and the circumstances that it began in.

    Parameters
    ----------
    libraries
        Distributions whose versions are recorded; one that is missing is recorded as "not installed", a
        module without its distribution's metadata as "of unknown version".
    device
        What computes: `cpu`, or a CUDA device, which is named.
    """

    def __init__(self, libraries: Sequence[str] = (), device: str = "cpu") -> None:
        self.circumstances = circumstances(libraries, device)
        self._rows: dict[tuple[str, str, str], Row] = {}
        self.failed: list[dict[str, str]] = []

    def add(self, task: str, system: str, metric: str, value: float, unit: str) -> None:
        """Record one number; one that is not finite counts as failed.

        Raises
        ------
        ValueError
            If this system has that metric of that task already.
        """
        if (task, system, metric) in self._rows:
            raise ValueError(f"{metric} of {system} in {task} is recorded already")
        if math.isfinite(value):
            self._rows[task, system, metric] = Row(task, system, metric, float(value), unit)
        else:
            self.failed.append({"task": task, "system": system, "error": f"{metric} is {value}"})

    def add_speeds(self, task: str, system: str, rates: Sequence[float]) -> float:
        """Record the median, lowest and highest of several rates, in images/s, and return the median."""
        median = statistics.median(rates)
        for metric, rate in (("median", median), ("lowest", min(rates)), ("highest", max(rates))):
            self.add(task, system, f"speed, {metric}", rate, "images/s")
        return median

    def fail(self, task: str, system: str, error: Exception) -> None:
        """Record that a system could not do a task, and why; folders are left out of the reason."""
        reason = FOLDERS.sub("", f"{type(error).__name__}: {error}")
        self.failed.append({"task": task, "system": system, "error": reason})

    def value(self, task: str, system: str, metric: str) -> float:
        """A number recorded before.

        Raises
        ------
        KeyError
            If there is none.
        """
        return self._rows[task, system, metric].value

    def write(self, path: Path, **settings: Any) -> None:
        """Write the rows, what failed, and the run's circumstances as JSON.

        Parameters
        ----------
        settings
            What a reader needs beside the command to understand the numbers.
        """
        content = {**self.circumstances, **settings, "rows": [asdict(row) for row in self._rows.values()]}
        write_json(path, content if not self.failed else {**content, "failed": self.failed})

    def table(self) -> str:
        """One Markdown table for each task: a line for each system, a column for each metric."""
        tables = []
        for task in dict.fromkeys(row.task for row in self._rows.values()):
            rows = [row for row in self._rows.values() if row.task == task]
            metrics = dict.fromkeys((row.metric, row.unit) for row in rows)
            lines = []
            for system in dict.fromkeys(row.system for row in rows):
                found = {(row.metric, row.unit): _number(row.value) for row in rows if row.system == system}
                numbers = {f"{metric} ({unit})": found.get((metric, unit), "") for metric, unit in metrics}
                lines.append({task: system, **numbers})
            tables.append(markdown_table(lines, numbers_from=1))
        failures = [f"{item['task']}, {item['system']} failed: {item['error']}\n" for item in self.failed]
        return "\n".join([*tables, *failures])


def circumstances(libraries: Sequence[str] = (), device: str = "cpu") -> dict[str, Any]:
    """Command, commit, date, hardware and versions of this run; paths outside of the repository are shortened."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}
    for name in libraries:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            there = importlib.util.find_spec(MODULES.get(name, name)) is not None
            versions[name] = "of unknown version" if there else "not installed"
    return {
        "command": _command(),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(device),
        "versions": versions,
    }


def hardware(device: str = "cpu") -> dict[str, Any]:
    """Processor, the cores that this process may use, the load of the last minute, and the GPU if one computes."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"processor": model, "cores": cores, "load": round(os.getloadavg()[0], 1)}
    return {**found, "gpu": torch.cuda.get_device_name(device)} if device.startswith("cuda") else found


def commit() -> str | None:
    """Of the code that runs; None without Git or outside of a repository."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=60
        )
    except OSError:
        return None
    return done.stdout.strip() or None


def synchronise(device: torch.device) -> None:
    """Wait until a CUDA device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Time that a call takes until the device has done what it was given."""
    synchronise(device)
    started = time.perf_counter()
    run()
    synchronise(device)
    return time.perf_counter() - started


def best_seconds(
    run: Callable[[], Any], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Fastest of `rounds` runs, after one that is not counted."""
    run()
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def refuse_beside_quick(context: typer.Context, *allowed: str) -> None:
    """`--quick` sets sizes and budgets itself: refuse other options that were given, but those `allowed`.

    Raises
    ------
    typer.BadParameter
        If there are such options.
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [
        name
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE" and name not in ("quick", *allowed)
    ]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise typer.BadParameter(f"it sets {names} itself; leave out one of the two", param_hint="--quick")


def _command() -> str:
    script = PurePath(sys.argv[0])
    words = [_short(word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", f"{script.parent.name}.{script.stem}", *words])


def _short(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    path = PurePath(value)
    return (
        option + equals + (path.name if path.is_absolute() or path.parts[:1] in (("..",), ("~",)) else value)
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
