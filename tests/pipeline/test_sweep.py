"""What a sweep promises, with real DVC, dask and kills, over stages that take no time."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from advaudio.core.errors import AdvaudioError
from experiments.sweep.git import committed_head, git
from tests.pipeline.clone import Clone
from tests.pipeline.sweep_scenes import (
    Grid,
    Hashes,
    awaited,
    copy_of,
    give_remotes,
    guards,
    interrupt,
    kill_sweep_after,
    kill_worker_of_a_cell,
    metrics_of,
    one_after_the_other,
    queued,
    scheduler_and_workers,
    stage_runs,
    sweeping,
    swept,
)
from tests.pipeline.toy import make_toy

pytestmark = pytest.mark.sweep

GRID = Grid(
    settings=("representation=stft,dwt", "model=alexnet"),
    cells={
        f"{representation}-alexnet": (f"representation={representation}", "model=alexnet")
        for representation in ("stft", "dwt")
    },
)
BROKEN = Grid((GRID.settings[0], 'model=alexnet,"broken:build"'), GRID.cells)
ONCE = {"download": 1, "stft": 1, "dwt": 1, "append": 2}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return make_toy(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="module")
def expected(toy: Clone, tmp_path_factory: pytest.TempPathFactory) -> Hashes:
    clone = copy_of(toy, tmp_path_factory.mktemp("sequential") / "toy")
    one_after_the_other(clone, GRID)
    hashes = metrics_of(clone)
    assert set(hashes) == set(GRID.cells)
    assert len({json.dumps(files) for files in hashes.values()}) == 2
    return hashes


def test_kills_cost_no_cell_and_a_failed_cell_stops_no_other(
    toy: Clone, expected: Hashes, tmp_path: Path
) -> None:
    clone = copy_of(toy, tmp_path / "toy")
    # Held at training, the cells are certainly in the middle when the worker dies.
    hold = clone.folder / ".advaudio" / "downloads" / "hold"
    hold.parent.mkdir(parents=True)
    hold.touch()
    with sweeping(clone, BROKEN, "--workers", "2") as process:
        kill_worker_of_a_cell(BROKEN, clone.folder, process)
        hold.unlink()
        done = kill_sweep_after(clone, process, cells=1)
    awaited(lambda: not guards(clone.folder))
    with sweeping(clone, BROKEN, "--workers", "2") as process:
        said, _ = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"4 cells, {len(done)} of them done before" in said
    flat = " ".join(said.split())
    for name in ("stft-broken-build", "dwt-broken-build"):
        assert f"{name} failed (log: " in flat
        log = next(clone.folder.glob(f".advaudio/sweep/*/logs/{name}.log"))
        assert "this cell is broken" in log.read_text(encoding="utf-8")
    assert "Traceback" not in said
    assert metrics_of(clone) == expected
    ran = stage_runs(clone)
    assert {stage: ran[stage] for stage in ONCE} == ONCE
    assert clone.run("git", "status", "--porcelain").stdout == ""
    times = json.loads(next(clone.folder.glob(".advaudio/sweep/*/times/shared-1.json")).read_text("utf-8"))
    assert 0 < times["stages"]["download"] < times["seconds"]


def test_through_a_scheduler_and_remotes(toy: Clone, expected: Hashes, tmp_path: Path) -> None:
    clone = copy_of(toy, tmp_path / "toy")
    give_remotes(clone, tmp_path / "remotes")
    with scheduler_and_workers(tmp_path / "cluster", 2) as address:
        _, said = swept(clone, GRID, "--scheduler", address, "--folder", "$SITE")
    assert "2 cells ran" in said
    assert metrics_of(clone) == expected
    logs = sorted((tmp_path / "cluster").glob("site-*/*/logs/*.log"))
    assert stage_runs(clone, logs) == stage_runs(clone)
    assert {stage: stage_runs(clone)[stage] for stage in ONCE} == ONCE
    clone.run("dvc", "exp", "pull", "origin", "stft-alexnet")
    clone.run("dvc", "exp", "apply", "stft-alexnet")
    assert json.loads((clone.folder / "model.txt").read_text(encoding="utf-8"))["number"] > 0


def test_ctrl_c_ends_everything_and_keeps_what_is_done(toy: Clone, tmp_path: Path) -> None:
    clone = copy_of(toy, tmp_path / "toy")
    hold = clone.folder / ".advaudio" / "downloads" / "hold"
    hold.parent.mkdir(parents=True)
    hold.touch()
    with sweeping(clone, GRID, "--workers", "1") as process:
        awaited(lambda: stage_runs(clone)["train"], process)
        below = psutil.Process(process.pid).children(recursive=True)
        assert interrupt(process) == 130
        assert process.stdout is not None
        said = process.stdout.read()
    assert "Interrupted." in said
    assert "Traceback" not in said
    awaited(lambda: not any(child.is_running() for child in below))


def test_two_queued_experiments_at_once_have_different_gpus(
    toy: Clone, expected: Hashes, tmp_path: Path
) -> None:
    clone = copy_of(toy, tmp_path / "toy")
    gpus = tmp_path / "gpus"
    gpus.mkdir()
    queued(clone, ["model=alexnet", "representation=stft,dwt"], TOY_GPUS=str(gpus))
    assert sorted(claim.read_text() for claim in gpus.glob("*.claim")) == ["0", "1"]
    assert sorted(map(str, metrics_of(clone).values())) == sorted(map(str, expected.values()))


def test_uncommitted_changes_are_refused(toy: Clone, tmp_path: Path) -> None:
    clone = copy_of(toy, tmp_path / "toy")
    assert committed_head(clone.folder) == git(clone.folder, "rev-parse", "HEAD")
    clone.change_params(seed=3)
    with pytest.raises(AdvaudioError, match=r"uncommitted changes \(params.yaml\)"):
        committed_head(clone.folder)
