"""Sweeps with real DVC, real dask and real kills, over any repository; each scene checks what it promises."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from experiments.sweep.git import experiments, git
from tests.pipeline.clone import ROOT, Clone, environment

PATIENCE = 900.0
"""Seconds after which something awaited will not come."""

Value = TypeVar("Value")

Hashes = dict[str, dict[str, str]]
"""SHA-256 of every metrics file, by experiment and path."""


@dataclass(frozen=True)
class Grid:
    """Settings of a sweep, and the same as `dvc exp run` takes them, cell by cell."""

    settings: tuple[str, ...]
    cells: dict[str, tuple[str, ...]]


def copy_of(clone: Clone, folder: Path) -> Clone:
    """The same commit without any cache, so that every scene starts from nothing."""
    shutil.copytree(clone.folder, folder, ignore=shutil.ignore_patterns("cache", "tmp", ".advaudio"))
    git(folder, "reset", "--quiet", "--hard", "HEAD")
    return Clone(folder)


def metrics_of(clone: Clone) -> Hashes:
    """What every experiment of the commit that is checked out holds under metrics/."""
    baseline = git(clone.folder, "rev-parse", "HEAD")
    hashes: Hashes = {}
    for name, commit in experiments(clone.folder, baseline).items():
        files = git(clone.folder, "ls-tree", "-r", "--name-only", commit, "metrics").splitlines()
        texts = {file: git(clone.folder, "show", f"{commit}:{file}") for file in files if "json" in file}
        hashes[name] = {file: hashlib.sha256(text.encode()).hexdigest() for file, text in texts.items()}
    return hashes


def one_after_the_other(clone: Clone, grid: Grid) -> float:
    """Run each cell with `dvc exp run`; return the seconds."""
    began = time.monotonic()
    for name, settings in grid.cells.items():
        words = [word for setting in settings for word in ("--set-param", setting)]
        _finish(_start(clone, "-m", "dvc", "exp", "run", "--name", name, *words))
    seconds = time.monotonic() - began
    git(clone.folder, "reset", "--quiet", "--hard", "HEAD")
    return seconds


def queued(clone: Clone, settings: Sequence[str], **variables: str) -> None:
    """Run every combination through DVC's own queue with two workers, to their success."""
    words = [word for setting in settings for word in ("--set-param", setting)]
    _finish(_start(clone, "-m", "dvc", "exp", "run", "--queue", *words))
    _finish(_start(clone, "-m", "dvc", "queue", "start", "--jobs", "2", **variables))

    def said() -> str:
        text = _finish(_start(clone, "-m", "dvc", "queue", "status"))
        return "" if "Running" in text or "Queued" in text else text

    last = awaited(said)
    assert "Success" in last, last
    assert "Failed" not in last, last


