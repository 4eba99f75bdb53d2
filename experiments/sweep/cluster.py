"""The workers: processes on this machine, each with a GPU of its own, or a dask scheduler of the user's."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advaudio.core.errors import AdvaudioError

if TYPE_CHECKING:
    from distributed import Client

CONNECTION_SECONDS = 30


@contextmanager
def local_client(workers: int, gpus: Sequence[str], scratch: Path) -> Iterator[Client]:
    """A client of so many fresh worker processes here; a killed one is started again.

    Parameters
    ----------
    workers
        Processes, one job each at a time.
    gpus
        Values of CUDA_VISIBLE_DEVICES, assigned to the workers in turn; empty without GPUs.
    scratch
        Folder for dask's own files.
    """
    distributed = _distributed()
    # Without certificates any user of this machine could run code through the scheduler's port.
    security = distributed.Security.temporary()
    common: dict[str, Any] = {"host": "127.0.0.1", "security": security}
    worker = {
        **common,
        "nthreads": 1,
        "memory_limit": 0,
        "local_directory": str(scratch),
        "preload": [__name__],
        "silence_logs": logging.CRITICAL,
    }
    cluster = distributed.SpecCluster(
        workers={
            number: {
                "cls": distributed.Nanny,
                "options": {
                    **worker,
                    "name": f"worker-{number}",
                    "env": {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {},
                },
            }
            for number in range(workers)
        },
        scheduler={"cls": distributed.Scheduler, "options": {**common, "dashboard": False}},
        security=security,
        silence_logs=logging.CRITICAL,
    )
    with cluster, distributed.Client(cluster, security=security) as client:
        yield client


@contextmanager
def scheduler_client(address: str) -> Iterator[Client]:
    """A client of the dask scheduler at `address`, for which workers may come and go.

    Raises
    ------
    AdvaudioError
        If nobody answers there.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout=CONNECTION_SECONDS)
    except (OSError, ValueError) as error:
        raise AdvaudioError(
            f"No dask scheduler answers at {address!r} ({error}). Start one with `dask scheduler`, and give "
            "the address that it prints, such as tcp://login-node:8786."
        ) from error
    with client:
        yield client


def dask_setup(worker: Any) -> None:
    """Called in every local worker as it starts: Ctrl-C is for the sweep, which then tells its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise AdvaudioError(
            "A sweep needs dask.distributed, which is not installed: run pip install -e '.[sweep]' in the repository."
        ) from error
    return distributed
