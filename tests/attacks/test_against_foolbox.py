"""The attacks beside Foolbox's, on its interface."""

from __future__ import annotations

import foolbox
import pytest
import torch
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack, perturbation_norm
from advaudio.attack_interface.problem import Goal, Problem
from advaudio.attacks import carlini_wagner
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool
from advaudio.attacks.jsma import Jsma
from advaudio.attacks.pia import Pia
from advaudio.core.errors import AdvaudioError
from tests.attacks.networks import Linear, trained_network

Case = tuple[nn.Module, Tensor, Tensor]


@pytest.fixture(scope="module")
def case() -> Case:
    return trained_network()


def targets_of(labels: Tensor) -> Tensor:
    return (labels + 1) % 4


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("ball", "peer", "epsilon"),
    [
        ("linf", foolbox.attacks.LinfBasicIterativeAttack, 0.1),
        ("l2", foolbox.attacks.L2BasicIterativeAttack, 1.0),
    ],
)
def test_bim_b_takes_the_steps_of_foolbox(
    case: Case, targeted: bool, ball: str, peer: type, epsilon: float
) -> None:
    model, pictures, labels = case
    criterion = TargetedMisclassification(targets_of(labels)) if targeted else Misclassification(labels)
    theirs = peer(rel_stepsize=0.1, steps=20).run(
        foolbox.PyTorchModel(model, bounds=(0, 1)), pictures, criterion, epsilon=epsilon
    )
    goal = Goal(targets_of(labels) if targeted else labels, targeted)
    attack = Bim(stop_early=False, steps=20, relative_step=0.1, ball=ball)  # type: ignore[arg-type]
    ours, found = attack.within(Problem.of(model, pictures, goal), torch.full((len(pictures),), epsilon))
    assert (ours - theirs).abs().max() < 1e-5
    predicted = model(theirs).argmax(1)
    expected = predicted == targets_of(labels) if targeted else predicted != labels
    assert torch.equal(found, expected)
    assert int(found.sum()) > 0


@pytest.mark.parametrize(("ball", "order"), [("linf", torch.inf), ("l2", 2)])
def test_deepfool_fools_as_many_as_foolbox_at_no_larger_norm(case: Case, ball: str, order: float) -> None:
    model, pictures, labels = case
    peer = {"linf": foolbox.attacks.LinfDeepFoolAttack, "l2": foolbox.attacks.L2DeepFoolAttack}[ball]
    theirs, _, success = peer(candidates=None, steps=50)(
        foolbox.PyTorchModel(model, bounds=(0, 1)), pictures, labels, epsilons=None
    )
    outcome = DeepFool(ball=ball).search(model, pictures, Goal(labels, False))  # type: ignore[arg-type]
    ours = (outcome.adversarial - pictures).flatten(1).norm(p=order, dim=1)
    peers = (theirs - pictures).flatten(1).norm(p=order, dim=1)
    assert outcome.found.sum() >= success.sum()
    assert ours[outcome.found].median() <= 1.02 * peers[success].median()


def test_carlini_wagner_fools_as_many_as_foolbox_at_no_larger_norm(case: Case) -> None:
    model, pictures, labels = case
    criterion = TargetedMisclassification(targets_of(labels))
    peer = foolbox.attacks.L2CarliniWagnerAttack(
        steps=100, binary_search_steps=6, initial_const=0.1, stepsize=0.03
    )
    theirs, _, success = peer(foolbox.PyTorchModel(model, bounds=(0, 1)), pictures, criterion, epsilons=None)
    outcome = CarliniWagner(iterations=100, search_steps=6, first_constant=0.1, learning_rate=0.03).search(
        model, pictures, Goal(targets_of(labels), True)
    )
    ours = perturbation_norm(outcome.adversarial - pictures, "l2")
    peers = perturbation_norm(theirs - pictures, "l2")
    assert outcome.found.sum() >= success.sum()
    assert ours[outcome.found].median() <= 1.02 * peers[success].median()


