"""Run a command that dies with the worker that wanted it, and write what it says to a log with the time.

`python -P guard.py LOCK LOG COMMAND…`, a script of its own: a worker can be killed at any moment, and the
stages that its experiment had started would go on, at work on files that the next worker takes over.
The guard kills the whole group of processes as soon as its standard input ends, and holds LOCK until then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock

GRACE = 5.0
"""Seconds that the processes have to end by themselves."""


def main(lock: Path, log: Path, command: list[str]) -> int:
    """Exit status of `command`, or 1 if it was stopped."""
    with FileLock(lock), log.open("a", encoding="utf-8", buffering=1) as lines:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        watcher = threading.Thread(target=_stop_when_alone, args=(process,), daemon=True)
        watcher.start()
        assert process.stdout is not None
        for line in process.stdout:
            lines.write(f"{datetime.now().isoformat(timespec='milliseconds')} {line}")
        return 1 if process.wait() else 0


def _stop_when_alone(process: subprocess.Popen[str]) -> None:
    # Not through sys.stdin: a thread inside its buffer aborts the interpreter's exit.
    while os.read(0, 1024):
        pass
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        if number == signal.SIGTERM:
            time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
