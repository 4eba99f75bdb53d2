"""The one form of what the benchmarks measure: rows of task, system, metric, value and unit, and where they come from."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from advaudio.files import write_json
from benchmarks.markdown_table import markdown_table


@dataclass(frozen=True)
class Row:
    """One number: what was done, by whom, what was measured of it, and in which unit."""

    task: str
    system: str
    metric: str
    value: float
    unit: str


class Measurements:
    """The rows of one run of a benchmark.

    Parameters
    ----------
    libraries
        Distributions whose versions are recorded; one that is missing is recorded as "not installed".
    """

    def __init__(self, libraries: Sequence[str] = ()) -> None:
        self.libraries = libraries
        self.rows: list[Row] = []
        self.failed: list[dict[str, str]] = []

    def add(self, task: str, system: str, metric: str, value: float, unit: str) -> None:
        """Record one number."""
        self.rows.append(Row(task, system, metric, float(value), unit))

    def fail(self, task: str, system: str, error: Exception) -> None:
        """Record that a system could not do a task, and why."""
        self.failed.append({"task": task, "system": system, "error": f"{type(error).__name__}: {error}"})

    def value(self, task: str, system: str, metric: str) -> float:
        """A number recorded before.

        Raises
        ------
        KeyError
            If there is none.
        """
        for row in self.rows:
            if (row.task, row.system, row.metric) == (task, system, metric):
                return row.value
        raise KeyError((task, system, metric))

    def write(self, path: Path, **settings: Any) -> None:
        """Write the rows, what failed, and the run's circumstances as JSON.

        Parameters
        ----------
        settings
            What a reader needs beside the command to understand the numbers.
        """
        content = {**circumstances(self.libraries), **settings, "rows": [asdict(row) for row in self.rows]}
        write_json(path, content if not self.failed else {**content, "failed": self.failed})

    def table(self) -> str:
        """One Markdown table for each task: a line for each system, a column for each metric."""
        tables = []
        for task in dict.fromkeys(row.task for row in self.rows):
            rows = [row for row in self.rows if row.task == task]
            metrics = dict.fromkeys((row.metric, row.unit) for row in rows)
            lines = []
            for system in dict.fromkeys(row.system for row in rows):
                found = {(row.metric, row.unit): f"{row.value:.4g}" for row in rows if row.system == system}
                numbers = {f"{metric} ({unit})": found.get((metric, unit), "") for metric, unit in metrics}
                lines.append({task: system, **numbers})
            tables.append(markdown_table(lines, numbers_from=1))
        failures = [f"{item['task']}, {item['system']} failed: {item['error']}\n" for item in self.failed]
        return "\n".join([*tables, *failures])


def circumstances(libraries: Sequence[str] = ()) -> dict[str, Any]:
    """Command, commit, date, hardware and versions of this run; paths are shortened to file names."""
    versions = {"python": platform.python_version()}
    for name in ("numpy", "torch", *libraries):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "command": _command(),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": versions,
    }


def hardware() -> Mapping[str, Any]:
    """Processor, the cores that this process may use, and the GPU if there is one."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"processor": model, "cores": cores, "load": round(os.getloadavg()[0], 1)}
    import torch

    return {**found, "gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else found


def _command() -> str:
    script = PurePath(sys.argv[0])
    words = [_short(word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", f"{script.parent.name}.{script.stem}", *words])


def _short(word: str) -> str:
    return PurePath(word).name if PurePath(word).is_absolute() else word


def commit() -> str | None:
    """Of the code that runs; None outside of a Git repository."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout.strip() or None
