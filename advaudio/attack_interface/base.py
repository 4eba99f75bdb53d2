"""What every attack shares: the check of all that it claims, Foolbox's interface, and what several attacks compute."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import eagerpy
import foolbox
import torch
from foolbox.attacks.base import MinimizationAttack, raise_if_kwargs, verify_input_bounds
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor

from advaudio.attack_interface.preflight import require_logits
from advaudio.attack_interface.problem import Goal, Model, Norm, Outcome, Problem
from advaudio.attack_interface.scaling import Scaling
from advaudio.core.errors import AdvaudioError


class ChangedFeatures(foolbox.distances.LpDistance):
    """The L0 distance. Foolbox's cannot be bounded; here what exceeds ε gives way to the clean one."""

    def __init__(self) -> None:
        super().__init__(0)

    def clip_perturbation(self, references: Any, perturbed: Any, epsilon: float) -> Any:
        clean, changed = raw(references), raw(perturbed)
        within = column(perturbation_norm(changed - clean, "l0") <= epsilon)
        kept = torch.where(within, changed, clean)
        return eagerpy.astensor(kept) if hasattr(references, "raw") else kept


class Attack(MinimizationAttack):
    """An attack that looks for the smallest perturbation that meets a goal.

    Call it like any Foolbox attack (`attack(model, pictures, criterion, epsilons=None)`), or call
    `search`, which also says what failed and what it cost. Settings are the constructor's keywords; an attack
    keeps nothing else, so that it can be sent to another process.
    """

    norm: ClassVar[Norm]
    targeted_only: ClassVar[bool] = False
    untargeted_only: ClassVar[bool] = False
    needs_starting_points: ClassVar[bool] = False

    @property
    def distance(self) -> foolbox.distances.Distance:
        return {"linf": foolbox.distances.linf, "l2": foolbox.distances.l2, "l0": ChangedFeatures()}[
            self.norm
        ]

    @property
    def confidence(self) -> float:
        """Probability that a success must have; see `Goal`."""
        return 0.0

    @abstractmethod
    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Return adversarial pictures like the clean ones and which of them count (N,), adding to the meter.

        The problem's bounds are always 0 and 1, its pictures float32 or float64. What is returned is checked by
        `search`; where nothing was found, any picture will do.
        """

    def search(
        self,
        model: Model,
        pictures: Tensor,
        goal: Goal,
        *,
        bounds: tuple[float, float] = (0.0, 1.0),
        starting_points: Tensor | None = None,
    ) -> Outcome:
        """Attack a batch and check every example that comes back: its bounds, and its label by a fresh pass.

        Parameters
        ----------
        model
            Callable from pictures to logits.
        pictures
            (N, channels, height, width) float of any precision, within `bounds`; the search is in float32 at least.
        goal
            What to reach.
        bounds
            Lowest and highest value of a picture. Settings that are lengths are shares of their range.
        starting_points
            For attacks that start elsewhere (PIA): pictures that already meet the goal; a row of NaN says
            that there is none, and that sample fails.

        Raises
        ------
        AdvaudioError
            If the pictures are no floats or leave the bounds, or the attack cannot pursue such a goal.
        """
        problem = Problem.of(model, pictures, goal, bounds=bounds, starting_points=starting_points)
        self._check(problem)
        if len(pictures) == 0:
            return Outcome(pictures.clone(), torch.zeros(0, dtype=torch.bool), problem.meter.counts)
        scaling = Scaling(model, pictures, bounds)
        unit, found = self._search(scaling.scaled(problem))
        adversarial = scaling.from_unit(unit)
        found = found & self._verified(replace(problem, model=scaling.exact_model), adversarial)
        return Outcome(torch.where(column(found), adversarial, pictures), found, problem.meter.counts)

    def _verified(self, problem: Problem, adversarial: Tensor) -> Tensor:
        with torch.no_grad():
            logits = problem.model(adversarial)
        problem.meter.add(forwards=1)
        lowest, highest = problem.bounds
        flat = adversarial.flatten(1)
        within = (flat.amin(1) >= lowest) & (flat.amax(1) <= highest)
        return problem.goal.reached(logits) & logits.isfinite().all(1) & within

    def _check(self, problem: Problem) -> None:
        name = type(self).__name__
        pictures, goal, (lowest, highest) = problem.pictures, problem.goal, problem.bounds
        if goal.targeted and self.untargeted_only:
            raise AdvaudioError(f"{name} only attacks without a target; leave out the target classes.")
        if not goal.targeted and self.targeted_only:
            raise AdvaudioError(
                f"{name} needs a target class for each sample; pass a `TargetedMisclassification`."
            )
        if self.needs_starting_points and problem.starting_points is None:
            raise AdvaudioError(
                f"{name} starts from pictures of the target class; pass them as `starting_points`."
            )
        if pictures.ndim != 4 or goal.classes.shape != (len(pictures),):
            raise AdvaudioError(
                f"{name} needs pictures (samples, channels, height, width) with one class each, "
                f"got shapes {tuple(pictures.shape)} and {tuple(goal.classes.shape)}."
            )
        if not pictures.is_floating_point():
            raise AdvaudioError(f"{name} got pictures of {pictures.dtype}; convert them to float32.")
        if not (math.isfinite(lowest) and math.isfinite(highest) and lowest < highest):
            raise AdvaudioError(f"{name} needs finite bounds, the lower one first, not {(lowest, highest)}.")
        if len(pictures) and not bool(((pictures >= lowest) & (pictures <= highest)).all()):
            raise AdvaudioError(f"{name} got pictures outside [{lowest}, {highest}] (or NaN); scale them.")

    def run(
        self,
        model: Any,
        inputs: Any,
        criterion: Any,
        *,
        early_stop: float | None = None,
        starting_points: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Foolbox's entry: return the adversarial examples, and the clean inputs where there are none.

        Raises
        ------
        AdvaudioError
            Also if the model cannot take these inputs, or gives probabilities instead of logits.
        """
        raise_if_kwargs(kwargs)
        del early_stop
        pictures = raw(inputs)
        verify_input_bounds(eagerpy.astensor(pictures), model)
        require_logits(model, pictures)
        outcome = self.search(
            model,
            pictures,
            goal_of(criterion, self.confidence),
            bounds=tuple(model.bounds),
            starting_points=None if starting_points is None else raw(starting_points),
        )
        return eagerpy.astensor(outcome.adversarial) if hasattr(inputs, "raw") else (outcome.adversarial)


