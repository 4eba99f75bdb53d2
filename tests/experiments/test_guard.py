"""A command under guard ends with whoever wanted it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil

from experiments.sweep import guard

FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
child.wait()
"""


def _start(folder: Path, program: str) -> subprocess.Popen[bytes]:
    arguments = [str(folder / "lock"), str(folder / "log"), sys.executable, "-c", program]
    return subprocess.Popen([sys.executable, "-P", guard.__file__, *arguments], stdin=subprocess.PIPE)


def test_log_has_times_and_the_status_comes_back(tmp_path: Path) -> None:
    good = _start(tmp_path, "import sys; print('said'); print('warned', file=sys.stderr)")
    assert good.wait(timeout=60) == 0
    assert _start(tmp_path, "raise SystemExit(3)").wait(timeout=60) == 1
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split(" ", 1)[1] for line in lines) == ["said", "warned"]
    assert all(line[10] == "T" for line in lines)


def test_grandchildren_die_with_the_owner(tmp_path: Path) -> None:
    process = _start(tmp_path, FAMILY)
    log = tmp_path / "log"
    while not (log.exists() and "child" in log.read_text(encoding="utf-8")):
        time.sleep(0.05)
    child = psutil.Process(int(log.read_text(encoding="utf-8").split()[-1]))
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 1
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
