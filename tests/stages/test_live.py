"""dvclive's running log, and that the library trains without DVC."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from advaudio.training.loop import Epoch
from stages.live import live_curves


def test_live_log_holds_the_curves_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "live"
    for _ in range(2):  # the second run starts an empty log
        with live_curves(folder) as on_epoch:
            on_epoch(Epoch(0, 0, 1, 1.0, 0.5, 1.0, 0.25, 0.125, 0.25, False))
            on_epoch(Epoch(0, 0, 2, 1.0, 0.5, 1.0, 0.5, None, None, None))
    curve = folder / "plots" / "metrics" / "fold_0" / "validation_accuracy.tsv"
    assert curve.read_text() == "step\tvalidation_accuracy\n1\t0.25\n2\t0.5\n"
    assert (folder / "plots" / "metrics" / "fold_0" / "probe_accuracy.tsv").read_text().count("\n") == 2


def test_the_library_trains_without_dvc() -> None:
    """Neither importing nor building the job of a training loads DVC, not even where it is installed."""
    script = (
        "import sys, importlib, pkgutil, advaudio.training\n"
        "for module in pkgutil.iter_modules(advaudio.training.__path__, 'advaudio.training.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('dvc', 'dvclive', 'scmrepo')])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
