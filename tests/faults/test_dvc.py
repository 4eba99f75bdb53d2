"""DVC itself stopped, doubled, and fed files whose times lie: the pipeline ends in the same hashes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.pipeline.clone import Clone, environment
from tests.tally import FAULTS

pytestmark = pytest.mark.faults

TARGETS = ("split", "stft", "append")
"""Stages that are run again by force."""


@pytest.fixture
def copy(clone: Clone, tmp_path: Path) -> Clone:
    """A copy of the finished clone, with its cache."""
    shutil.copytree(clone.folder, tmp_path / "copy", symlinks=True)
    return Clone(tmp_path / "copy")


def _start(clone: Clone) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", *TARGETS],
        cwd=clone.folder,
        env=environment() | {"ADVAUDIO_WORKERS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _check_same(clone: Clone, lock: str) -> None:
    clone.run("dvc", "repro")
    assert (clone.folder / "dvc.lock").read_text(encoding="utf-8") == lock
    assert clone.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_two_repros_at_once(copy: Clone) -> None:
    """DVC lets one of them wait or go; what it says names the lock, and nothing is spoilt."""
    lock = (copy.folder / "dvc.lock").read_text(encoding="utf-8")
    both = [_start(copy), _start(copy)]
    said = [process.communicate(timeout=600)[0] for process in both]
    for process, text in zip(both, said, strict=True):
        if process.returncode != 0:
            assert "lock" in text or "busy" in text, text
    assert any(process.returncode == 0 for process in both), said
    _check_same(copy, lock)
    FAULTS["dvc", "two at once"] += 1


@pytest.mark.parametrize("seed", range(3))
def test_dvc_is_killed_with_its_stage(copy: Clone, seed: int) -> None:
    generator = random.Random(seed)
    lock = (copy.folder / "dvc.lock").read_text(encoding="utf-8")
    process = _start(copy)
    time.sleep(generator.uniform(1.0, 12.0))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=600)
    _check_same(copy, lock)
    FAULTS["dvc", "kill"] += 1


@pytest.mark.parametrize("days", [-4000, 4000])
def test_files_from_another_time(copy: Clone, days: int) -> None:
    """Times of files decide nothing: only their content does."""
    moment = time.time() + 86_400 * days
    for path in (copy.folder / "data").rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (moment, moment))
    assert copy.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    FAULTS["dvc", "files of another time"] += 1
