"""Failures are failures, every example is checked, and the cost is what the model saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack, perturbation_norm
from advaudio.attack_interface.oracle import TopKOracle
from advaudio.attack_interface.problem import BACKWARDS, FORWARDS, QUERIES, Goal, Problem
from advaudio.attack_interface.registry import make_attack
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool, boundaries
from advaudio.attacks.jsma import Jsma
from advaudio.attacks.pia import Pia
from advaudio.core.errors import AdvaudioError
from benchmarks.attacks_peers import CountingModel
from tests.attacks.networks import BlackBox, RootOfZero, RoundsAnew, trained_network

Case = tuple[nn.Module, Tensor, Tensor]


@pytest.fixture(scope="module")
def case() -> Case:
    return trained_network()


def goal_for(attack: Attack, labels: Tensor) -> Goal:
    return Goal(labels, False) if attack.untargeted_only else Goal((labels + 1) % 4, True)


def starts_for(case: Case) -> Tensor:
    _, pictures, labels = case
    return torch.stack([pictures[labels == target][0] for target in (labels + 1) % 4])


SMALL: dict[str, Callable[[], Attack]] = {
    "bim_a": lambda: Bim(stop_early=True, steps=10, precision=1.2),
    "bim_b": lambda: Bim(stop_early=False, steps=10, precision=1.2),
    "jsma": lambda: Jsma(iterations=40),
    "deepfool": lambda: DeepFool(iterations=20),
    "deepfool_l2": lambda: DeepFool(iterations=20, ball="l2", candidates=3),
    "cwa": lambda: CarliniWagner(search_steps=3, iterations=30, first_constant=0.3, learning_rate=0.05),
    "pia": lambda: Pia(iterations=6, samples=10),
}


@pytest.mark.parametrize("name", SMALL)
def test_outcome_is_what_it_claims(case: Case, name: str) -> None:
    model, pictures, labels = case
    attack = SMALL[name]()
    counting = CountingModel(model)
    goal = goal_for(attack, labels)
    outcome = attack.search(counting, pictures, goal, starting_points=starts_for(case))
    assert outcome.found.float().mean() > 0.8
    assert torch.equal(goal.reached(model(outcome.adversarial)) & outcome.found, outcome.found)
    assert outcome.adversarial.min() >= 0
    assert outcome.adversarial.max() <= 1
    assert torch.equal(outcome.adversarial[~outcome.found], pictures[~outcome.found])
    assert int(outcome.counts[:, FORWARDS].sum()) == counting.forwards
    assert int(outcome.counts[:, BACKWARDS].sum()) == counting.backwards


@pytest.mark.parametrize(
    "attack",
    [
        Jsma(iterations=1),
        Jsma(gamma=1 / 72),
        CarliniWagner(search_steps=1, iterations=1),
        Bim(stop_early=True, largest_epsilon=1e-4),
        DeepFool(iterations=1, overshoot=1e-9),
    ],
    ids=["jsma iterations", "jsma gamma", "cwa", "bim", "deepfool"],
)
def test_too_small_a_budget_is_a_failure_and_leaves_the_picture(case: Case, attack: Attack) -> None:
    model, pictures, labels = case
    outcome = attack.search(model, pictures, goal_for(attack, labels))
    failed = ~outcome.found
    assert failed.any()
    assert torch.equal(outcome.adversarial[failed], pictures[failed])


def test_an_example_that_does_not_hold_is_dropped(case: Case) -> None:
    class Liar(Attack):
        norm = "linf"

        def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
            found = torch.ones(len(problem.pictures), dtype=torch.bool)
            return problem.pictures + 0.5, found

    model, pictures, labels = case
    outcome = Liar().search(model, pictures, Goal(labels, False))
    assert not outcome.found.any()
    assert torch.equal(outcome.adversarial, pictures)


@pytest.mark.parametrize(
    "attack",
    [DeepFool(), CarliniWagner(search_steps=2, iterations=40, first_constant=1.0, learning_rate=0.1)],
)
def test_success_outlasts_another_rounding(attack: Attack) -> None:
    torch.manual_seed(3)
    first = nn.Linear(16, 32)
    first.weight.data *= 8
    network = nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Linear(32, 5))
    pictures = 0.3 + 0.4 * torch.rand(400, 1, 4, 4)
    best = network(pictures).topk(2)
    far = best.values.diff().abs().squeeze(1) > 0.1
    pictures, labels = pictures[far], best.indices[far, 0]
    exact, rounded = (
        attack.search(RoundsAnew(network, share), pictures, Goal(labels, False)).found
        for share in (0.0, 3e-5)
    )
    assert exact.double().mean() > 0.9
    assert int((exact & ~rounded).sum()) == 0


def test_jsma_changes_no_more_features_than_gamma_allows(case: Case) -> None:
    model, pictures, labels = case
    outcome = Jsma(gamma=0.1).search(model, pictures, Goal((labels + 1) % 4, True))
    assert 0 < perturbation_norm(outcome.adversarial - pictures, "l0").max() <= 14


def test_bim_a_stops_no_later_than_bim_b(case: Case) -> None:
    model, pictures, labels = case
    goal = Goal((labels + 1) % 4, True)
    early, late = (Bim(stop_early=stop, steps=20).search(model, pictures, goal) for stop in (True, False))
    assert early.counts[:, FORWARDS].sum() < late.counts[:, FORWARDS].sum()
    early_norm, late_norm = (perturbation_norm(o.adversarial - pictures, "linf") for o in (early, late))
    assert early_norm.mean() <= late_norm.mean() * 1.1


def test_required_confidence_costs_a_larger_perturbation(case: Case) -> None:
    model, pictures, labels = case
    goal = (labels + 1) % 4
    sure = Bim(stop_early=True, required_confidence=0.99).search(model, pictures, Goal(goal, True, 0.99))
    plain = Bim(stop_early=True).search(model, pictures, Goal(goal, True))
    assert (model(sure.adversarial).softmax(1).amax(1)[sure.found] >= 0.99).all()
    both = sure.found & plain.found
    norms = [perturbation_norm(o.adversarial - pictures, "linf")[both].mean() for o in (sure, plain)]
    assert norms[0] > norms[1]


def test_pia_attacks_a_model_whose_backward_raises(case: Case) -> None:
    model, pictures, labels = case
    counting = CountingModel(BlackBox(model))
    with pytest.raises(RuntimeError, match="asked for a gradient"):
        Jsma().search(counting, pictures, Goal((labels + 1) % 4, True))
    counting.forwards = 0
    outcome = Pia(iterations=10, samples=20, largest_epsilon=0.5).search(
        counting, pictures, Goal((labels + 1) % 4, True), starting_points=starts_for(case)
    )
    assert outcome.found.float().mean() > 0.9
    assert int(outcome.counts[:, QUERIES].sum()) == counting.forwards
    assert int(outcome.counts[:, BACKWARDS].sum()) == 0
    start_norm = perturbation_norm(starts_for(case) - pictures, "linf")
    norm = perturbation_norm(outcome.adversarial - pictures, "linf")
    assert norm[outcome.found].mean() < 0.7 * start_norm.mean()


def test_pia_does_not_depend_on_who_shares_the_batch(case: Case) -> None:
    model, pictures, labels = case
    attack = Pia(iterations=8, samples=20)
    goal, starts = Goal((labels + 1) % 4, True), starts_for(case)
    whole = attack.search(model.double(), pictures.double(), goal, starting_points=starts.double())
    rows = torch.tensor([5, 17])
    part = attack.search(
        model, pictures[rows].double(), goal.select(rows), starting_points=starts[rows].double()
    )
    model.float()
    torch.testing.assert_close(part.adversarial, whole.adversarial[rows], rtol=0, atol=1e-9)
    assert torch.equal(part.counts, whole.counts[rows])


def test_pia_fails_without_a_start_and_outside_its_largest_epsilon(case: Case) -> None:
    model, pictures, labels = case
    starts = starts_for(case)
    starts[3] = torch.nan
    starts[4] = pictures[4]
    goal = Goal((labels + 1) % 4, True)
    outcome = Pia(iterations=3, samples=10).search(model, pictures, goal, starting_points=starts)
    assert not outcome.found[[3, 4]].any()
    assert outcome.found.sum() > 20
    none = Pia(iterations=3, samples=10, largest_epsilon=1e-6)
    assert not none.search(model, pictures, goal, starting_points=starts).found.any()


def test_oracle_returns_the_best_labels_and_counts(case: Case) -> None:
    model, pictures, _ = case
    oracle = TopKOracle(model, 2, rows_of_one_pass=7)
    labels, scores = oracle(pictures.requires_grad_(True))
    expected = model(pictures).log_softmax(1).topk(2)
    pictures.requires_grad_(False)
    assert torch.equal(labels, expected.indices)
    torch.testing.assert_close(scores, expected.values)
    assert not scores.requires_grad
    assert oracle.queries == len(pictures)
    score, best = oracle.target_score(pictures, labels[:, 1])
    torch.testing.assert_close(score, scores[:, 1])
    assert not best.any()
    worst = model(pictures).argmin(1)
    assert oracle.target_score(pictures, worst)[0].isinf().all()


def test_pictures_outside_the_bounds_are_refused(case: Case) -> None:
    model, pictures, labels = case
    for wrong in (pictures + 1, pictures * torch.nan):
        with pytest.raises(AdvaudioError, match="outside"):
            DeepFool().search(model, wrong, Goal(labels, False))


def test_other_bounds_give_the_same_answer(case: Case) -> None:
    model, pictures, labels = case
    scaled = nn.Sequential(Rescale(), model)
    for name in ("bim_a", "jsma", "deepfool", "cwa"):
        attack = SMALL[name]()
        goal = goal_for(attack, labels)
        plain = attack.search(model, pictures, goal)
        wide = attack.search(scaled, pictures * 2 - 1, goal, bounds=(-1.0, 1.0))
        assert wide.found.float().mean() > 0.8
        if name in ("bim_a", "jsma"):
            close = (wide.adversarial / 2 + 0.5 - plain.adversarial).abs().amax((1, 2, 3)) < 1e-3
            assert close.float().mean() > 0.9


class Rescale(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2 + 0.5


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet56"])
def test_batched_backward_passes_are_those_of_one_class_at_a_time(name: str) -> None:
    """The GPU's way, here on the CPU, through networks with every kind of layer that the six have."""
    from advaudio.models.registry import build_model

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_model(name, 4, (32, 32)).eval().requires_grad_(False)
        pictures = torch.rand(2, 1, 32, 32).requires_grad_(True)
    labels, others = torch.tensor([0, 3]), torch.tensor([[1, 2, 3], [0, 1, 2]])
    keep = torch.tensor([0, 1])
    one, many = (boundaries(network(pictures), pictures, labels, others, keep, group=g) for g in (1, 2))
    torch.testing.assert_close(one[0], many[0])
    torch.testing.assert_close(one[1], many[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("deepfool", {"overshoot": "much"}, r"`overshoot` of the attack deepfool is 'much'"),
        ("jsma", {"iterations": 1.5}, r"`iterations` of the attack jsma is 1\.5"),
        ("bim", {"ball": "l7"}, r"`ball` of the attack bim is 'l7': .*'linf' or 'l2'"),
        ("pia", {"standard_deviations": [0.1, "x"]}, r"`standard_deviations` of the attack pia"),
        ("carlini_wagner", {"serach_steps": 3}, r"knows no setting serach_steps"),
        ("fgsm", {}, r"advaudio/attacks/fgsm.py .* cannot be imported"),
    ],
)
def test_settings_are_checked_against_their_types(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        make_attack(name, code=f"advaudio/attacks/{name}.py", **settings)


def test_a_file_without_an_attack_is_refused() -> None:
    with pytest.raises(AdvaudioError, match=r"must define one subclass .* it defines none"):
        make_attack("base", code="advaudio/attack_interface/base.py")


@pytest.mark.parametrize(
    "code", [None, 3, "bim", "../bim.py", "/bim.py", "advaudio.attacks.bim", "a-b/bim.py"]
)
def test_code_must_be_the_path_of_a_file_in_the_repository(code: Any) -> None:
    with pytest.raises(AdvaudioError, match=r"`attacks\.mine\.code` is .* must be the path"):
        make_attack("mine", code=code)


def test_code_must_be_the_file_that_python_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdvaudioError, match="is not the file that Python imports"):
        make_attack("jsma", code="advaudio/attacks/jsma.py")


def test_bim_ends_where_the_gradient_is_no_number(case: Case) -> None:
    model, pictures, labels = case
    outcome = Bim(stop_early=False, steps=2).search(RootOfZero(model), pictures, Goal((labels + 1) % 4, True))
    assert not outcome.found.any()
    assert torch.equal(outcome.adversarial, pictures)
