"""Signs that a model hides its gradients instead of being robust (Athalye et al. 2018, arXiv 1802.00420).

Each check passes or fails and carries its numbers. A failed check says that the white-box fooling rates of
this model are too low to be believed, not that the model is bad.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advaudio.attack_interface.base import column
from advaudio.attack_interface.problem import Goal, Problem
from advaudio.attacks.bim import Bim
from advaudio.core.determinism import exact_attack
from advaudio.core.paired_rates import TOLERANCE, more_often, more_than_few
from advaudio.core.parallel import device as task_device
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.evaluation.model_source import ModelSource, load
from advaudio.evaluation.preflight import BATCH, share_without_gradient

CHECKS = (
    "same_answer_twice",
    "gradients_do_not_vanish",
    "longer_single_step_never_weaker",
    "iterative_beats_single_step",
    "more_steps_never_weaker",
    "unbounded_reaches_all",
    "random_restarts_add_little",
    "outside_attack_adds_little",
)
Check = dict[str, Any]
OutsideAttack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""Model, pictures (N, 1, H, W), true labels and ε (L∞) to adversarial pictures: a strong attack of others."""


def masking_checks(
    source: ModelSource,
    pictures: NDArray[Any],
    labels: NDArray[Any],
    *,
    epsilons: Sequence[float] = (1 / 255, 2 / 255, 4 / 255, 8 / 255),
    steps: Sequence[int] = (5, 10, 20, 40),
    restarts: int = 3,
    clips: int = 64,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    device: str = "cpu",
    outside: OutsideAttack | None = None,
) -> dict[str, Check]:
    """Attack the first correctly classified clips without a target (L∞), and compare fooling rates.

    All rates are of the same clips. A clip that is fooled within a radius can be fooled within a larger one, so a single
    step that fools fewer clips when it is longer says that the gradient misleads: most often a network that was trained
    against single steps of one length.

    Parameters
    ----------
    pictures, labels
        (N, height, width) in [0, 1], and (N,).
    epsilons
        Radii at which single step and iterations are compared, ascending. The other checks use the radius
        at which the iterative attack's rate is nearest one half.
    steps
        Numbers of steps, ascending; the largest is the attack's usual one.
    restarts
        Random starts.
    clips
        How many clips to attack.
    tolerance
        By how much a rate may exceed one that it should not, as a share of the clips. A check fails only where the excess
        is beyond chance too, which depends on the number of clips (`advaudio.core.paired_rates`).
    outside
        Somebody else's strong attack, to stand beside ours; None: not run, and said so.

    Returns
    -------
    dict
        Name of each of `CHECKS` to `passed` (None: not run, as all where no clip is classified correctly)
        and its numbers.

    Raises
    ------
    AdvaudioError
        If a gradient is not finite.
    """
    torch_device = torch.device(device)
    model = load(source, device)
    with exact_attack(torch_device):
        whole = torch.as_tensor(np.array(pictures, dtype=np.float32), device=torch_device)[:, None]
        truth = torch.as_tensor(np.asarray(labels), device=torch_device, dtype=torch.int64)
        with torch.no_grad():
            right = torch.cat([model(part) for part in whole.split(64)]).argmax(1) == truth
        rows = right.nonzero().squeeze(1)[:clips]
        if not len(rows):
            return {name: {"passed": None} for name in CHECKS}
        without = share_without_gradient(model, whole[rows], truth[rows])
        changed = _share_that_changed(model, whole[rows])
        probe = _Probe(model, whole[rows], truth[rows], max(steps), seed)
        iterated = {epsilon: probe.fooled(epsilon) for epsilon in epsilons}
        single = {epsilon: probe.fooled(epsilon, steps=1, relative_step=1.0) for epsilon in epsilons}
        rates = {epsilon: _rate(mask) for epsilon, mask in iterated.items()}
        # Of equal rates the telling one: where nothing is fooled the largest radius, where all is the smallest.
        middle = min(
            epsilons,
            key=lambda epsilon: (abs(rates[epsilon] - 0.5), epsilon if rates[epsilon] >= 0.5 else -epsilon),
        )
        by_steps = {count: probe.fooled(middle, steps=count) for count in steps[:-1]}
        by_steps[steps[-1]] = iterated[middle]
        unbounded = probe.fooled(1.0)
        together = iterated[middle]
        for restart in range(restarts):
            together = together | probe.fooled(middle, restart=restart)
        theirs = None
        if outside is not None:
            adversarial = outside(model, probe.pictures, probe.labels, middle)
            theirs = probe.holds(adversarial, middle)

    def exceeds(first: NDArray[Any], second: NDArray[Any]) -> bool:
        return more_often(first, second, tolerance=tolerance)

    def few(share: float) -> bool:
        return not more_than_few(round(share * len(rows)), len(rows), tolerance=tolerance)

    def never_falls(masks: Iterable[NDArray[Any]]) -> bool:
        return not any(exceeds(before, after) for before, after in itertools.combinations(masks, 2))

    return {
        "same_answer_twice": {"passed": few(changed), "share_that_changed": changed},
        "gradients_do_not_vanish": {"passed": few(without), "share_without_gradient": without},
        "longer_single_step_never_weaker": {
            "passed": never_falls(single.values()),
            "epsilon": list(epsilons),
            "single_step": [_rate(mask) for mask in single.values()],
        },
        "iterative_beats_single_step": {
            "passed": not any(exceeds(single[epsilon], iterated[epsilon]) for epsilon in epsilons),
            "epsilon": list(epsilons),
            "iterative": list(rates.values()),
            "single_step": [_rate(mask) for mask in single.values()],
        },
        "more_steps_never_weaker": {
            "passed": never_falls(by_steps.values()),
            "epsilon": middle,
            "steps": list(by_steps),
            "fooling_rate": [_rate(mask) for mask in by_steps.values()],
        },
        "unbounded_reaches_all": {"passed": few(1 - _rate(unbounded)), "fooling_rate": _rate(unbounded)},
        "random_restarts_add_little": {
            "passed": not exceeds(together, iterated[middle]),
            "epsilon": middle,
            "restarts": restarts,
            "without": rates[middle],
            "with": _rate(together),
        },
        "outside_attack_adds_little": {
            "passed": None if theirs is None else not exceeds(theirs, together),
            "epsilon": middle,
            "ours": _rate(together),
            "theirs": None if theirs is None else _rate(theirs),
        },
    }


