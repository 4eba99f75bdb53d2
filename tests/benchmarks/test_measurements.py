"""What the benchmarks write: rows of one form, measured of the pictures that an attack returned."""

from __future__ import annotations

import json
import math
import re
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from advaudio.attacks.deepfool import DeepFool
from benchmarks import attacks
from benchmarks.attacks import Bench
from benchmarks.attacks_peers import Ours
from benchmarks.measurements import Measurements, commit
from tests.attacks.networks import Linear

ROOT = Path(__file__).resolve().parents[2]
ROW = {"task": str, "system": str, "metric": str, "value": float | int, "unit": str}
STUDIES = ("attacks", "training", "representations", "augmentation")


def test_a_run_is_written_with_its_circumstances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "--model",
        "/private/place/m.pt",
        "--split=/private/s.csv",
        "../../home/x/y",
        "results/a.json",
        "--quick",
    ]
    monkeypatch.setattr("sys.argv", ["/somewhere/benchmarks/attacks.py", *words])
    measured = Measurements(("pytest", "no-such-library"))
    measured.add("dwt", "ours", "time", 3, "ms")
    measured.fail("dwt", "a peer", ImportError("no name (/home/someone/lib/peer.py), see /opt/x"))
    measured.write(tmp_path / "measured.json", clips=5)
    content = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert content["rows"] == [
        {"task": "dwt", "system": "ours", "metric": "time", "value": 3.0, "unit": "ms"}
    ]
    assert content["failed"] == [
        {"task": "dwt", "system": "a peer", "error": "ImportError: no name (peer.py), see x"}
    ]
    assert content["command"] == (
        "python -m benchmarks.attacks --model m.pt --split=s.csv y results/a.json --quick"
    )
    assert content["versions"]["pytest"] == pytest.__version__
    assert content["versions"]["no-such-library"] == "not installed"
    assert content["versions"]["torch"] == torch.__version__
    assert content["hardware"].keys() == {"processor", "cores", "load"}
    assert content["hardware"]["cores"] >= 1
    assert content["clips"] == 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"])


def test_the_commit_is_that_of_the_code_and_unknown_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    found = commit()
    assert found is not None
    assert head.startswith(found.removesuffix("-dirty"))
    monkeypatch.setenv("PATH", "")
    assert commit() is None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_counts_as_failed(tmp_path: Path, value: float) -> None:
    measured = Measurements()
    measured.add("dwt", "ours", "time", value, "ms")
    measured.write(tmp_path / "measured.json")
    content = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert content["rows"] == []
    assert content["failed"] == [{"task": "dwt", "system": "ours", "error": f"time is {value}"}]


def test_a_metric_is_recorded_once() -> None:
    measured = Measurements()
    measured.add("dwt", "ours", "time", 3, "ms")
    with pytest.raises(ValueError, match="time of ours in dwt is recorded already"):
        measured.add("dwt", "ours", "time", 0.003, "s")


def test_the_quick_form_refuses_what_it_sets_itself(tmp_path: Path) -> None:
    runner = CliRunner()
    refused = runner.invoke(attacks.app, ["--quick", "--clips", "100", "--model", "m.safetensors"])
    assert refused.exit_code == 2
    assert "it sets --clips, --model itself" in " ".join(refused.output.replace("│", " ").split())
    out = tmp_path / "none.json"
    unknown = runner.invoke(attacks.app, ["--quick", "--attacks", "none", "--json", str(out)])
    assert unknown.exit_code == 2
    assert "none is none of bim, deepfool" in " ".join(unknown.output.replace("│", " ").split())
    assert not out.exists()


def test_the_table_has_a_line_for_each_system_and_says_what_failed() -> None:
    measured = Measurements()
    measured.add("dwt", "ours", "time", 3, "ms")
    measured.add("dwt", "peer", "time", 47_912.3, "ms")
    measured.add("dwt", "ours", "memory", 4.3211, "MiB")
    measured.fail("stft", "peer", ValueError("too short"))
    assert measured.table().splitlines() == [
        "| dwt | time (ms) | memory (MiB) |",
        "| --- | ---: | ---: |",
        "| ours | 3 | 4.321 |",
        "| peer | 47,912 |  |",
        "",
        "stft, peer failed: ValueError: too short",
    ]


def test_an_attack_is_judged_by_what_it_returned() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pictures = torch.tensor([[0.6, 0.4], [0.1, 0.5]]).reshape(2, 1, 1, 2)
    labels = torch.tensor([0, 1])
    bench = Bench(Linear(weight, torch.zeros(2)), pictures, labels, 1 - labels, Measurements())

    def liar(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        return pictures + 5.0 * (torch.arange(2) != classes[:, None]).reshape(-1, 1, 1, 2)

    def broken(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        raise RuntimeError("out of order")

    bench.add("deepfool", "ours", "l2", False, Ours(DeepFool(ball="l2")), 2)
    bench.add("deepfool", "beyond the bounds", "l2", False, liar, 2)
    bench.add("deepfool", "broken", "l2", False, broken, 2)
    value = bench.measured.value
    assert value("deepfool", "ours", "fooling rate") == 1
    # The distances to the boundary x₀ = x₁ are 0.2 / √2 and 0.4 / √2.
    assert value("deepfool", "ours", "median L2 of the fooled clips") == pytest.approx(
        0.3 / math.sqrt(2), rel=0.03
    )
    assert value("deepfool", "ours", "backward passes per clip") >= 1
    assert value("deepfool", "beyond the bounds", "fooling rate") == 0
    assert bench.measured.failed == [
        {"task": "deepfool", "system": "broken", "error": "RuntimeError: out of order"}
    ]
    with pytest.raises(KeyError):
        value("deepfool", "broken", "fooling rate")


def test_committed_measurements_have_that_form() -> None:
    paths = [path for study in STUDIES for path in sorted((ROOT / "results" / study).glob("*.json"))]
    assert len(paths) >= 8
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "commit", "date", "hardware", "versions"} <= content.keys(), path
        named = set()
        for row in content["rows"]:
            assert row.keys() == ROW.keys(), path
            assert all(isinstance(row[key], kind) for key, kind in ROW.items()), (path, row)
            named.add((row["task"], row["system"], row["metric"]))
        assert len(named) == len(content["rows"]), path
