"""An attack with each of its budgets: clips that one does not fool get the next."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from advaudio.attack_interface.base import Attack
from advaudio.attack_interface.registry import make_attack
from advaudio.core.errors import AdvaudioError
from advaudio.core.resume import code_digest, code_of, digest_of

ROOMS = ("attack_interface", "core", "evaluation", "models")
"""Rooms of the library whose code a clip's result depends on, beside the attack's own file."""


@dataclass(frozen=True)
class BudgetSchedule:
    """An attack with each of its budgets, cheapest first; make one with `budget_schedule`.

    Attributes
    ----------
    name
        In params.yaml.
    budgets
        What each step overrides of the settings.
    attacks
        The attack of each step.
    digests
        Name of everything that a step's results depend on, but for the models, the clips and the device.
    seed
        Of targets and noise.
    code
        Digest of the code of the attack's class.
    """

    name: str
    budgets: Sequence[Mapping[str, Any]]
    attacks: Sequence[Attack]
    digests: Sequence[str]
    seed: int
    code: str


def budget_schedule(
    name: str, settings: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]], *, seed: int = 0
) -> BudgetSchedule:
    """Build the attack of every step, so that a wrong setting is found before any work is done.

    Parameters
    ----------
    name
        For messages.
    settings
        What defines the attack; with a budget, what `advaudio.attack_interface.registry.make_attack` takes.
    budgets
        Budgets, cheapest first; each overrides `settings`.
    seed
        Of targets, and of the noise of an attack that has a `seed`, unless its settings say otherwise.

    Raises
    ------
    AdvaudioError
        If there is no budget, or the attack or one of its settings is wrong.
    """
    if not budgets:
        raise AdvaudioError(f"The attack {name} has no budget; give it at least one ({{}} will do).")
    steps = [{**settings, **budget} for budget in budgets]
    attacks = [make_attack(name, default_seed=seed, **step) for step in steps]
    own = [Path(inspect.getfile(kind)) for kind in type(attacks[0]).__mro__ if issubclass(kind, Attack)]
    code = [*code_of(*ROOMS), *own]
    digests = [digest_of([name, step, seed, torch.__version__], code=code) for step in steps]
    of_class = code_digest(Path(inspect.getfile(type(attacks[0]))))
    return BudgetSchedule(name, [dict(budget) for budget in budgets], attacks, digests, seed, of_class)
