"""How near an attack comes to the best known: AttackBench's optimality, and what a file of `benchmarks.optimality` says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advaudio.core.errors import AdvaudioError

Array = NDArray[np.float64]


def optimality(norms: Array, best: Array) -> float:
    """Optimality ξ of an attack on one model (Cinà et al. 2025, arXiv 2404.19460), 1 if it finds the best everywhere.

    With ρ_a(ε) the robust accuracy that the attack leaves at ε, ρ* that of the empirical optimum, and ε₀ the smallest ε
    at which ρ* is 0,

        ξ = (ρ(0)·ε₀ − ∫₀^ε₀ ρ_a dε) / (ρ(0)·ε₀ − ∫₀^ε₀ ρ* dε).

    All clips here are classified correctly, so that ρ(0) = 1, and a robust accuracy is a step function: its area is the
    mean of min(norm, ε₀). (AttackBench's code joins the corners of the steps by straight lines.)

    Parameters
    ----------
    norms
        (N,) norm that the attack found on each clip, ∞ where it found none.
    best
        (N,) smallest norm that any attack found. A clip that none fooled counts as ε₀, the largest of the others.

    Raises
    ------
    ValueError
        If there is no clip that was fooled, or an attack is better than the best.
    """
    fooled = np.isfinite(best)
    if not fooled.any():
        raise ValueError("no attack fooled the model on any clip")
    if (norms < best).any():
        raise ValueError("the attack found a smaller norm than the best")
    largest = float(best[fooled].max())
    possible = largest - float(np.minimum(best, largest).mean())
    if possible <= 0:  # all best norms are the same: the curve is one step
        return float(bool((norms <= largest).all()))
    return (largest - float(np.minimum(norms, largest).mean())) / possible


@dataclass(frozen=True)
class Score:
    """One line of the comparison.

    Attributes
    ----------
    variant
        Name in the file.
    attack
        Printed name.
    norm, targeted
        What the attack is compared in.
    budget
        The step of the budget schedule that it ran with, such as "paper 2"; "2,000" or "2,000 of paper 2" where just
        what it found within these passes counts.
    clips
        On which it ran.
    passes
        Mean forward and backward passes of a clip.
    fooled
        Share of the clips.
    ratio
        Median norm over that of the empirical optimum; ∞ where it fooled no more than half of the clips.
    optimality
        See `optimality`.
    """

    variant: str
    attack: str
    norm: str
    targeted: bool
    budget: str
    clips: int
    passes: float
    fooled: float
    ratio: float
    optimality: float


def read_measured(path: Path) -> dict[str, Any]:
    """Read a file of `benchmarks.optimality`.

    Raises
    ------
    AdvaudioError
        If it is none.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["key"]["passes"], content["parts"], content["variants"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdvaudioError(
            f"{path} is no file of `python -m benchmarks.optimality` ({type(error).__name__} {error}). Run it to make one."
        ) from error
    return content


def scores(content: Mapping[str, Any]) -> list[Score]:
    """Every attack at its own budget, and at the passes of the comparison where its own budget is larger.

    An attack is held against the smallest norms of all attacks with the same norm and goal, on the clips that it ran
    on. References are cut at the passes of the comparison by their own steps.
    """
    clips, passes = content["key"]["clips"], content["key"]["passes"]
    joined = {name: _joined(name, content["parts"], clips) for name in content["variants"]}
    found = {name: columns for name, columns in joined.items() if columns is not None}
    groups: dict[tuple[str, bool], Array] = {}
    for name, columns in found.items():
        about = content["variants"][name]
        group = about["norm"], about["targeted"]
        for kind in ("norm", "norm_within"):
            known = groups.get(group, np.full(clips, np.inf))
            groups[group] = np.fmin(known, columns[kind])
    result = []
    for name, columns in found.items():
        about = content["variants"][name]
        best = groups[about["norm"], about["targeted"]]
        spent = columns["passes"]
        if about["settings"] is None:
            lines = [(f"{passes:,}", "norm_within", spent)]
        else:
            lines = [(about["budget"], "norm", spent)]
            if np.nanmax(spent) > passes:
                lines.append((f"{passes:,} of {about['budget']}", "norm_within", np.minimum(spent, passes)))
        for budget, kind, cost in lines:
            ran = ~np.isnan(columns[kind])
            score = _score(columns[kind][ran], best[ran])
            if score is not None:
                result.append(
                    Score(
                        name,
                        about["attack"],
                        about["norm"],
                        about["targeted"],
                        budget,
                        int(ran.sum()),
                        float(cost[ran].mean()),
                        *score,
                    )
                )
    return result


def _score(norms: Array, best: Array) -> tuple[float, float, float] | None:
    """Share fooled, ratio of medians, optimality; None where no attack fooled any clip."""
    if not np.isfinite(best).any():
        return None
    middle = float(np.median(best))
    ratio = float(np.median(norms)) / middle if np.isfinite(middle) and middle > 0 else np.inf
    return float(np.isfinite(norms).mean()), ratio, optimality(norms, best)


def _joined(name: str, parts: Mapping[str, Any], clips: int) -> dict[str, Array] | None:
    """The columns of a variant over all clips, NaN where it did not run; None where it ran nowhere."""
    own = {int(part.rpartition(" ")[2]): parts[part] for part in parts if part.rpartition(" ")[0] == name}
    if not own:
        return None
    columns = {kind: np.full(clips, np.nan) for kind in ("norm", "norm_within", "passes")}
    for start, part in own.items():
        for kind, whole in columns.items():
            values: Sequence[float | None] = part[kind]
            whole[start : start + len(values)] = [np.inf if value is None else value for value in values]
    return columns
