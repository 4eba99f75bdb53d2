"""Where the time of a sweep went: GPU-minutes of every cell, by what it did.

    python -m studies.sweep_times .advaudio/sweep/0123456789ab --json times.json

writes that file, and the same as a table (.md) beside it. Cells that share a GPU share its minutes: each moment is
divided evenly among the jobs that were on it, failed ones included. Jobs that were stopped together with the sweep
left no times, so the cells beside them are charged for them too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json, write_json, write_text
from benchmarks.markdown_table import markdown_table
from experiments.sweep.plan import SHARED

PARTS = ("train", "train_fgsm", "attacks", "masking", "rest")


@dataclass(frozen=True)
class Ran:
    """One job of a sweep: its cell, the GPU it was on, its end in seconds, and how long each stage took."""

    name: str
    state: str
    gpu: str
    end: float
    seconds: float
    stages: dict[str, float]

    @property
    def start(self) -> float:
        """Seconds on the clock that `end` is on."""
        return self.end - self.seconds

    @property
    def resumed(self) -> bool:
        """Whether earlier attempts ran a part of the stages: `seconds` are those of the last one."""
        return sum(self.stages.values()) > self.seconds + 1

    def parts(self) -> dict[str, float]:
        """Seconds of each of `PARTS`; together they are `seconds`."""
        found = dict.fromkeys(PARTS, 0.0)
        for stage, seconds in self.stages.items():
            part = "attacks" if stage.startswith("attack@") else stage
            found[part if part in PARTS else "rest"] += seconds
        found["rest"] += self.seconds - sum(found.values())
        return found


def read_sweep(folder: Path) -> list[Ran]:
    """Jobs that ran and ended, of a folder with `times/` and `logs/` as `experiments.sweep` leaves it.

    Raises
    ------
    AdvaudioError
        If there is none, or a log is missing or has no time.
    """
    found = []
    for file in sorted((folder / "times").glob("*.json")):
        content = read_json(file, "name", "state", "seconds", "stages", "host", "gpu")
        if not content["seconds"]:
            continue
        log = folder / "logs" / f"{content['name']}.log"
        gpu = f"{content['host']}:{content['gpu']}"
        seconds, stages = content["seconds"], content["stages"]
        found.append(Ran(content["name"], content["state"], gpu, _last_time(log), seconds, stages))
    if not found:
        raise AdvaudioError(f"{folder} has no times/*.json: name the folder of a sweep that has run.")
    return found


def gpu_seconds(jobs: list[Ran]) -> list[float]:
    """Of every job its share of the time of its GPU."""
    shares = [0.0] * len(jobs)
    for gpu in {job.gpu for job in jobs}:
        there = [number for number, job in enumerate(jobs) if job.gpu == gpu]
        moments = sorted({moment for number in there for moment in (jobs[number].start, jobs[number].end)})
        for begin, end in itertools.pairwise(moments):
            present = [number for number in there if jobs[number].start <= begin and jobs[number].end >= end]
            for number in present:
                shares[number] += (end - begin) / len(present)
    return shares


def main(
    folders: Annotated[
        list[Path], typer.Argument(help=".advaudio/sweep/<commit>, one or several side by side")
    ],
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write; a table goes beside it")],
) -> None:
    """GPU-minutes of every finished cell and where they went."""
    jobs = [job for folder in folders for job in read_sweep(folder)]
    rows: list[dict[str, Any]] = []
    for job, gpu in zip(jobs, gpu_seconds(jobs), strict=True):
        if job.name.startswith(SHARED):
            continue
        if job.state != "done":
            print(f"Left out: {job.name} {job.state}.")
            continue
        if not {"train", "train_fgsm"} <= job.stages.keys():
            print(f"Left out: {job.name} did not train both models; it shares them with other cells.")
            continue
        if job.resumed:
            print(f"Left out: {job.name} was stopped and went on; its time is not known as a whole.")
            continue
        share = gpu / job.seconds
        minutes = {part: round(seconds * share / 60, 2) for part, seconds in job.parts().items()}
        rows.append(
            {
                "cell": job.name,
                "minutes": round(job.seconds / 60, 2),
                "gpu_minutes": round(gpu / 60, 2),
                "gpu_minutes_of": minutes,
            }
        )
    write_json(json_file, {"cells": rows, "gpu_minutes": round(sum(row["gpu_minutes"] for row in rows), 1)})
    lines = []
    for row in rows:
        numbers = {"minutes": row["minutes"], "GPU-minutes": row["gpu_minutes"], **row["gpu_minutes_of"]}
        lines.append({"cell": row["cell"], **{name: f"{number:.1f}" for name, number in numbers.items()}})
    text = markdown_table(lines, numbers_from=1)
    write_text(json_file.with_suffix(".md"), text)
    print(text)


def _last_time(log: Path) -> float:
    if not log.exists():
        raise AdvaudioError(f"{log} is missing: name the whole folder of the sweep.")
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            return datetime.fromisoformat(line.split(" ", 1)[0]).timestamp()
        except ValueError:
            continue
    raise AdvaudioError(f"{log} has no line that begins with a time: it is no log of a sweep.")


if __name__ == "__main__":
    typer.run(main)
