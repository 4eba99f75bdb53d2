"""A finished tiny pipeline in which single stages are run, harmed, looked at, and run again."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.pipeline.clone import Clone, environment
from tests.tally import FAULTS

SABOTEUR = Path(__file__).parent / "saboteur"
PRODUCED = ("data", "models", "outputs", "metrics", "report")
PATIENCE = 300.0
ORPHAN_SECONDS = 20.0


@dataclass(frozen=True)
class Ended:
    """How a run of a stage ended; a negative status is the signal that killed it."""

    status: int
    said: str


@dataclass(frozen=True)
class Stage:
    """A stage's command, the data files that it reads, and its outputs (files or folders)."""

    name: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class Arena:
    """A copy of a clone without DVC's cache: the undisturbed outputs, and what every file of them hashes to."""

    folder: Path
    origin: Path
    stages: dict[str, Stage]
    digests: dict[str, str] = field(default_factory=dict)
    noted: list[tuple[str, str]] = field(default_factory=list)

    def start(
        self,
        stage: Stage,
        *,
        workers: int = 1,
        fault: str | None = None,
        before: Callable[[], None] | None = None,
        wrapper: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start a stage in a process group of its own."""
        added = {"ADVAUDIO_WORKERS": str(workers), "COLUMNS": "1000", **(variables or {})}

        def prepare() -> None:
            # Whoever runs the tests in the background has them ignore Ctrl-C, and their children with them.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if before is not None:
                before()

        if fault is not None:
            added |= {"PYTHONPATH": str(SABOTEUR), "FAULT": fault}
        return subprocess.Popen(
            [*wrapper, sys.executable, *stage.command],
            cwd=self.folder,
            env=environment() | added,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=prepare,
        )

    def finish(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for the end of a stage and of every process that it started."""
        said = process.communicate(timeout=PATIENCE)[0]
        self._no_orphans(process.pid)
        return Ended(process.returncode, said)

    def run(self, stage: Stage, **how: Any) -> Ended:
        """Run a stage to its end."""
        return self.finish(self.start(stage, **how))

    def note(self, stage: Stage, kind: str) -> None:
        """Remember a fault that was done; it counts once the stage's next whole run has ended well."""
        self.noted.append((stage.name, kind))

    def count(self) -> None:
        """Count what was noted: the rerun ended in the undisturbed bits."""
        FAULTS.update(self.noted)
        self.noted.clear()

    def forget(self, stage: Stage) -> None:
        """Remove a stage's outputs, as DVC does before it runs it, and its scratch."""
        for name in stage.outputs:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / ".advaudio", ignore_errors=True)

    def check_whole(self, stage: Stage) -> None:
        """Every file that bears an output's name is the undisturbed one, to the last bit."""
        for name, digest in self.found(stage).items():
            temporary = name.rpartition("/")[2].startswith(".")
            assert temporary or self.digests.get(name) == digest, f"{name} is half-written or wrong"

    def check_same(self, stage: Stage) -> None:
        """The stage's outputs are there and the undisturbed ones, and nothing is left behind."""
        expected = {name for name in self.digests if _within(name, stage.outputs)}
        found = self.found(stage)
        assert found == {name: self.digests[name] for name in expected}
        self.check_no_leftovers()

    def check_no_leftovers(self) -> None:
        """No temporary file lies among the outputs of any stage."""
        assert self.leftovers() == set()

    def leftovers(self) -> set[Path]:
        """Temporary files and folders among the outputs of all stages."""
        hidden = {path for top in PRODUCED for path in (self.folder / top).rglob(".*")}
        return {path for path in hidden if path.name != ".gitignore"}

    def restore(self) -> None:
        """Put every stage's undisturbed outputs back."""
        self.noted.clear()
        shutil.rmtree(self.folder / ".advaudio", ignore_errors=True)
        for top in PRODUCED:
            shutil.rmtree(self.folder / top)
            shutil.copytree(self.origin / top, self.folder / top)

    def found(self, stage: Stage) -> dict[str, str]:
        files: dict[str, str] = {}
        for name in stage.outputs:
            files |= digests(self.folder, name)
        return files

    @staticmethod
    def _no_orphans(group: int) -> None:
        deadline = time.monotonic() + ORPHAN_SECONDS
        while _runs_in(group):
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
                raise AssertionError("worker processes outlived their stage")
            time.sleep(0.05)


def _runs_in(group: int) -> bool:
    """Whether a process of the group still runs; one that ended counts no more, collected or not."""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group:
                return True
    return False


def digests(folder: Path, name: str) -> dict[str, str]:
    """SHA-256 of a file, or of every file in a folder, by relative path; Git's own files do not count."""
    top = folder / name
    files = [path for path in top.rglob("*") if path.is_file()] if top.is_dir() else [top]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file() and path.name != ".gitignore"
    }


def _within(name: str, paths: tuple[str, ...]) -> bool:
    return any(name == path or name.startswith(f"{path}/") for path in paths)


def make_arena(clone: Clone, folder: Path) -> Arena:
    """Copy a finished clone: real files instead of links into DVC's cache, which is left behind."""
    work, origin = folder / "work", folder / "origin"
    shutil.copytree(clone.folder, origin, ignore=shutil.ignore_patterns("cache", "tmp", "__pycache__"))
    for path in origin.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode | 0o200)
    shutil.copytree(origin, work)
    stages = {}
    for name, locked in clone.lock().items():
        inputs: list[str] = []
        for dependency in (entry["path"] for entry in locked["deps"]):
            if dependency.split("/")[0] in PRODUCED:
                inputs += digests(work, dependency)
        stages[name] = Stage(
            name,
            tuple(locked["cmd"].split()[1:]),
            tuple(inputs),
            tuple(entry["path"] for entry in locked["outs"]),
        )
    made = Arena(work, origin, stages)
    for stage in stages.values():
        for output in stage.outputs:
            made.digests |= digests(work, output)
    return made
