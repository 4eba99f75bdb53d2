"""What a worker does: one job in one clone, every command under guard."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock

from advaudio.core.errors import AdvaudioError
from experiments.sweep import guard
from experiments.sweep.stage_times import stage_seconds
from experiments.sweep.workspace import Origin, prepare

TAIL = 200_000
"""Characters of a log that travel back with the outcome."""


@dataclass(frozen=True)
class Place:
    """Where a worker keeps things; `~` and environment variables are expanded on the worker.

    Parameters
    ----------
    folder
        Of clones and logs.
    cache
        DVC's cache.
    downloads
        Downloaded archives.
    """

    folder: str
    cache: str
    downloads: str


@dataclass(frozen=True)
class Job:
    """Commands to run one after the other in a clone.

    Parameters
    ----------
    name
        Of the clone and of the log.
    origin, place
        What the clone is made of, and where.
    commands
        Each as words; `dvc` is the one of this interpreter.
    params
        Text of params.yaml; None leaves the commit's.
    cores
        Processes that a stage may use on the CPU, unless ADVAUDIO_WORKERS is set; None for all.
    """

    name: str
    origin: Origin
    place: Place
    commands: tuple[tuple[str, ...], ...]
    params: str | None = None
    cores: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Parameters
    ----------
    name
        Of the job.
    state
        `skipped`: something that it needs did not end well.
    seconds, stages
        Wall seconds of the last attempt, and of each stage that DVC ran, over all attempts in this log.
    log
        Path on the worker's machine.
    said
        The end of the log, or why there is none.
    host, gpu
        Where it ran; `gpu` is CUDA_VISIBLE_DEVICES.
    """

    name: str
    state: Literal["done", "failed", "stopped", "skipped"]
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    log: str = ""
    said: str = ""
    host: str = ""
    gpu: str | None = None


def run_job(job: Job, stop: str) -> Outcome:
    """Run `job` on a dask worker, until the dask event named `stop` is set."""
    from distributed import Event

    return run(job, Event(stop).is_set)


def run(job: Job, stopped: Callable[[], bool]) -> Outcome:
    """Run `job` in this process; `stopped` is asked once a second."""
    folder = _expand(job.place.folder)
    log = folder / "logs" / f"{job.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    workspace, lock = folder / "clones" / job.name, folder / "locks" / job.name
    lock.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    state: Literal["done", "failed", "stopped"] = "done"
    try:
        if stopped():
            return Outcome(job.name, "stopped")
        prepare(
            workspace,
            lock,
            job.origin,
            cache=_expand(job.place.cache),
            downloads=_expand(job.place.downloads),
        )
        if job.params is not None:
            (workspace / "params.yaml").write_text(job.params, encoding="utf-8")
        for command in job.commands:
            _note(log, f"$ {shlex.join(command)}")
            status = _guarded(command, workspace, lock, log, _environment(job.cores), stopped)
            if status != 0:  # below zero: the guard itself was killed
                state = "stopped" if status is None else "failed"
                break
    except AdvaudioError as error:
        _note(log, str(error))
        state = "failed"
    if state == "done":
        with FileLock(lock):
            shutil.rmtree(workspace)
    text = log.read_text(encoding="utf-8")
    return Outcome(
        name=job.name,
        state=state,
        seconds=round(time.monotonic() - began, 3),
        stages=stage_seconds(text.splitlines()),
        log=str(log),
        said=text[-TAIL:],
        host=socket.gethostname(),
        gpu=os.environ.get("CUDA_VISIBLE_DEVICES"),
    )


def _expand(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser().absolute()


def _note(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8") as lines:
        lines.write(f"{datetime.now().isoformat(timespec='milliseconds')} {text}\n")


def _guarded(
    command: tuple[str, ...],
    workspace: Path,
    lock: Path,
    log: Path,
    environment: dict[str, str],
    stopped: Callable[[], bool],
) -> int | None:
    """Exit status of `command`, or None if it was stopped."""
    program = [sys.executable, "-P", "-m", "dvc"] if command[0] == "dvc" else [command[0]]
    process = subprocess.Popen(
        [sys.executable, "-P", guard.__file__, str(lock), str(log), *program, *command[1:]],
        cwd=workspace,
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        while True:
            try:
                return process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                if stopped():
                    return None
    finally:
        process.stdin.close()
        process.wait()


def _environment(cores: int | None) -> dict[str, str]:
    """This process's environment without what would point Git or DVC at another repository."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "DVC_ROOT", "DVC_STAGE")
        and not name.startswith("DVC_EXP_")
    }
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    kept["PYTHONUNBUFFERED"] = "1"  # DVC's lines come when they are said, so that the log can time stages
    kept.setdefault("ADVAUDIO_GPUS", "one")
    if cores is not None:
        kept.setdefault("ADVAUDIO_WORKERS", str(cores))
    return kept
