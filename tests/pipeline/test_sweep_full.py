"""Eight cells of a tiny demo, swept in every way: `make test-sweep`, about half an hour on two cores.

With ADVAUDIO_SWEEP_FIGURES=file the seconds are written there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pipeline.clone import Clone
from tests.pipeline.sweep_scenes import (
    Grid,
    Hashes,
    copy_of,
    give_remotes,
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
from tests.pipeline.tiny import OWN_MODEL, make_tiny_clone

pytestmark = pytest.mark.sweep

REPRESENTATIONS = ("stft", "dwt", "stft_tonnetz", "dwt_tonnetz")
MODELS = {"networks.tiny_network-build": f'"{OWN_MODEL}"', "resnet56": "resnet56"}
GRID = Grid(
    settings=(f"representation={','.join(REPRESENTATIONS)}", f"model={','.join(MODELS.values())}"),
    cells={
        f"{representation}-{name}": (f"representation={representation}", f"model={model}")
        for representation in REPRESENTATIONS
        for name, model in MODELS.items()
    },
)
SHARED_ONCE = ("download", "augment", "stft", "dwt", "tonnetz", "split")
WHOLE_RUNS = {**dict.fromkeys(SHARED_ONCE, 1), "append": 4} | dict.fromkeys(
    ("train", "train_fgsm", "attack@deepfool", "masking", "rho", "report"), 8
)


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, Any]]:
    """What the tests measured, by scene, and how busy the machine was beside them."""
    measured: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()}
    yield measured
    measured["load_after"] = os.getloadavg()
    file = os.environ.get("ADVAUDIO_SWEEP_FIGURES")
    if file:
        Path(file).write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A commit with tiny parameters and one attack; nothing has run."""
    clone = make_tiny_clone(tmp_path_factory.mktemp("tiny") / "advaudio")
    clone.change_params(**{"datasets__demo__spectrogram_size": [16, 16], "evaluation__example_clips": 1})
    path = clone.folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["attacks"] = {"deepfool": params["attacks"]["deepfool"]}
    params["budgets"]["quick"]["training"]["epochs"] = 2
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for metrics in (clone.folder / "metrics").rglob("*.json"):
        metrics.unlink()
    clone.commit("tiny parameters")
    return clone


@pytest.fixture(scope="module")
def expected(tiny: Clone, tmp_path_factory: pytest.TempPathFactory, figures: dict[str, Any]) -> Hashes:
    """Metrics of eight `dvc exp run`, one after the other."""
    clone = copy_of(tiny, tmp_path_factory.mktemp("sequential") / "advaudio")
    figures["sequential_seconds"] = one_after_the_other(clone, GRID)
    hashes = metrics_of(clone)
    assert set(hashes) == set(GRID.cells)
    assert all(len(files) == 5 for files in hashes.values())
    return hashes


def test_two_workers_give_the_same_and_run_shared_stages_once(
    tiny: Clone, expected: Hashes, tmp_path: Path, figures: dict[str, Any]
) -> None:
    clone = copy_of(tiny, tmp_path / "advaudio")
    seconds, said = swept(clone, GRID, "--workers", "2")
    figures["two_workers_seconds"] = seconds
    figures["two_workers_cell_seconds"] = _cell_seconds(clone)
    assert "8 cells ran" in said
    assert metrics_of(clone) == expected
    assert stage_runs(clone) == WHOLE_RUNS
    assert clone.run("git", "status", "--porcelain").stdout == ""
    shown = clone.run("dvc", "exp", "show", "--csv").stdout
    assert all(name in shown for name in GRID.cells)
    first, last = sorted(GRID.cells)[::7]
    assert json.loads(clone.run("dvc", "metrics", "diff", "--json", first, last).stdout)
    assert json.loads(clone.run("dvc", "exp", "diff", "--json", first, last).stdout)

    began = time.monotonic()
    _, said = swept(clone, GRID, "--workers", "2")
    figures["nothing_to_do_seconds"] = time.monotonic() - began
    assert "8 cells, 8 of them done before" in said


def test_a_killed_worker_and_a_killed_sweep_cost_no_cell(
    tiny: Clone, expected: Hashes, tmp_path: Path, figures: dict[str, Any]
) -> None:
    clone = copy_of(tiny, tmp_path / "advaudio")
    with sweeping(clone, GRID, "--workers", "2") as process:
        began = time.monotonic()
        kill_worker_of_a_cell(GRID, clone.folder, process)
        done = kill_sweep_after(clone, process, cells=3)
        figures["killed_after_seconds"] = time.monotonic() - began
    figures["cells_done_when_killed"] = len(done)
    assert 3 <= len(done) < 8
    logs = {log: log.read_bytes() for log in clone.folder.glob(".advaudio/sweep/*/logs/*.log")}
    figures["restarted_seconds"], said = swept(clone, GRID, "--workers", "2")
    assert f"8 cells, {len(done)} of them done before" in said
    assert all(log.read_bytes() == text for log, text in logs.items() if log.stem in done)
    assert metrics_of(clone) == expected
    once = stage_runs(clone)
    assert {stage: once[stage] for stage in SHARED_ONCE} == dict.fromkeys(SHARED_ONCE, 1)


def test_the_same_through_a_scheduler_and_remotes(
    tiny: Clone, expected: Hashes, tmp_path: Path, figures: dict[str, Any]
) -> None:
    clone = copy_of(tiny, tmp_path / "advaudio")
    give_remotes(clone, tmp_path / "remotes")
    with scheduler_and_workers(tmp_path / "cluster", 2) as address:
        options = ("--scheduler", address, "--folder", "$SITE")
        with sweeping(clone, GRID, *options) as process:
            began = time.monotonic()
            kill_worker_of_a_cell(GRID, tmp_path / "cluster", process)
            done = kill_sweep_after(clone, process, cells=3)
            figures["scheduler_killed_after_seconds"] = time.monotonic() - began
        figures["scheduler_restarted_seconds"], said = swept(clone, GRID, *options)
        assert "of them done before" in said
        assert metrics_of(clone) == expected
        logs = sorted((tmp_path / "cluster").glob("site-*/*/logs/*.log"))
        ran = stage_runs(clone, logs)
        assert {stage: ran[stage] for stage in SHARED_ONCE} == dict.fromkeys(SHARED_ONCE, 1)
        assert {log.parts[-4] for log in logs} == {"site-0", "site-1"}
        assert done
    # What the workers made reaches this machine through the remotes alone.
    name = sorted(GRID.cells)[0]
    clone.run("dvc", "exp", "pull", "origin", name)
    clone.run("dvc", "exp", "apply", name)
    assert (clone.folder / "report" / "report.html").is_file()


def test_dvc_queue_with_two_workers(tiny: Clone, expected: Hashes, tmp_path: Path) -> None:
    clone = copy_of(tiny, tmp_path / "advaudio")
    queued(clone, [f"model={','.join(MODELS.values())}", "representation=stft,dwt"])
    wanted = [files for name, files in expected.items() if name.startswith(("stft-", "dwt-"))]
    assert sorted(map(str, metrics_of(clone).values())) == sorted(map(str, wanted))


def _cell_seconds(clone: Clone) -> dict[str, float]:
    records = clone.folder.glob(".advaudio/sweep/*/times/*.json")
    read = [json.loads(record.read_text(encoding="utf-8")) for record in records]
    return {record["name"]: record["seconds"] for record in sorted(read, key=lambda record: record["name"])}