@contextmanager
def sweeping(clone: Clone, grid: Grid, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A sweep that runs; whatever is left of it at the end is killed."""
    process = _start(clone, "-m", "experiments.sweep", *grid.settings, *options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def swept(clone: Clone, grid: Grid, *options: str) -> tuple[float, str]:
    """Run a sweep to its end; return the seconds and what it said."""
    began = time.monotonic()
    with sweeping(clone, grid, *options) as process:
        said = _finish(process)
    return time.monotonic() - began, said


def stage_runs(clone: Clone, logs: Sequence[Path] = ()) -> Counter[str]:
    """How often each stage ran, by the logs of all jobs."""
    folder = clone.folder / ".advaudio" / "sweep"
    found = logs or sorted(folder.glob("*/logs/*.log"))
    return Counter(
        stage for log in found for stage in re.findall(r"Running stage '([^']+)'", log.read_text("utf-8"))
    )


def kill_worker_of_a_cell(grid: Grid, folder: Path, sweep: subprocess.Popen[str]) -> str:
    """Wait until a cell with its log below `folder` trains, and kill its worker with SIGKILL; its name."""

    def training() -> tuple[psutil.Process, str] | None:
        for process, log in guards(folder):
            if log.stem in grid.cells and "Running stage 'train'" in log.read_text("utf-8"):
                return process, log.stem
        return None

    guard, name = awaited(training, sweep)
    worker = guard.parent()
    assert worker is not None
    worker.kill()
    # The guard must take the experiment's processes with it.
    awaited(lambda: not guard.is_running(), sweep)
    return name


def kill_sweep_after(clone: Clone, sweep: subprocess.Popen[str], cells: int) -> set[str]:
    """Wait until so many cells are done, kill the sweep with SIGKILL; return the names of those done."""
    awaited(lambda: len(metrics_of(clone)) >= cells, sweep)
    sweep.kill()
    sweep.wait()
    return set(metrics_of(clone))


def awaited(find: Callable[[], Value | None], sweep: subprocess.Popen[str] | None = None) -> Value:
    """The first true value of `find`, asked ten times a second; a sweep that ends before is a failure."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ended = sweep is not None and sweep.poll() is not None
        try:
            if value := find():
                return value
        except (psutil.Error, OSError):
            pass
        if sweep is not None and ended:
            said, _ = sweep.communicate()
            raise AssertionError(f"the sweep ended too early, with {sweep.returncode}:\n{said}")
        time.sleep(0.1)
    raise AssertionError(f"waited for {PATIENCE} s in vain")


@contextmanager
def scheduler_and_workers(folder: Path, number: int) -> Iterator[str]:
    """A dask scheduler and workers that share no folder; its address. $SITE is each worker's own folder."""
    folder.mkdir(parents=True)
    address_file = folder / "scheduler.json"
    module = [sys.executable, "-m"]
    bound = ["--host", "127.0.0.1", "--port", "0"]
    meeting = ["--scheduler-file", str(address_file)]
    alone = ["--nthreads", "1", "--memory-limit", "0"]
    started = [
        subprocess.Popen(
            [*module, "distributed.cli.dask_scheduler", "--no-dashboard", *bound, *meeting],
            env=_environment(),
            cwd=folder,
            stderr=subprocess.DEVNULL,
        )
    ]
    try:
        text = awaited(lambda: address_file.read_text() if address_file.exists() else "")
        for index in range(number):
            site = folder / f"site-{index}"
            site.mkdir()
            started.append(
                subprocess.Popen(
                    [
                        *module,
                        "distributed.cli.dask_worker",
                        *meeting,
                        *alone,
                        "--local-directory",
                        str(site),
                    ],
                    env={**_environment(), "SITE": str(site)},
                    cwd=site,
                    stderr=subprocess.DEVNULL,
                )
            )
        found = re.search(r"tcp://[0-9.:]+", text)
        assert found
        yield found.group()
    finally:
        for process in reversed(started):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


def give_remotes(clone: Clone, folder: Path) -> None:
    """A bare Git repository as `origin` and a folder as default DVC remote, committed and pushed."""
    folder.mkdir(parents=True)
    clone.run("dvc", "remote", "add", "--default", "storage", str(folder / "storage"))
    clone.commit("remote")
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(clone.folder, "remote", "add", "origin", str(folder / "origin.git"))
    git(clone.folder, "push", "--quiet", "origin", "main")


def interrupt(process: subprocess.Popen[str]) -> int:
    """What Ctrl-C does in a terminal: SIGINT to the sweep and to its local workers; the exit status."""
    members = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    for pid in members:
        if os.getpgid(pid) == os.getpgid(process.pid):
            os.kill(pid, signal.SIGINT)
    return process.wait(timeout=120)


def guards(folder: Path) -> list[tuple[psutil.Process, Path]]:
    """The guards at work whose log lies below `folder`, with their logs."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if len(words) > 5 and words[2].endswith("sweep/guard.py") and Path(words[4]).is_relative_to(folder):
            found.append((process, Path(words[4])))
    return found


def _environment() -> dict[str, str]:
    # A toy repository does not hold the library; where a clone does, its folder comes first all the same.
    # With so little to do, a stage's own worker processes would only cost their start.
    return {
        **environment(),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "ADVAUDIO_WORKERS": "1",
    }


def _start(clone: Clone, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=clone.folder,
        env={**_environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, and their children with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=PATIENCE * 4)
    if process.returncode != 0:
        raise AssertionError(f"{process.args!r} ended with {process.returncode}:\n{said}")
    return said
