"""The stages of the pipeline: thin command lines over the library, chained by dvc.yaml."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import TracebackType

from advaudio.parallel import THREAD_VARIABLES

INTERRUPTED = "Interrupted. Finished work is kept; the same command goes on from there."

# One numeric thread per process, set before NumPy and PyTorch start theirs: sums then have one order,
# and a stage's output does not depend on the number of cores.
os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))


def _runs_haswell_code() -> bool:
    """Whether this is an x86-64 CPU with AVX2, as Linux tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return {"avx2", "fma"} <= set(flags)


# OpenBLAS adds up in another order on each kind of CPU, and reads this as NumPy starts it. Its code for Haswell
# (2013) runs on all CPUs with AVX2, so that they all make the same pictures.
if "numpy" not in sys.modules and _runs_haswell_code():
    os.environ.setdefault("OPENBLAS_CORETYPE", "Haswell")


def _say_interrupted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would interrupt the message
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(INTERRUPTED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


# Set here, since a stage's imports take seconds in which it can be stopped already. A worker process imports its
# caller's main module, and this with it, before it knows of a parent: only its name tells it apart.
if multiprocessing.current_process().name == "MainProcess":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.excepthook = _say_interrupted
else:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