def test_carlini_wagner_loses_little_by_ending_early(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    model = Linear(torch.randn(10, 64, generator=generator), torch.zeros(10)).eval()
    pictures = 0.2 + 0.6 * torch.rand(64, 1, 8, 8, generator=generator)
    goal = Goal((model(pictures).argmax(1) + 1) % 10, True)
    attack = CarliniWagner(iterations=400, search_steps=6, first_constant=0.01)
    early = attack.search(model, pictures, goal)
    monkeypatch.setattr(carlini_wagner, "CHECKS", 1)
    whole = attack.search(model, pictures, goal)
    assert early.found.all()
    assert whole.found.all()
    norms = [perturbation_norm(outcome.adversarial - pictures, "l2").mean() for outcome in (early, whole)]
    assert norms[0] <= 1.005 * norms[1]
    backwards = [outcome.counts[:, 1].sum() for outcome in (early, whole)]
    assert backwards[0] < 0.7 * backwards[1]


def test_last_descent_takes_back_what_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.zeros(2, 32 * 32)
    weight[1, :20] = torch.randn(20, generator=generator)
    length = weight[1].norm()
    pictures = 0.3 + 0.4 * torch.rand(8, 1, 32, 32, generator=generator)
    gap = pictures.flatten(1) @ weight[1]
    model = Linear(weight, torch.tensor([0.0, -float(gap.max() + 0.3 * length)])).eval()
    nearest = (gap.max() - gap) / length + 0.3  # L2 distance to the other class, as f = w·x − b
    noise = 0.004 * torch.randn(8, 32 * 32, generator=generator)
    direction = (weight[1] / length)[None]
    noisy = pictures + (1.05 * nearest[:, None] * direction + noise).reshape(pictures.shape)
    walk = carlini_wagner._Walk(Problem.of(model, pictures, Goal(torch.ones(8).long(), True)), 1.0)
    norms = perturbation_norm(noisy - pictures, "l2")
    # Where the loss is least, c·‖w‖ = 2·‖δ‖.
    walk.go_on_from(noisy, norms, 1.5 * 2 * nearest / length)
    CarliniWagner()._descend(model, walk, 100)
    assert (model(walk.best).argmax(1) == 1).all()
    assert (norms / nearest).median() > 1.05
    assert (walk.best_norm / nearest).max() < 1.01
    assert (walk.best_norm / nearest).min() >= 1 - 1e-4


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_last_descent_is_counted_and_can_be_left_out(share: float) -> None:
    model = Linear(torch.eye(2, 16), torch.zeros(2)).eval()
    pictures = torch.full((1, 1, 4, 4), 0.5)
    pictures[0, 0, 0, 0] = 0.6
    goal = Goal(torch.ones(1).long(), True)
    search = CarliniWagner(iterations=40, search_steps=1, first_constant=10.0, last_descent=share)
    outcome = search.search(model, pictures, goal)
    assert outcome.found.all()
    assert int(outcome.counts[0, 3]) <= 40 + 40 * share
    plain = CarliniWagner(iterations=40, search_steps=1, first_constant=10.0, last_descent=0.0)
    more = outcome.counts - plain.search(model, pictures, goal).counts
    assert more[0].tolist() == [40 * share, 40 * share, 0, 40 * share]


def test_a_last_descent_of_more_than_the_search_is_refused() -> None:
    with pytest.raises(AdvaudioError, match=r"last_descent is 1\.5; it must lie from 0 to 1"):
        CarliniWagner(last_descent=1.5)


def test_carlini_wagner_ends_where_there_is_nothing_to_do() -> None:
    model = Linear(torch.eye(2, 16), torch.zeros(2)).eval()
    pictures = torch.full((1, 1, 4, 4), 0.5)
    pictures[0, 0, 0, 1] = 0.9
    outcome = CarliniWagner(iterations=1000, search_steps=9).search(
        model, pictures, Goal(torch.ones(1).long(), True)
    )
    assert outcome.found.all()
    assert torch.equal(outcome.adversarial, pictures)
    assert outcome.counts[0, 1] < 1000


def test_an_underbudgeted_carlini_wagner_says_that_it_failed() -> None:
    """Foolbox returns a black picture, and calls it adversarial where black happens to be the target."""
    weight = torch.zeros(2, 16)
    weight[0] = 1.0
    model = Linear(weight, torch.tensor([-1.0, 1.0])).eval()
    pictures = torch.full((3, 1, 4, 4), 0.9)
    targets = torch.ones(3, dtype=torch.int64)
    assert (model(pictures).argmax(1) == 0).all()
    assert (model(torch.zeros_like(pictures)).argmax(1) == 1).all()
    theirs, _, success = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=1, steps=1)(
        foolbox.PyTorchModel(model, bounds=(0, 1)),
        pictures,
        TargetedMisclassification(targets),
        epsilons=None,
    )
    assert success.all(), "Foolbox fixed this; this test can go"
    assert (theirs == 0).all()
    outcome = CarliniWagner(search_steps=1, iterations=1).search(model, pictures, Goal(targets, True))
    assert not outcome.found.any()
    assert torch.equal(outcome.adversarial, pictures)


ATTACKS: list[tuple[Attack, bool]] = [
    (Bim(stop_early=True, steps=10), True),
    (Bim(stop_early=False, steps=10, ball="l2"), False),
    (Jsma(iterations=60), True),
    (DeepFool(), False),
    (CarliniWagner(search_steps=3, iterations=40, first_constant=1.0, learning_rate=0.05), True),
    (Pia(iterations=5, samples=20), True),
]


@pytest.mark.parametrize(("attack", "targeted"), ATTACKS, ids=lambda value: type(value).__name__)
def test_every_attack_runs_on_the_interface_of_foolbox(case: Case, attack: Attack, targeted: bool) -> None:
    model, pictures, labels = case
    criterion = TargetedMisclassification(targets_of(labels)) if targeted else Misclassification(labels)
    keywords = {}
    if attack.needs_starting_points:
        starts = [pictures[labels == target][0] for target in targets_of(labels)]
        keywords = {"starting_points": torch.stack(starts)}
    raw, clipped, success = attack(
        foolbox.PyTorchModel(model, bounds=(0, 1)), pictures, criterion, epsilons=[None, 0.0], **keywords
    )
    predicted = model(raw[0]).argmax(1)
    reached = predicted == targets_of(labels) if targeted else predicted != labels
    assert success[0].float().mean() > 0.8
    assert torch.equal(success[0], reached)
    assert raw[0].min() >= 0
    assert raw[0].max() <= 1
    assert not success[1].any()
    if attack.norm != "l0":
        assert (clipped[1] - pictures).abs().max() < 1e-6


@pytest.mark.parametrize("attack", [Jsma(), Pia()], ids=["Jsma", "Pia"])
def test_an_attack_that_needs_a_target_says_so(case: Case, attack: Attack) -> None:
    model, pictures, labels = case
    with pytest.raises(AdvaudioError, match="needs a target"):
        attack.search(model, pictures, Goal(labels, False), starting_points=pictures)


def test_deepfool_refuses_a_target(case: Case) -> None:
    model, pictures, labels = case
    with pytest.raises(AdvaudioError, match="without a target"):
        DeepFool().search(model, pictures, Goal(labels, True))
