"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

from tests.pipeline.clone import Clone, stages_run
from tests.pipeline.recording import Record, read_records, recording
from tests.pipeline.tiny import make_tiny_clone
from tests.tally import summary

# Librosa compiles with Numba into a cache that two test processes must not write at once (it comes out
# corrupt); set before anything imports librosa.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "numba" / _worker)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many faults were done, and how much of dvc.yaml was held against what runs."""
    for line in summary():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder with `data/` and `weights/` (real clips and pretrained layers), named by ADVAUDIO_REALDATA."""
    folder = os.environ.get("ADVAUDIO_REALDATA")
    if not folder:
        pytest.skip("ADVAUDIO_REALDATA names no folder of real clips")
    path = Path(folder).resolve()
    if not (path / "data").is_dir():
        pytest.fail(f"ADVAUDIO_REALDATA={folder} has no folder data/")
    return path


@pytest.fixture(scope="session")
def record_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared run leaves its records."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory, record_folder: Path) -> Clone:
    """A tiny clone in which the whole pipeline has run once, recorded, committed; a test leaves it as it was."""
    made = make_tiny_clone(tmp_path_factory.mktemp("clone") / "advaudio")
    result = made.run("dvc", "repro", workers=2, variables=recording(record_folder))
    assert stages_run(result.stdout)[-1] == "report"
    made.commit("first run")
    return made


@pytest.fixture(scope="session")
def records(clone: Clone, record_folder: Path) -> dict[str, Record]:
    """What every stage of that run opened and read."""
    return read_records(record_folder, clone)
