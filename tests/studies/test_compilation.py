"""When compiling pays, measured in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.measurements import Measurements
from studies import compilation
from studies.compilation import Training, in_own_process, pays_from


def test_compiling_pays_from_where_both_have_taken_as_long() -> None:
    images = pays_from(2.0, 1000.0, 62.0, 1500.0)
    assert 2 + images / 1000 == pytest.approx(62 + images / 1500)
    assert images == pytest.approx(180_000)


def test_every_epoch_is_timed_in_a_process_of_its_own() -> None:
    seconds = in_own_process(Training("resnet56", "fgsm", "eager", 32, 4, 2, 3, "cpu"), 200)
    assert len(seconds) == 4
    assert min(seconds) > 0


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError, match=r"not done after 0\.1 s"):
        in_own_process(Training("resnet56", "none", "eager", 32, 4, 2, 1, "cpu"), 0.1)


def test_a_process_that_fails_is_reported(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildProcessError, match="ended with code 1"):
        in_own_process(Training("no-such-model", "none", "eager", 32, 4, 2, 1, "cpu"), 200)
    assert "no-such-model" in capfd.readouterr().err


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """CUDA that is not there; compiled steps take a third less time, VGG-16's process dies, GoogLeNet's hangs."""
    asked: list[Training] = []

    def timed(training: Training, limit: float) -> list[float]:
        asked.append(training)
        compiled = training.mode == "compiled"
        if training.model == "vgg16" and compiled:
            raise ChildProcessError("ended with code -9")
        if training.model == "googlenet" and compiled:
            raise TimeoutError("not done after 9 s")
        rate = 1500.0 if compiled else 1000.0
        return [62.0 if compiled else 2.0, *[training.steps * training.batch / rate] * 3]

    monkeypatch.setattr(compilation, "in_own_process", timed)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(compilation, "Measurements", lambda device: Measurements())
    return asked


def test_what_was_measured_and_what_failed_is_written(tmp_path: Path, fake_gpu: list[Training]) -> None:
    file = tmp_path / "c.json"
    chosen = ["--models", "resnet18,vgg16,googlenet", "--defences", "fgsm", "--json", str(file)]
    result = CliRunner().invoke(compilation.app, chosen)
    assert result.exit_code == 0, result.output
    content = json.loads(file.read_text())
    rows = {
        (row["task"].split(",")[0], row["system"], row["metric"]): row["value"] for row in content["rows"]
    }
    assert rows["training of resnet18", "compiled", "pays from"] == pytest.approx(180_000)
    assert rows["training of resnet18", "compiled", "speed over the recorded steps"] == pytest.approx(1.5)
    assert rows["training of vgg16", "graph", "speed, median"] == pytest.approx(1000)
    assert [item["error"] for item in content["failed"]] == [
        "ChildProcessError: ended with code -9",
        "TimeoutError: not done after 9 s",
    ]
    assert content["planned"] == [["fgsm", "resnet18"], ["fgsm", "vgg16"], ["fgsm", "googlenet"]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--models", "resnet18,resnet19"], "resnet19 is none of alexnet"),
        (["--defences", "fsgm"], "fsgm is none of none, fgsm"),
        (["--rounds", "0"], "--rounds"),
        (["--steps", "3"], "--steps"),
    ],
)
def test_a_wrong_choice_is_reported_before_any_process(
    fake_gpu: list[Training], options: list[str], said: str
) -> None:
    result = CliRunner().invoke(compilation.app, options)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
    assert not fake_gpu
