"""What the benchmarks write: rows of one form, measured of the pictures that an attack returned."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advaudio.attacks.deepfool import DeepFool
from benchmarks.attacks import Bench
from benchmarks.attacks_peers import Ours
from benchmarks.measurements import Measurements
from tests.attacks.networks import Linear

ROOT = Path(__file__).resolve().parents[2]
ROW = {"task": str, "system": str, "metric": str, "value": float | int, "unit": str}
FILES = ("attacks-peers*", "training-*", "representations-*", "augmentation*")


def test_a_run_is_written_with_its_circumstances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/somewhere/benchmarks/attacks.py", "--model", "/private/place/m.pt", "--quick"]
    monkeypatch.setattr("sys.argv", words)
    measured = Measurements(("pytest", "no-such-library"))
    measured.add("dwt", "ours", "time", 3, "ms")
    measured.fail("dwt", "a peer", ValueError("too short"))
    measured.write(tmp_path / "measured.json", clips=5)
    content = json.loads((tmp_path / "measured.json").read_text(encoding="utf-8"))
    assert content["rows"] == [
        {"task": "dwt", "system": "ours", "metric": "time", "value": 3.0, "unit": "ms"}
    ]
    assert content["failed"] == [{"task": "dwt", "system": "a peer", "error": "ValueError: too short"}]
    assert content["command"] == "python -m benchmarks.attacks --model m.pt --quick"
    assert content["versions"]["pytest"] == pytest.__version__
    assert content["versions"]["no-such-library"] == "not installed"
    assert content["clips"] == 5
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"])


def test_a_number_that_is_none_is_not_written(tmp_path: Path) -> None:
    measured = Measurements()
    measured.add("dwt", "ours", "time", math.nan, "ms")
    with pytest.raises(ValueError, match="not JSON compliant"):
        measured.write(tmp_path / "measured.json")
    assert list(tmp_path.iterdir()) == []


def test_the_table_has_a_line_for_each_system_and_says_what_failed() -> None:
    measured = Measurements()
    measured.add("dwt", "ours", "time", 3, "ms")
    measured.add("dwt", "peer", "time", 600, "ms")
    measured.add("dwt", "ours", "memory", 4, "MiB")
    measured.fail("stft", "peer", ValueError("too short"))
    assert measured.table().splitlines() == [
        "| dwt | time (ms) | memory (MiB) |",
        "| --- | ---: | ---: |",
        "| ours | 3 | 4 |",
        "| peer | 600 |  |",
        "",
        "stft, peer failed: ValueError: too short",
    ]


def test_an_attack_is_judged_by_what_it_returned() -> None:
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pictures = torch.tensor([[0.6, 0.4], [0.1, 0.5]]).reshape(2, 1, 1, 2)
    labels = torch.tensor([0, 1])
    bench = Bench(Linear(weight, torch.zeros(2)), pictures, labels, 1 - labels)

    def liar(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        return pictures + 5.0 * (torch.arange(2) != classes[:, None]).reshape(-1, 1, 1, 2)

    def broken(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        raise RuntimeError("out of order")

    bench.add("deepfool", "ours", "l2", False, Ours(DeepFool(ball="l2")), 2)
    bench.add("deepfool", "beyond the bounds", "l2", False, liar, 2)
    bench.add("deepfool", "broken", "l2", False, broken, 2)
    value = bench.measured.value
    assert value("deepfool", "ours", "fooling rate") == 1
    # The distances to the boundary x₀ = x₁ are 0.2 / √2 and 0.4 / √2; torch's median is the lower one.
    assert value("deepfool", "ours", "median perturbation") == pytest.approx(0.2 / math.sqrt(2), rel=0.03)
    assert value("deepfool", "ours", "backward passes per clip") >= 1
    assert value("deepfool", "beyond the bounds", "fooling rate") == 0
    assert bench.measured.failed == [
        {"task": "deepfool", "system": "broken", "error": "RuntimeError: out of order"}
    ]
    with pytest.raises(KeyError):
        value("deepfool", "broken", "fooling rate")


def test_committed_measurements_have_that_form() -> None:
    paths = [path for pattern in FILES for path in sorted((ROOT / "results").glob(f"{pattern}.json"))]
    assert len(paths) >= 8
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert {"command", "date", "hardware", "versions"} <= content.keys(), path
        named = set()
        for row in content["rows"]:
            assert row.keys() == ROW.keys(), path
            assert all(isinstance(row[key], kind) for key, kind in ROW.items()), (path, row)
            named.add((row["task"], row["system"], row["metric"], row["unit"]))
        assert len(named) == len(content["rows"]), path
