"""What the fault suite and the dependency proof covered, printed at the end of the run that covered it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

FAULTS: Counter[tuple[str, str]] = Counter()
"""Faults after which the rerun ended in the undisturbed bits, by stage and kind."""
COVERED: defaultdict[str, set[object]] = defaultdict(set)
"""What was compared with dvc.yaml, by a word for it."""


def counted() -> dict[str, Any]:
    """What this process counted, in types that one test process can send to another."""
    return {"faults": dict(FAULTS), "covered": dict(COVERED)}


def add(counts: dict[str, Any]) -> None:
    """Add what another process counted."""
    FAULTS.update(counts["faults"])
    for what, found in counts["covered"].items():
        COVERED[what] |= found


def summary() -> list[str]:
    """Lines of text; none where neither suite ran."""
    lines = []
    if FAULTS:
        stages = len({stage for stage, _ in FAULTS})
        lines.append(
            f"{FAULTS.total()} faults in {stages} stages; after each, the rerun ended in the same bits"
        )
        lines += _counts("by kind", ((kind, count) for (_, kind), count in FAULTS.items()))
        lines += _counts("by stage", ((stage, count) for (stage, _), count in FAULTS.items()))
    if COVERED:
        counts = ", ".join(f"{len(found)} {what}" for what, found in sorted(COVERED.items()))
        lines.append(f"dependency proof: {counts}")
    return lines


def _counts(title: str, counts: Iterable[tuple[str, int]]) -> list[str]:
    sums: Counter[str] = Counter()
    for name, count in counts:
        sums[name] += count
    return [f"  {title}: " + ", ".join(f"{name} {count}" for name, count in sums.most_common())]
