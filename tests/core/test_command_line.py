"""What every stage's command says and returns."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from advaudio.core.errors import AdvaudioError
from advaudio.core.command_line import run

def main() -> None:
    \"\"\"A stage.\"\"\"
    {body}

run(main)
"""
AT_THE_END = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.{})"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("pass", 0, ""),
        ("raise KeyboardInterrupt", 130, "Interrupted."),
        ("raise AdvaudioError('the file [x] is bad')", 1, "Error: the file [x] is bad"),
        # A signal that arrives while Python ends: there is nothing more to interrupt.
        (AT_THE_END.format("SIGINT"), -signal.SIGINT, ""),
        (AT_THE_END.format("SIGTERM"), -signal.SIGTERM, ""),
    ],
)
def test_status_and_words(body: str, status: int, said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status
    assert said in result.stderr
    assert "Traceback" not in result.stderr
