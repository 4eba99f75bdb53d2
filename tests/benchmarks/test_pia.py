"""PIA's benchmark: what a record takes down, the published attack's rules, and that a run goes on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from benchmarks.pia import app
from benchmarks.pia_peers import Case, Record, Stopped, published_partial_information, sign_flip


class Bright(nn.Module):
    """Class 1 where the mean value is above a half, surely so above 0.7; notes how many pictures came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(len(x))
        margin = 10 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack((torch.zeros_like(margin), margin), 1)


def case(clips: int = 2) -> Case:
    generator = torch.Generator().manual_seed(0)
    clean = 0.45 + 0.02 * torch.rand(clips, 1, 8, 8, generator=generator)
    return Case(Bright(), clean, torch.full_like(clean, 0.9), torch.ones(clips, dtype=torch.int64))


def record(clips: int = 2, budget: int = 3000, enough: float = 0.05) -> Record:
    return Record(clips, budget=budget, bounds=(0.05, 0.2), marks=(100, 1000), enough=enough)


def test_record_keeps_the_first_query_within_a_bound_and_nothing_beyond_the_budget() -> None:
    taken = record(3, budget=1000)
    taken.note(torch.tensor([50, 50, 50]), torch.tensor([0.3, 0.1, 0.3]))
    taken.note(torch.tensor([200, 150, 400]), torch.tensor([0.2, 0.04, 0.3]))
    with pytest.raises(Stopped):
        taken.note(torch.tensor([1100, 900, 1000]), torch.tensor([0.01, 0.01, 0.2]))
    assert taken.reached[0.2].tolist() == [200, 50, 1000]
    assert taken.reached[0.05].tolist() == [-1, 150, -1]
    assert taken.best.tolist() == pytest.approx([0.2, 0.04, 0.2])
    assert taken.at[100].tolist() == pytest.approx([0.3, 0.1, 0.3])
    assert taken.queries.tolist() == [1000, 150, 1000]


@pytest.mark.parametrize("attack", [published_partial_information, sign_flip])
def test_peers_reach_the_goal_on_a_linear_model_and_queries_are_those_of_the_model(attack: object) -> None:
    one, taken = case(1), record(1, budget=20000, enough=0.08)
    with torch.no_grad(), pytest.raises(Stopped):
        attack(one, taken, 0)  # type: ignore[operator]
    assert float(taken.best) <= 0.08
    assert isinstance(one.model, Bright)
    assert abs(sum(one.model.asked) - int(taken.queries)) <= 20


def test_published_attack_cuts_epsilon_only_below_its_threshold() -> None:
    # At a mean of 0.55 the loss is 0.47, above 0.2: the ball must stay as wide as it is.
    some = case()
    at_boundary = Case(some.model, some.clean, torch.full_like(some.clean, 0.55), some.targets)
    norms = []
    for threshold in (1e-6, 10.0):
        taken = record(budget=320, enough=0.0)
        with torch.no_grad(), contextlib.suppress(Stopped):
            published_partial_information(
                at_boundary,
                taken,
                0,
                adversarial_threshold=threshold,
                first_epsilon=0.11,
                first_cut=0.02,
                goal_epsilon=0.01,
                largest_rate=1e-3,
            )
        norms.append(float(taken.best.max()))
    assert norms[1] < 0.095 < norms[0]


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "pia.json"
    sizes = {"size": 16, "classes": 3, "clips": 4, "chunk": 2, "queries": 150}
    settings = ["--synthetic", "resnet18", "--device", "cpu"]
    settings += [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    run = CliRunner()
    first = run.invoke(app, [*settings, "--json", str(path), "--variants", "shipped,sign_flip"])
    assert first.exit_code == 0, first.output
    parts = json.loads(path.read_text())["parts"]
    assert list(parts) == ["shipped 0", "shipped 2", "sign_flip 0", "sign_flip 2"]
    del parts["sign_flip 2"]
    content = {**json.loads(path.read_text()), "parts": parts}
    path.write_text(json.dumps(content))
    assert run.invoke(app, [*settings, "--json", str(path), "--variants", "shipped,sign_flip"]).exit_code == 0
    again = json.loads(path.read_text())
    assert again["parts"]["shipped 0"]["seconds"] == parts["shipped 0"]["seconds"]
    assert "sign_flip 2" in again["parts"]
    assert {row["system"] for row in again["rows"]} == {"PIA as it is", "SignFlip (Chen et al. 2020)"}
    assert run.invoke(app, [*settings, "--json", str(path), "--seed", "1"]).exit_code == 2