def raw(tensor: Any) -> Tensor:
    """Return the torch tensor inside an eagerpy tensor, or the tensor itself."""
    return tensor.raw if hasattr(tensor, "raw") else tensor


def goal_of(criterion: Any, confidence: float = 0.0) -> Goal:
    """Translate a Foolbox criterion, or a tensor of true labels.

    Raises
    ------
    AdvaudioError
        If it is neither `Misclassification` nor `TargetedMisclassification`.
    """
    if isinstance(criterion, TargetedMisclassification):
        return Goal(criterion.target_classes.raw, True, confidence)
    if isinstance(criterion, Misclassification):
        return Goal(criterion.labels.raw, False, confidence)
    labels = raw(criterion)
    if isinstance(labels, Tensor):
        return Goal(labels, False, confidence)
    raise AdvaudioError(
        f"The attacks know the criteria Misclassification and TargetedMisclassification, not {criterion!r}."
    )


def column(per_sample: Tensor) -> Tensor:
    """Reshape (N,) to (N, 1, 1, 1), to broadcast against pictures."""
    return per_sample.reshape(-1, 1, 1, 1)


def perturbation_norm(difference: Tensor, norm: Norm) -> Tensor:
    """Norm of each sample of `difference` (N, ...): (N,); L0 counts the changed values."""
    flat = difference.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1)
    if norm == "l2":
        return flat.square().sum(1).sqrt()
    return (flat != 0).sum(1).to(difference.dtype)


def logits_and_gradient(
    model: Model, pictures: Tensor, weights_of_logits: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """One forward and one backward pass to the pictures alone.

    Parameters
    ----------
    weights_of_logits
        From detached logits (N, classes) to the gradient of the loss with respect to them, same shape.

    Returns
    -------
    tuple
        Logits (N, classes) and the gradient of each sample's loss with respect to its picture.
    """
    pictures = pictures.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = model(pictures)
    detached = logits.detach()
    (gradient,) = torch.autograd.grad(logits, pictures, weights_of_logits(detached))
    return detached, gradient


def bisect_to_boundary(
    problem: Problem,
    adversarial: Tensor,
    wins: Callable[[Tensor], Tensor],
    *,
    smallest: float,
    bisections: int,
) -> Tensor:
    """Bisect each example towards its clean picture, and return one just beyond the nearest that wins.

    It stays one last interval of the bisection away from the boundary: nearer, the rounding of a batch of
    another size, which on a GPU runs other kernels, can undo the success.

    Parameters
    ----------
    wins
        From logits to (N,) bool; true for `adversarial` itself.
    smallest
        Share of the perturbation (0 to 1) below which not to look.
    bisections
        Halvings; one more forward pass is spent.
    """
    clean = problem.pictures
    low = clean.new_full((len(clean),), smallest)
    high = torch.ones_like(low)
    difference = adversarial - clean
    for _ in range(bisections):
        middle = (low + high) / 2
        with torch.no_grad():
            won = wins(problem.model(clean + column(middle) * difference))
        high, low = torch.where(won, middle, high), torch.where(won, low, middle)
    nearest = torch.where(column(high < 1), clean + column(high) * difference, adversarial)
    beyond = high + (1 - smallest) / 2**bisections
    safer = (clean + column(beyond) * difference).clamp(*problem.bounds)
    with torch.no_grad():
        won = wins(problem.model(safer))
    problem.meter.add(forwards=bisections + 1)
    return torch.where(column(won), safer, nearest)


def one_hot(classes: Tensor, like: Tensor) -> Tensor:
    """One in each row of a zero tensor like `like` (N, classes)."""
    return torch.zeros_like(like).scatter_(1, classes[:, None], 1.0)


def compaction_due(step: int, device: torch.device) -> bool:
    """Whether finished samples should leave the batch after this step.

    Asking how many are finished makes a GPU wait, so there it is done every eighth step only.
    """
    return device.type == "cpu" or step % 8 == 7


def above_zero(**values: float) -> None:
    """Refuse parameters that are not finite numbers above zero.

    Raises
    ------
    AdvaudioError
        Naming the parameter.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise AdvaudioError(f"The attack parameter {name} is {value}; it must be a number above zero.")
