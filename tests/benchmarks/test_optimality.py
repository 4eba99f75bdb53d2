"""Optimality: its formula, the box that counts passes, the references on a model whose optimum is known, a run that goes on."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn
from typer.testing import CliRunner

from advaudio.attack_interface.base import Attack
from advaudio.attack_interface.problem import Goal, Norm
from advaudio.attacks import bim, jsma
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool
from advaudio.attacks.jsma import Jsma
from advaudio.attacks.pia import Pia
from benchmarks import optimality as benchmark
from benchmarks.attacks_peers import trained_on_blobs
from benchmarks.optimality import _walked, _watched, app
from benchmarks.optimality_box import Box
from benchmarks.optimality_peers import REFERENCES, OneAgainstOthers, sigma_zero
from benchmarks.optimality_score import optimality, read_measured, scores

CLASSES, SIDE = 5, 6


class Linear(nn.Module):
    """Logits linear in the picture, or an increasing function of such, which leaves the boundaries where they are.

    It counts the rows that come, and those that go back.
    """

    def __init__(self, classes: int = CLASSES, *, curved: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        weight = 30 * torch.randn(classes, SIDE * SIDE, generator=generator)
        self.weight, self.curved = nn.Parameter(weight, requires_grad=False), curved
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        logits = (x.flatten(1) - 0.5) @ self.weight.T
        logits = logits.asinh() if self.curved else logits
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def problem(
    targeted: bool, *, clips: int = 6, classes: int = CLASSES, curved: bool = False, contrast: float = 0.2
) -> tuple[Linear, Tensor, Goal]:
    """Pictures far from the boundaries, their classes to leave or the next classes to reach."""
    model = Linear(classes, curved=curved)
    generator = torch.Generator().manual_seed(2)
    drawn = 0.5 + contrast * (torch.rand(20 * clips, 1, SIDE, SIDE, generator=generator) - 0.5)
    best = model(drawn).topk(2, dim=1).values
    clean = drawn[(best[:, 0] - best[:, 1]).topk(clips).indices]
    labels = model(clean).argmax(1)
    model.forwards = 0
    return model, clean, Goal((labels + 1) % classes if targeted else labels, targeted)


def smallest_norms(weight: Tensor, clean: Tensor, goal: Goal, norm: Norm) -> Tensor:
    """The exact smallest norms (N,) for linear logits.

    To leave a class, one boundary must be crossed: the nearest, at the gap over the dual norm of the slope, or in L0 at
    so many features, moved to the bound that helps, as fill the gap. To reach one, all must: a linear programme in L∞.
    """
    flat = (clean.flatten(1) - 0.5).double()
    weight = weight.double()
    logits = flat @ weight.T
    found = []
    for row, own in enumerate(goal.classes.tolist()):
        others = [other for other in range(len(weight)) if other != own]
        slopes = (weight[others] - weight[own]) * (-1 if goal.targeted else 1)
        gaps = (logits[row, own] - logits[row, others]).abs()
        if norm == "l0":
            gains = (slopes * torch.where(slopes > 0, 0.5 - flat[row], -0.5 - flat[row])).sort(
                descending=True
            )
            needed = (gains.values.cumsum(1) < gaps[:, None]).sum(1) + 1
            found.append(float(needed.min()))
        elif goal.targeted and len(others) > 1:
            needed_gain = (logits[row, others] - logits[row, own]).numpy()
            size = flat.shape[1]
            wall = np.concatenate((np.eye(size), -np.eye(size)))
            constraints = np.concatenate(
                (np.c_[-slopes.numpy(), np.zeros(len(others))], np.c_[wall, -np.ones(2 * size)])
            )
            limits = np.concatenate((-needed_gain, np.zeros(2 * size)))
            bounds = [(-0.5 - value, 0.5 - value) for value in flat[row].tolist()] + [(0, None)]
            solved = linprog([0] * size + [1], A_ub=constraints, b_ub=limits, bounds=bounds)
            assert solved.success
            found.append(float(solved.fun))
        else:
            found.append(float((gaps / slopes.norm(p=1 if norm == "linf" else 2, dim=1)).min()))
    return torch.tensor(found)


def area_under(norms: np.ndarray[Any, Any], end: float) -> float:
    """Of the robust accuracy, by a sum over many small steps."""
    grid = (np.arange(200_000) + 0.5) / 200_000 * end
    return float((norms[None] > grid[:, None]).mean()) * end


def test_optimality_by_hand() -> None:
    best = np.array([1.0, 2.0, 4.0])
    assert optimality(best, best) == 1
    # ε₀ = 4; areas: 4 without an attack, (2 + 4 + 4) / 3 of this one, 7/3 of the best.
    assert optimality(np.array([2.0, 4.0, np.inf]), best) == pytest.approx((4 - 10 / 3) / (4 - 7 / 3))
    assert optimality(np.full(3, np.inf), best) == 0
    assert optimality(np.array([3.0, 3.0]), np.array([3.0, 3.0])) == 1
    assert optimality(np.array([3.0, 5.0]), np.array([3.0, 3.0])) == 0
    with pytest.raises(ValueError, match="smaller norm"):
        optimality(np.array([0.5, 2.0, 4.0]), best)
    with pytest.raises(ValueError, match="no attack"):
        optimality(np.full(2, np.inf), np.full(2, np.inf))


def test_optimality_is_the_ratio_of_areas_of_its_definition() -> None:
    generator = np.random.default_rng(0)
    best = generator.uniform(0.1, 1.0, 30)
    norms = best * generator.uniform(1.0, 2.0, 30)
    norms[:3] = np.inf
    end = best.max()
    expected = (end - area_under(norms, end)) / (end - area_under(best, end))
    assert optimality(norms, best) == pytest.approx(expected, abs=1e-4)


def test_box_counts_each_clip_and_keeps_what_came_in_time() -> None:
    model, clean, goal = problem(targeted=False, clips=3)
    box = Box(model, clean, goal, "linf", passes=3).eval()
    away = -(model.weight[goal.classes]).sign().reshape(clean.shape)
    asked = box.pictures[[0, 2]].clone().requires_grad_(True)
    box(asked).sum().backward()
    assert box.spent.tolist() == [2, 0, 2]
    assert box.best.isinf().all()
    for size, spent, within in ((0.3, 3, 0.3), (0.2, 4, 0.3)):
        moved = box.pictures[[2]]
        moved[..., :-1] += size * away[2].flatten()
        with torch.no_grad():
            box(moved)
        assert box.spent.tolist() == [2, 0, spent]
        assert float(box.best[2]) == pytest.approx(size)
        assert float(box.best_within[2]) == pytest.approx(within)
    assert box.best[:2].isinf().all()
    outside = clean + 0.9 * away
    with torch.no_grad():
        box(outside)
    assert box.best[:2].isinf().all()
    assert box.spent.tolist() == [3, 1, 5]
    assert model.forwards + model.backwards == 9
    box.require_found()


def test_box_refuses_rows_that_it_cannot_tell_apart() -> None:
    model, clean, goal = problem(targeted=False, clips=3)
    box = Box(model, clean, goal, "linf")
    with pytest.raises(ValueError, match="2 pictures without numbers"):
        box(clean[:2])
    box(box.pictures + 0.1)
    with pytest.raises(RuntimeError, match="number of a clip"):
        box.require_found()


@pytest.mark.parametrize(
    "attack",
    [
        Bim(stop_early=True, steps=12),
        Bim(stop_early=False, steps=12, first_epsilon=0.3),
        Jsma(theta=0.2, iterations=40),
        CarliniWagner(search_steps=3, iterations=40, learning_rate=0.05),
        DeepFool(iterations=20),
        DeepFool(ball="l2", iterations=20),
    ],
    ids=lambda attack: f"{type(attack).__name__}-{attack.norm}",
)
@pytest.mark.parametrize(
    "every", [1, 8], ids=["leaving at once, as on a CPU", "every eighth step, as on a GPU"]
)
def test_our_attacks_in_the_box_are_those_outside_and_every_pass_is_counted(
    attack: Attack, every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bim, jsma):
        monkeypatch.setattr(module, "compaction_due", lambda step, device: step % every == every - 1)
    targeted = not attack.untargeted_only
    model, clean, goal = problem(targeted=targeted)
    box = Box(model, clean, goal, attack.norm).eval()
    found = _watched(attack, box)  # which compares the box's passes of each clip with the attack's meter
    assert model.forwards + model.backwards == int(found.passes.sum())
    plain = attack.search(Linear(), clean, goal)
    size = {
        "linf": lambda change: change.abs().amax(1),
        "l2": lambda change: change.norm(dim=1),
        "l0": lambda change: (change != 0).sum(1).float(),
    }[attack.norm]((plain.adversarial - clean).flatten(1))
    assert plain.found.all()
    # CWA's rate follows from the length of a step over all features, of which the box adds one to these 36 (1.4 %).
    torch.testing.assert_close(found.norm, size, rtol=0.03 if attack.norm == "l2" else 1e-4, atol=1e-6)
    assert (box.best <= found.norm).all()


def test_pia_counts_by_its_own_meter_what_ended_in_time() -> None:
    model, clean, goal = problem(targeted=True)
    starts = (clean + 0.4 * model.weight[goal.classes].sign().reshape(clean.shape)).clamp(0, 1)
    assert bool((model(starts).argmax(1) == goal.classes).all())
    attack = Pia(iterations=40, samples=10, largest_epsilon=0.5, seed=3)
    plain = attack.search(model, clean, goal, starting_points=starts)
    norms = (plain.adversarial - clean).flatten(1).abs().amax(1)
    results = []
    for passes in (120, 10**6):
        model.forwards = 0
        found = _walked(attack, Box(model, clean, goal, "linf", passes=passes), starts)
        assert model.forwards == int(found.passes.sum()) + len(clean)  # one more checks the answers
        torch.testing.assert_close(found.norm, norms)
        results.append(found.norm_within)
    assert (results[0] > results[1]).any()
    torch.testing.assert_close(results[1], norms)


def run_reference(name: str, passes: int = 600) -> tuple[Tensor, Tensor]:
    """Smallest norms that a reference finds, and the exact ones."""
    _, norm, targeted, attack = REFERENCES[name]
    one_boundary = norm == "l0" or (targeted and norm == "l2") or name.startswith("fmn")
    model, clean, goal = problem(
        targeted,
        classes=2 if one_boundary else CLASSES,
        # On linear logits FMN walks onto the very boundary, where rounding decides.
        curved=name.startswith("fmn"),
        contrast=1.0 if norm == "l0" else 0.2,
    )
    box = Box(model, clean, goal, norm, passes=passes).eval()
    attack(box, passes, 0)
    assert int(box.spent.max()) <= passes
    assert model.forwards + model.backwards == int(box.spent.sum())
    assert torch.equal(box.best, box.best_within)
    return box.best, smallest_norms(model.weight, clean, goal, norm)


@pytest.mark.parametrize("name", list(REFERENCES))
def test_references_find_the_optimum_of_a_linear_model_within_their_passes(name: str) -> None:
    pytest.importorskip("adv_lib", reason="pip install --no-deps adv-lib")
    found, exact = run_reference(name)
    assert (found >= exact * (1 - 1e-4)).all()
    largest, median = (1.5, 1.0) if REFERENCES[name][1] == "l0" else (1.06, 1.01)
    assert float((found / exact).max()) <= largest
    assert float((found / exact).median()) <= median


def test_fmn_ends_where_one_feature_of_each_clip_is_enough() -> None:
    pytest.importorskip("adv_lib", reason="pip install --no-deps adv-lib")
    model, clean, goal = problem(targeted=True, classes=2, contrast=0.05)
    box = Box(model, clean, goal, "l0").eval()
    REFERENCES["fmn_l0"][3](box, 2000, 0)
    assert box.best.tolist() == [1.0] * len(clean)
    assert int(box.spent.max()) < 2000


def test_sigma_zero_with_a_target_is_the_library_s_without_where_there_are_two_classes() -> None:
    pytest.importorskip("adv_lib", reason="pip install --no-deps adv-lib")
    model, clean, goal = problem(targeted=True, classes=2, contrast=1.0)
    boxes = [
        Box(model, clean, Goal(classes, targeted), "l0").eval()
        for classes, targeted in ((goal.classes, True), (1 - goal.classes, False))
    ]
    for box in boxes:
        sigma_zero(box, 200, 0)
    assert torch.equal(boxes[0].best, boxes[1].best)
    many = torch.tensor([[1.0, 5.0, 3.0], [2.0, 0.0, 7.0]])
    box = Box(nn.Flatten(), many[:, None, :, None], Goal(torch.tensor([0, 2]), True), "l0")
    # The loss of its equation: the best other logit less the target's.
    assert (OneAgainstOthers(box)(box.clean) @ torch.tensor([1.0, -1.0])).tolist() == [4.0, -5.0]


SETTINGS = (
    "--synthetic resnet18 --device cpu --size 16 --classes 3 --clips 4 --chunk 2 --passes 60 --budgets quick"
)


def test_a_run_goes_on_where_it_stopped_and_measures_again_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "trained_on_blobs", functools.cache(trained_on_blobs))
    path, params = tmp_path / "found.json", tmp_path / "params.yaml"
    params.write_text(Path("params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    words = [
        *SETTINGS.split(),
        "--variants",
        "deepfool,jsma quick 1",
        "--json",
        str(path),
        "--params",
        str(params),
    ]
    run = CliRunner()
    first = run.invoke(app, words)
    assert first.exit_code == 0, first.output
    content = json.loads(path.read_text())
    parts = content["parts"]
    names = ["jsma quick 1", "deepfool quick 1", "deepfool quick 2"]
    assert list(parts) == [f"{name} {start}" for name in names for start in (0, 2)]
    assert {score.budget for score in scores(read_measured(path)) if score.targeted} == {"quick 1"}
    del parts["deepfool quick 2 2"]
    path.write_text(json.dumps({**content, "parts": parts}))
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("jsma: [{iterations: 60,", "jsma: [{iterations: 30,"), encoding="utf-8")
    assert run.invoke(app, words).exit_code == 0
    again = json.loads(path.read_text())["parts"]
    assert again["deepfool quick 2 0"] == parts["deepfool quick 2 0"]
    assert "deepfool quick 2 2" in again
    assert again["jsma quick 1 0"]["seconds"] != parts["jsma quick 1 0"]["seconds"]
    assert run.invoke(app, [*words, "--seed", "1"]).exit_code == 2
    assert run.invoke(app, [*words, "--variants", "nothing"]).exit_code == 2


def made(norm: list[float | None], within: list[float | None], passes: list[int]) -> dict[str, Any]:
    return {"norm": norm, "norm_within": within, "passes": passes, "seconds": 1.0}


def about(attack: str, settings: dict[str, Any] | None, budget: str | None = None) -> dict[str, Any]:
    return {"attack": attack, "norm": "linf", "targeted": True, "budget": budget, "settings": settings}


def test_scores_hold_each_attack_against_the_best_of_its_norm_and_goal() -> None:
    content = {
        "key": {"clips": 4, "passes": 100},
        "variants": {
            "ours": about("ours", {"steps": 1}, "paper 1"),
            "few": about("few", {"steps": 2}, "quick 1"),
            "peer": about("peer", None),
            "other goal": {**about("other goal", None), "targeted": False},
        },
        "parts": {
            "ours 0": made([1.0, 2.0], [3.0, 2.0], [150, 90]),
            "ours 2": made([4.0, None], [None, None], [200, 200]),
            "few 0": made([2.0, 2.0], [2.0, 2.0], [10, 10]),
            "peer 0": made([2.0, 2.0], [2.0, 2.0], [100, 100]),
            "peer 2": made([2.0, 4.0], [2.0, 4.0], [100, 100]),
            "other goal 0": made([0.1, 0.1], [0.1, 0.1], [100, 100]),
        },
    }
    # The best are 1, 2, 2, 4, their mean is 2.25 and ε₀ is 4.
    found = {(score.attack, score.budget): score for score in scores(content)}
    assert found["ours", "paper 1"].optimality == pytest.approx((4 - 11 / 4) / 1.75)
    assert found["ours", "paper 1"].passes == 160
    assert found["ours", "paper 1"].fooled == 0.75
    assert found["ours", "paper 1"].ratio == pytest.approx(3 / 2)
    assert found["ours", "100 of paper 1"].optimality == pytest.approx((4 - 13 / 4) / 1.75)
    assert found["ours", "100 of paper 1"].passes == pytest.approx(97.5)
    assert math.isinf(found["ours", "100 of paper 1"].ratio)
    assert found["peer", "100"].optimality == pytest.approx((4 - 2.5) / 1.75)
    # On the first two clips alone: the best are 1 and 2.
    assert found["few", "quick 1"].optimality == pytest.approx(0)
    assert found["few", "quick 1"].clips == 2
    assert found["other goal", "100"].optimality == 1
    assert len(found) == 5
