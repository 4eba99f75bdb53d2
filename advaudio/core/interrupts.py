"""Ctrl-C and a polite kill: one sentence instead of a traceback, from a stage's first import on."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from types import TracebackType

INTERRUPTED = "Interrupted. Finished work is kept; the same command goes on from there."
INTERRUPTED_STATUS = 130


def answer_signals() -> None:
    """Turn a polite kill into Ctrl-C, and say `INTERRUPTED` where nothing else catches it.

    A stage's imports take seconds in which it can be stopped already, so this comes before them. A worker process
    imports its caller's main module, and this with it, before it knows of a parent: only its name tells it apart.
    """
    if multiprocessing.current_process().name == "MainProcess":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.excepthook = _say_interrupted
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def let_signals_end_it() -> None:
    """From here on a signal ends the process as it would any other.

    Nothing is left to tidy up, and Python prints a traceback of an interrupt that reaches it while it ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _say_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would interrupt the message
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
