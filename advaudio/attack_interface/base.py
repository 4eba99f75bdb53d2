"""What every attack shares: its goal, its honest outcome, its cost, and Foolbox's interface."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import eagerpy
import foolbox
import torch
from foolbox.attacks.base import MinimizationAttack, raise_if_kwargs, verify_input_bounds
from foolbox.criteria import Misclassification, TargetedMisclassification
from torch import Tensor

from advaudio.attack_interface.preflight import require_logits
from advaudio.attack_interface.scaling import Model, Scaling
from advaudio.core.errors import AdvaudioError

Norm = Literal["linf", "l2", "l0"]

FORWARDS, BACKWARDS, QUERIES, ITERATIONS = range(4)


@dataclass(frozen=True)
class Goal:
    """What counts as success for each sample of a batch.

    Parameters
    ----------
    classes
        (N,) int64: the classes to reach if `targeted`, otherwise the true labels to leave.
    targeted
        Whether a sample must be taken for its class or for any other.
    confidence
        Probability (0 to 1) that the class taken for must have; 0 asks for the highest score alone.
    """

    classes: Tensor
    targeted: bool
    confidence: float = 0.0

    def reached(self, logits: Tensor) -> Tensor:
        """Tell for each row of `logits` (N, classes) whether the goal is met: (N,) bool."""
        predicted = logits.argmax(1)
        reached = predicted == self.classes if self.targeted else predicted != self.classes
        if self.confidence > 0:
            reached = reached & (logits.softmax(1).amax(1) >= self.confidence)
        return reached

    def select(self, rows: Tensor) -> Goal:
        """Return the goal of some of the samples: `rows` is an index or a mask over (N,)."""
        return Goal(self.classes[rows], self.targeted, self.confidence)


class Meter:
    """Counts the work spent on each sample without ever waiting for the device."""

    def __init__(self, samples: int, device: torch.device) -> None:
        self.counts = torch.zeros(samples, 4, dtype=torch.int64, device=device)

    def add(
        self, rows: Tensor, *, forwards: int = 0, backwards: int = 0, queries: int = 0, iterations: int = 0
    ) -> None:
        """Add to the counts of the samples `rows` (indices, each at most once)."""
        for column, count in enumerate((forwards, backwards, queries, iterations)):
            if count:
                self.counts[rows, column] += count


@dataclass(frozen=True)
class Outcome:
    """What an attack found.

    Parameters
    ----------
    adversarial
        Pictures like the clean ones; **the clean picture itself where nothing was found**.
    found
        (N,) bool: the goal is met, checked by a fresh forward pass.
    counts
        (N, 4) int64: forward passes, backward passes, queries of an oracle, iterations of each sample.
        A query is also a forward pass.
    """

    adversarial: Tensor
    found: Tensor
    counts: Tensor


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
    `search`, which also tells what failed and what it cost. Settings are the constructor's keywords.
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
    def _search(
        self,
        model: Model,
        pictures: Tensor,
        goal: Goal,
        *,
        bounds: tuple[float, float],
        meter: Meter,
        starting_points: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return (adversarial pictures, found) for the batch, adding to the meter; the bounds are always 0 and 1."""

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
        self._check(pictures, goal, bounds, starting_points)
        meter = Meter(len(pictures), pictures.device)
        if len(pictures) == 0:
            return Outcome(pictures.clone(), torch.zeros(0, dtype=torch.bool), meter.counts)
        scaling = Scaling(model, pictures, bounds)
        unit, found = self._search(
            scaling.unit_model,
            scaling.to_unit(pictures),
            goal,
            bounds=scaling.unit_bounds,
            meter=meter,
            starting_points=None if starting_points is None else scaling.to_unit(starting_points),
        )
        adversarial = scaling.from_unit(unit)
        found = found & self._verified(scaling.exact_model, adversarial, goal, bounds, meter)
        return Outcome(torch.where(column(found), adversarial, pictures), found, meter.counts)

    def _verified(
        self, model: Model, adversarial: Tensor, goal: Goal, bounds: tuple[float, float], meter: Meter
    ) -> Tensor:
        with torch.no_grad():
            logits = model(adversarial)
        meter.add(torch.arange(len(adversarial), device=adversarial.device), forwards=1)
        flat = adversarial.flatten(1)
        within = (flat.amin(1) >= bounds[0]) & (flat.amax(1) <= bounds[1])
        return goal.reached(logits) & logits.isfinite().all(1) & within

    def _check(
        self, pictures: Tensor, goal: Goal, bounds: tuple[float, float], starting_points: Tensor | None
    ) -> None:
        name = type(self).__name__
        if goal.targeted and self.untargeted_only:
            raise AdvaudioError(f"{name} only attacks without a target; leave out the target classes.")
        if not goal.targeted and self.targeted_only:
            raise AdvaudioError(
                f"{name} needs a target class for each sample; pass a `TargetedMisclassification`."
            )
        if self.needs_starting_points and starting_points is None:
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
        if not (math.isfinite(bounds[0]) and math.isfinite(bounds[1]) and bounds[0] < bounds[1]):
            raise AdvaudioError(f"{name} needs finite bounds, the lower one first, not {tuple(bounds)}.")
        if len(pictures) and not bool(((pictures >= bounds[0]) & (pictures <= bounds[1])).all()):
            raise AdvaudioError(
                f"{name} got pictures outside [{bounds[0]}, {bounds[1]}] (or NaN); scale them."
            )

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
    model: Model,
    clean: Tensor,
    adversarial: Tensor,
    wins: Callable[[Tensor], Tensor],
    *,
    smallest: float,
    bisections: int,
    bounds: tuple[float, float],
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
    bounds
        Lowest and highest value of a picture.
    """
    low = clean.new_full((len(clean),), smallest)
    high = torch.ones_like(low)
    difference = adversarial - clean
    for _ in range(bisections):
        middle = (low + high) / 2
        with torch.no_grad():
            won = wins(model(clean + column(middle) * difference))
        high, low = torch.where(won, middle, high), torch.where(won, low, middle)
    nearest = torch.where(column(high < 1), clean + column(high) * difference, adversarial)
    beyond = high + (1 - smallest) / 2**bisections
    safer = (clean + column(beyond) * difference).clamp(*bounds)
    with torch.no_grad():
        won = wins(model(safer))
    return torch.where(column(won), safer, nearest)


def one_hot(classes: Tensor, like: Tensor) -> Tensor:
    """One in each row of a zero tensor like `like` (N, classes)."""
    return torch.zeros_like(like).scatter_(1, classes[:, None], 1.0)


def compaction_due(step: int, device: torch.device) -> bool:
    """Tell whether finished samples should leave the batch after this step.

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
