"""One run of the whole tiny pipeline, recorded, that all pipeline tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.clone import Clone, stages_run
from tests.pipeline.recording import Record, read_records, recording
from tests.pipeline.tiny import make_tiny_clone


@pytest.fixture(scope="session")
def record_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared run leaves its records."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory, record_folder: Path) -> Clone:
    """A clone in which the whole pipeline has run once, committed; a test leaves it as it was."""
    made = make_tiny_clone(tmp_path_factory.mktemp("clone") / "advaudio")
    result = made.run("dvc", "repro", workers=2, variables=recording(record_folder))
    assert stages_run(result.stdout)[-1] == "report"
    made.commit("first run")
    return made


@pytest.fixture(scope="session")
def records(clone: Clone, record_folder: Path) -> dict[str, Record]:
    """What every stage of that run opened and read."""
    return read_records(record_folder, clone)
