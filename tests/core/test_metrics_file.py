"""No figure is lost between those that DVC shows and the others."""

from __future__ import annotations

import json
from pathlib import Path

from advaudio.core.metrics_file import all_metrics, write_metrics


def test_all_figures_come_back_and_only_some_are_at_the_top(tmp_path: Path) -> None:
    metrics = {"accuracy": 0.5, "accuracy_std": 0.1, "collapsed_folds": None}
    write_metrics(tmp_path / "m.json", metrics, shown=["accuracy"])
    content = json.loads((tmp_path / "m.json").read_text())
    assert [name for name, value in content.items() if not isinstance(value, list)] == ["accuracy"]
    assert all_metrics(content) == metrics


def test_a_file_that_shows_everything_is_flat_as_earlier_ones_are(tmp_path: Path) -> None:
    write_metrics(tmp_path / "m.json", {"rho": 2.0}, shown=["rho"])
    content = json.loads((tmp_path / "m.json").read_text())
    assert content == {"rho": 2.0} == all_metrics(content)
