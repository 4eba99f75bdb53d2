"""The reference attacks: adv-lib's (BSD licence), each cut at the passes of the comparison by its own steps.

`pip install --no-deps adv-lib`. It asks for visdom, which draws its live plots and does nothing here, and on
Python 3.12 and later for setuptools (distutils).
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from advaudio.attack_interface.problem import Norm
from benchmarks.optimality_box import Box

APGD_BALLS = 10
"""Radii that APGD tries for a clip."""
FIRST_RADIUS, GROWTH = 2 / 255, 3.0
"""The first radius, and the factor to the next until one succeeds and one fails; then they are bisected."""
LIKELY_CLASSES = 3
"""Classes that APGD without a target walks to, the likeliest first."""

Reference = Callable[[Box, int, int], None]
"""Attack the clips of a box with so many passes and a seed; the box takes down what is found."""


def adv_lib() -> ModuleType:
    """The library's attacks.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    if "visdom" not in sys.modules and importlib.util.find_spec("visdom") is None:
        sys.modules["visdom"] = ModuleType("visdom")  # only named in annotations, and never called
    if importlib.util.find_spec("distutils") is None:
        importlib.import_module("setuptools")  # brings back what Python 3.12 dropped
    return importlib.import_module("adv_lib.attacks")


class OneAgainstOthers(nn.Module):
    """The target's logit beside the highest other one: leaving class 0 of the two is reaching the target."""

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box = box

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.box(pictures)
        targets = self.box.goal.classes[:, None]
        others = logits.scatter(1, targets, -torch.inf).amax(1)
        return torch.stack((others, logits.gather(1, targets).squeeze(1)), 1)


def sigma_zero(box: Box, passes: int, seed: int) -> None:
    """Cinà et al. 2025 (arXiv 2402.01879), L0.

    The library's is without a target. With one, the paper's loss is max(max_{j≠t} z_j − z_t, 0): that of leaving the
    others' best logit, which `OneAgainstOthers` gives.
    """
    torch.manual_seed(seed)
    targeted = box.goal.targeted
    model: nn.Module = OneAgainstOthers(box) if targeted else box
    leave = torch.zeros_like(box.goal.classes) if targeted else box.goal.classes
    adv_lib().sigma_zero(model, box.clean, leave, num_steps=passes // 2)


def ddn(box: Box, passes: int, seed: int) -> None:
    """Decoupled direction and norm (Rony et al. 2019, arXiv 1811.09600), L2, without its rounding to grey levels."""
    torch.manual_seed(seed)
    goal = box.goal
    adv_lib().ddn(box, box.clean, goal.classes, targeted=goal.targeted, steps=passes // 2, levels=None)


class _OneFeatureEach(Exception):
    """No clip can be fooled with fewer features."""


class _UntilOneFeature(nn.Module):
    """A box that ends the attack where one feature of each clip is enough: the library's projection fails at none."""

    def __init__(self, box: Box) -> None:
        super().__init__()
        self.box = box

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.box(pictures)
        if bool((self.box.best <= 1).all()):
            raise _OneFeatureEach
        return logits


def fmn(norm: Norm) -> Reference:
    """Fast minimum norm (Pintor et al. 2021, arXiv 2102.12827), its settings those of AttackBench."""
    order = {"linf": torch.inf, "l2": 2, "l0": 0}[norm]

    def run(box: Box, passes: int, seed: int) -> None:
        torch.manual_seed(seed)
        goal = box.goal
        model: nn.Module = _UntilOneFeature(box) if norm == "l0" else box
        with contextlib.suppress(_OneFeatureEach):
            adv_lib().fmn(model, box.clean, goal.classes, order, targeted=goal.targeted, steps=passes // 2)

    return run


def apgd(loss: str) -> Reference:
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690), L∞, with a search of each clip's radius.

    The library's `minimal_apgd` knows no target and bisects from the largest radius down, in which small radii come
    late; here the radius grows or shrinks by `GROWTH` first.

    Parameters
    ----------
    loss
        "ce" (cross-entropy); "dlr" (difference of logits ratio), which without a target walks to the
        `LIKELY_CLASSES` one after the other, as APGD-T does.
    """

    def run(box: Box, passes: int, seed: int) -> None:
        torch.manual_seed(seed)
        goal = box.goal
        walks: list[tuple[Tensor, bool]] = [(goal.classes, goal.targeted)]
        if loss == "dlr" and not goal.targeted:
            with torch.no_grad():
                logits = box(box.clean).scatter(1, goal.classes[:, None], -torch.inf)
            walks = [(classes, True) for classes in logits.topk(LIKELY_CLASSES, dim=1).indices.T]
            passes -= 1
        # A walk of n steps asks for n + 1 gradients.
        steps = passes // (APGD_BALLS * len(walks) * 2) - 1
        radius = torch.full_like(box.best, FIRST_RADIUS)
        low = torch.zeros_like(radius)
        for _ in range(APGD_BALLS):
            for classes, targeted in walks:
                adv_lib().apgd(
                    box,
                    box.clean,
                    classes,
                    radius,
                    torch.inf,
                    targeted=targeted,
                    n_iter=steps,
                    loss_function=loss,
                    best_loss=False,
                )
            high = box.best
            low = torch.where(high <= radius * (1 + 1e-5), low, torch.maximum(low, radius))
            following = torch.where(low == 0, high / GROWTH, (low * high).sqrt())
            radius = torch.where(high.isinf(), (radius * GROWTH).clamp_max(1.0), following)

    return run


REFERENCES: dict[str, tuple[str, Norm, bool, Reference]] = {
    "sigma_zero": ("σ-zero", "l0", True, sigma_zero),
    "fmn_l0": ("FMN", "l0", True, fmn("l0")),
    "ddn_targeted": ("DDN", "l2", True, ddn),
    "fmn_l2_targeted": ("FMN", "l2", True, fmn("l2")),
    "fmn_linf_targeted": ("FMN", "linf", True, fmn("linf")),
    "apgd_ce_targeted": ("APGD, cross-entropy", "linf", True, apgd("ce")),
    "apgd_dlr_targeted": ("APGD, logits ratio", "linf", True, apgd("dlr")),
    "ddn": ("DDN", "l2", False, ddn),
    "fmn_l2": ("FMN", "l2", False, fmn("l2")),
    "fmn_linf": ("FMN", "linf", False, fmn("linf")),
    "apgd_ce": ("APGD, cross-entropy", "linf", False, apgd("ce")),
    "apgd_t": ("APGD-T, logits ratio", "linf", False, apgd("dlr")),
}
"""Name → printed name, norm, whether it is targeted, and the attack."""
