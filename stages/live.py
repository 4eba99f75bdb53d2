"""dvclive's running log of the epochs, which `dvc plots` and editors show while training goes on.

Both trainings use it. It lies outside the outputs that DVC hashes: `TrainingResult.curves` is the record.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from advaudio.core.errors import AdvaudioError
from advaudio.training.loop import Epoch

_FAILURES = (OSError, sqlite3.Error)  # dvclive opens DVC's databases


@contextmanager
def live_curves(folder: Path) -> Iterator[Callable[[Epoch], None]]:
    """Give an `on_epoch` for `train_folds` that logs to `folder`, one curve per fold and measure.

    The log starts empty; resumed training sends its earlier epochs again. A Git repository without a
    commit, which dvclive cannot work in, gets no log.

    Parameters
    ----------
    folder
        dvclive's folder; `plots/metrics/fold_0/train_loss.tsv` and so on appear inside.

    Raises
    ------
    AdvaudioError
        If the log cannot be written.
    """
    from dvclive import Live
    from scmrepo.exceptions import SCMError

    try:
        with _explained(folder):
            live = Live(str(folder), dvcyaml=None, report=None, save_dvc_exp=False)
    except SCMError:
        yield lambda _: None
        return

    lock = threading.Lock()

    def log(epoch: Epoch) -> None:
        row = asdict(epoch)
        repeat, fold, step = row.pop("repeat"), row.pop("fold"), row.pop("epoch")
        curve = f"fold_{fold}" if repeat == 0 else f"repeat_{repeat}/fold_{fold}"
        with lock, _explained(folder):
            live.step = step
            for name, value in row.items():
                if value is not None:
                    live.log_metric(f"{curve}/{name}", float(value))
            live.make_summary()

    try:
        yield log
    except BaseException:
        with suppress(*_FAILURES):
            live.end()
        raise
    with _explained(folder):
        live.end()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise AdvaudioError(
            f"Could not write the running log {folder}: {error}. Check the free space and the permissions of its "
            "folder, then run the same command again."
        ) from error
