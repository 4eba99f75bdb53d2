"""Checkpoints of unfinished training: one folder per run, named by the run's digest (see `core.resume`)."""

from __future__ import annotations

import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from advaudio.core.errors import AdvaudioError
from advaudio.core.resume import written_whole

FINISHED = "finished"


def open_run(folder: Path, digest: str) -> Path:
    """The run's own folder inside `folder`, made if new; finished runs of other digests are removed.

    Unfinished ones stay, so that returning to their parameters goes on where they stopped.
    """
    run = folder / digest[:16]
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AdvaudioError(f"Could not make the checkpoint folder {run}: {error.strerror}.") from error
    remove_finished(folder, but=run)
    return run


def remove_finished(folder: Path, *, but: Path | None = None) -> None:
    """Remove finished runs, once what they found is written elsewhere.

    The same training then starts from the beginning.
    """
    for run in folder.iterdir():
        if run != but and (run / FINISHED).exists():
            shutil.rmtree(run, ignore_errors=True)


class Checkpoint:
    """The state of one fold's training in one file, written atomically.

    Parameters
    ----------
    path
        The file.
    digest
        Digest of the run; a file of another run is refused.
    """

    OVERHEAD = 0.05
    ASSUMED_RATE = 5e8
    """Bytes per second at which the first write is taken to go."""

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.digest = digest
        self._opened = time.monotonic()
        self._next_write: float | None = None

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The saved state with its tensors on `device`, or None if there is none.

        Raises
        ------
        AdvaudioError
            If the file is damaged or belongs to other parameters, data or code.
        """
        if not self.path.exists():
            return None
        advice = f"Delete {self.path} and run the same command again."
        try:
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
        except pickle.UnpicklingError as error:
            raise AdvaudioError(
                f"The checkpoint {self.path} is refused: it is damaged, or holds code. {advice}"
            ) from error
        except Exception as error:
            raise AdvaudioError(f"The checkpoint {self.path} cannot be read: {error}. {advice}") from error
        if not isinstance(state, dict) or state.get("digest") != self.digest:
            raise AdvaudioError(
                f"The checkpoint {self.path} belongs to other parameters, data or code "
                f"and is refused. {advice}"
            )
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Write `state`, unless writes are so slow that this one would cost over 5 % of the time."""
        started = time.monotonic()
        if self._next_write is None:
            self._next_write = self._opened + _bytes(state) / self.ASSUMED_RATE / self.OVERHEAD
        if started < self._next_write:
            return
        with written_whole(self.path) as temporary:
            torch.save({**state, "digest": self.digest}, temporary)
        ended = time.monotonic()
        self._next_write = ended + (ended - started) / self.OVERHEAD


def _bytes(content: Any) -> int:
    """Size of all tensors in nested dictionaries and lists."""
    if isinstance(content, torch.Tensor):
        return content.nbytes
    values = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return sum(_bytes(value) for value in values)
