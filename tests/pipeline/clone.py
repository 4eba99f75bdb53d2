"""A temporary clone in which real DVC runs, and which stages it ran."""

from __future__ import annotations

from studies.clone import ROOT, Clone, environment, make_clone

__all__ = ["ROOT", "Clone", "environment", "make_clone", "stages_run"]


def stages_run(output: str) -> list[str]:
    """Names of the stages that DVC executed, in order, from what `dvc repro` or `dvc exp run` printed."""
    names = []
    for line in output.splitlines():
        if line.startswith("Running stage '"):
            names.append(line.split("'")[1])
    return names