@torch.no_grad()
def _share_that_changed(model: nn.Module, pictures: Tensor) -> float:
    """Share of pictures (N, 1, height, width) whose logits differ in a second pass by more than rounding."""
    changed = 0
    for batch in pictures.split(BATCH):
        first, second = model(batch), model(batch)
        allowed = 1e-3 * (1 + first.abs().amax(1))
        changed += int(((first - second).abs().amax(1) > allowed).sum())
    return changed / len(pictures)


@dataclass(frozen=True)
class _Task:
    model: Path
    pictures: NDArray[Any]
    labels: NDArray[Any]
    epsilons: tuple[float, ...]
    steps: tuple[int, ...]
    restarts: int
    clips: int
    seed: int


def check_models(
    models: Mapping[str, Path],
    pictures: NDArray[Any],
    labels: NDArray[Any],
    *,
    epsilons: Sequence[float],
    steps: Sequence[int],
    restarts: int,
    clips: int,
    seed: int,
    devices: Sequence[str],
    progress: Progress = silent,
) -> dict[str, dict[str, Check]]:
    """Run `masking_checks` on several model files, each in a process of its own; parameters as there.

    Returns
    -------
    dict
        Name of each model to its checks.
    """
    tasks = [
        _Task(file, pictures, labels, tuple(epsilons), tuple(steps), restarts, clips, seed)
        for file in models.values()
    ]
    found = map_ordered(
        _check_model, tasks, devices=devices, progress=progress, description="Gradient masking: models"
    )
    return dict(zip(models, found, strict=True))


def _check_model(task: _Task) -> dict[str, Check]:
    return masking_checks(
        task.model,
        task.pictures,
        task.labels,
        epsilons=task.epsilons,
        steps=task.steps,
        restarts=task.restarts,
        clips=task.clips,
        seed=task.seed,
        device=task_device(),
    )


def failed_checks(checks: Mapping[str, Check]) -> int:
    """How many checks failed; one that was not run did not."""
    return sum(check["passed"] is False for check in checks.values())


class _Probe:
    """A model, the clips to attack, and the usual number of steps."""

    def __init__(self, model: nn.Module, pictures: Tensor, labels: Tensor, steps: int, seed: int) -> None:
        self.model, self.pictures, self.labels, self.steps, self.seed = model, pictures, labels, steps, seed

    def fooled(
        self,
        epsilon: float,
        *,
        steps: int | None = None,
        relative_step: float | None = None,
        restart: int | None = None,
    ) -> NDArray[Any]:
        count = self.steps if steps is None else steps
        start = None
        if restart is not None:
            generator = torch.Generator(self.pictures.device).manual_seed(self.seed * 1000 + restart)
            noise = torch.rand(self.pictures.shape, generator=generator, device=self.pictures.device)
            start = (self.pictures + (2 * noise - 1) * epsilon).clamp(0, 1)
        attack = Bim(
            stop_early=True,
            steps=count,
            relative_step=2.5 / count if relative_step is None else relative_step,
        )
        problem = Problem.of(self.model, self.pictures, Goal(self.labels, False))
        found, _ = attack.within(problem, self.pictures.new_full((len(self.pictures),), epsilon), start=start)
        return self.holds(found, epsilon)

    def holds(self, adversarial: Tensor, epsilon: float) -> NDArray[Any]:
        """Which pictures fool the model and lie within ε of the clean ones: (N,) bool."""
        with torch.no_grad():
            wrong = self.model(adversarial).argmax(1) != self.labels
        near = (
            (adversarial - self.pictures).abs() <= column(self.pictures.new_tensor(epsilon + 1e-6))
        ).flatten(1)
        mask: NDArray[Any] = (wrong & near.all(1)).cpu().numpy()
        return mask


def _rate(mask: NDArray[Any]) -> float:
    return float(mask.mean())
