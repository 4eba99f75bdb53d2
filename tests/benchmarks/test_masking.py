"""The table of caught models and false alarms, on small cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from advaudio.models.model_file import save_model
from advaudio.models.registry import build_model
from benchmarks.masked_models import MASKED
from benchmarks.masking import COLLAPSE, main, verdict

NETWORK = "tests.training.networks:Plain"


def write_cell(folder: Path) -> None:
    """A cell of easy pictures: a clean original model, and a robust one that plain FGSM made collapse."""
    generator = np.random.default_rng(0)
    patterns = generator.choice([-1.0, 1.0], (6, 8, 8))
    labels = np.arange(500) % 6
    pictures = 0.5 + 0.15 * generator.standard_normal((500, 8, 8)) + 0.1 * patterns[labels]
    pictures = pictures.clip(0, 1).astype(np.float32)
    (folder / "data" / "pictures").mkdir(parents=True)
    np.save(folder / "data" / "pictures" / "pictures.npy", pictures)
    table = pd.DataFrame(
        {"sample": range(500), "clip": [f"clip{row}" for row in range(500)], "label": labels}
    )
    table["fold_0"] = np.repeat(["train", "validation", "test"], [400, 60, 40])
    table.to_csv(folder / "data" / "split.csv", index=False)
    x, y = torch.from_numpy(pictures[:400])[:, None], torch.from_numpy(labels[:400])
    for name, epsilon in (("original", 0.0), ("robust", 0.3)):
        model = build_model(NETWORK, 6, (8, 8), mean=0.5, std=0.2, seed=0)
        _train(model, x, y, epsilon)
        metadata = {"model": NETWORK, "classes": 6, "defence": "fgsm", "repeat": 0, "fold": 0, "seed": 0}
        save_model(model, folder / "models" / f"{name}.safetensors", metadata)


def _train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epsilon: float) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for epoch in range(14):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch))
        for rows in order.split(50):
            point = x[rows].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(point), y[rows]), point)
            attacked = (x[rows] + epsilon * gradient.sign()).clamp(0, 1)
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(torch.cat([x[rows], attacked])), y[rows].repeat(2)).backward()
            optimiser.step()


def test_every_model_is_told_as_it_is(tmp_path: Path) -> None:
    cell, results = tmp_path / "cell", tmp_path / "masking.json"
    write_cell(cell)
    app = typer.Typer()
    app.command()(main)
    options = ["--collapsed", cell, "--clean", cell, "--epsilon", 0.3, "--device", "cpu", "--clips", 40]
    paths = ["--json", results, "--markdown", tmp_path / "masking.md"]
    done = CliRunner().invoke(app, [str(word) for word in [*options, *paths]], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    written = json.loads(results.read_text(encoding="utf-8"))
    verdicts = {entry["kind"]: entry["verdict"] for entry in written["details"]}
    assert verdicts == {"collapsed": "caught", "clean": "passed", **dict.fromkeys(MASKED, "caught")}
    collapsed = written["details"][0]["checks"][COLLAPSE]
    assert collapsed["passed"] is False
    assert collapsed["fooled_by_iterations"] - collapsed["fooled_by_one_step"] >= 0.3
    told = [row["value"] for row in written["rows"] if row["metric"] == "told as it is"]
    assert told == [1.0] * (2 + len(MASKED))
    lines = (tmp_path / "masking.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(told)
    assert all("Plain" in line and "cell" in line for line in lines[2:])


@pytest.mark.parametrize(
    ("sound", "passed", "expected"),
    [
        (True, [True, None], "passed"),
        (True, [True, False], "false alarm"),
        (False, [True, None], "missed"),
        (False, [None, False], "caught"),
    ],
)
def test_verdict(sound: bool, passed: list[bool | None], expected: str) -> None:
    assert verdict(sound, {str(number): {"passed": value} for number, value in enumerate(passed)}) == expected
