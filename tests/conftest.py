"""Fixtures shared by all tests."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.pipeline.clone import Clone, stages_run
from tests.pipeline.recording import Record, read_records, recording
from tests.pipeline.tiny import STAGE_NAMES, make_tiny_clone
from tests.tally import add, counted, summary

# Librosa compiles with Numba into a cache that two test processes must not write at once (it comes out
# corrupt); set before anything imports librosa.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "numba" / _worker)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where several processes test, hand what this one counted to the one that prints."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counted"] = counted()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a test process counted; one that crashed has told nothing."""
    add(getattr(node, "workeroutput", {}).get("counted", {"faults": {}, "covered": {}}))


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
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a tiny `clone` in which the whole pipeline has run once, committed, and its `records`.

    At the same time it runs once more, from nothing, in the clone `again`. All test processes share the folder:
    the first that asks makes it, and the others wait.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder, done = folder / "finished", folder / "finished.done"
    with FileLock(folder.with_suffix(".lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            clone, again = make_tiny_clone(folder / "clone"), make_tiny_clone(folder / "again")
            with ThreadPoolExecutor() as threads:
                recorded = threads.submit(clone.run, "dvc", "repro", variables=recording(folder / "records"))
                threads.submit(_run_with_more_workers, again).result()
                assert stages_run(recorded.result().stdout) == STAGE_NAMES
            clone.commit("first run")
            done.touch()
    return folder


def _run_with_more_workers(clone: Clone) -> None:
    """Run all stages: where the others do nothing new with two workers, they have one."""
    ran = stages_run(clone.run("dvc", "repro", "attack@deepfool", workers=2).stdout)
    ran += stages_run(clone.run("dvc", "repro").stdout)
    assert sorted(ran) == sorted(STAGE_NAMES)


@pytest.fixture(scope="session")
def clone(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """This test process's copy of the finished clone, with its cache; a test leaves it as it was."""
    folder = tmp_path_factory.mktemp("clone") / "advaudio"
    shutil.copytree(finished_run / "clone", folder, symlinks=True)
    return Clone(folder)


@pytest.fixture(scope="session")
def records(finished_run: Path, clone: Clone) -> dict[str, Record]:
    """What every stage of that run opened and read."""
    return read_records(finished_run / "records", clone)
