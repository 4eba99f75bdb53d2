"""One GPU for each of several processes that know nothing of each other.

Experiments of `dvc queue start -j N` are separate processes to which DVC gives no number. Each claims a GPU
by a lock on a file, which the operating system frees when the process ends, however it ends.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from advaudio.core.errors import AdvaudioError

QUEUE_FOLDER = (".dvc", "tmp", "exps")
"""Where DVC runs queued and temporary experiments, below the repository's top folder."""

_claims: dict[Path, tuple[int, FileLock]] = {}


def one_gpu_wanted(folder: Path | None = None) -> bool:
    """Whether this process shares the machine with other experiments, and so must keep to one GPU.

    The environment variable ADVAUDIO_GPUS says so (`one` or `all`); without it, experiments that DVC runs
    from its queue (in `folder`, by default the current one) keep to one, and everything else has all.

    Raises
    ------
    AdvaudioError
        If ADVAUDIO_GPUS is neither `one` nor `all`.
    """
    wanted = os.environ.get("ADVAUDIO_GPUS")
    if wanted is not None:
        if wanted not in ("one", "all"):
            raise AdvaudioError(
                f"The environment variable ADVAUDIO_GPUS is {wanted!r}; set it to one or all."
            )
        return wanted == "one"
    parts = (folder or Path.cwd()).parts
    length = len(QUEUE_FOLDER)
    return any(parts[start : start + length] == QUEUE_FOLDER for start in range(len(parts)))


def claim_one(identities: Sequence[str], folder: Path | None = None) -> int:
    """Index of the GPU that this process has until it ends; the same at every call.

    The first GPU that no process has claimed; where all are, the one that the fewest have.

    Parameters
    ----------
    identities
        A name of each GPU, the same in every process that competes for it.
    folder
        Where the locks are, the same for all; by default one for this user in the temporary folder.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"advaudio-gpus-{os.getuid()}"
    if folder in _claims:
        return _claims[folder][0]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for round_ in itertools.count():
        for index, identity in enumerate(identities):
            lock = FileLock(folder / f"{identity}.{round_}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            _claims[folder] = index, lock
            return index
    raise AssertionError("a round without any claim is always free")
