"""Parts of a page that are made from a cell's numbers alone: the same in the report of a cell and of many."""

from __future__ import annotations

from collections.abc import Sequence

from advaudio.report.cells import words
from advaudio.report.cells.cell import MODELS, Cell
from advaudio.report.cells.words import attack_name, listed, percent
from advaudio.report.pages.curves import fooling_charts
from advaudio.report.pages.page import Block, Charts, Entry, Fold, Table, Text, Tone
from advaudio.report.tables.claims import Claim, Verdict

VERDICT_TONES: dict[Verdict, Tone] = {"holds": "good", "does not hold": "bad", "not enough data": "open"}


def attack_blocks(cell: Cell) -> list[Block]:
    """Each attack in its own norm, the worst case over them, and what they cost."""
    blocks: list[Block] = [_attack_table(cell)]
    if cell.short_attacks:
        short = [
            f"{attack_name(name)} ({percent(rate.value if (rate := cell.attacks[name].fooling_rate) else None)})"
            for name in cell.short_attacks
        ]
        blocks.append(
            Text(
                f"Short of the threshold of {percent(cell.threshold, 0)} on the original model: {listed(short)}. "
                "Their bound is the largest perturbation that succeeded; they count neither in means nor in the "
                "worst case within the bound."
            )
        )
    if "worst_case" in cell.record["rho"]:
        blocks.append(_worst_case_table(cell))
    if any(result.cost for result in cell.attacks.values()):
        blocks.append(Fold("Work per clip", [_cost_table(cell)]))
    return blocks


def curve_blocks(cell: Cell, corners: int = 400) -> list[Block]:
    """Fooling curves to read with the pointer; nothing where they are not known."""
    charts = fooling_charts(cell, corners=corners)
    if not charts:
        return []
    return [
        Charts(
            charts,
            "Share of the correctly classified clips that are fooled by a perturbation of at most so much. Farther "
            "right is more robust. The dotted line is the threshold. Point at a chart, or choose it with Tab and "
            "use the arrow keys, to read both curves.",
        )
    ]


def claim_table(claims: Sequence[Claim]) -> Table:
    """The paper's claims with their verdicts."""
    return Table(
        "The paper's six claims, judged by these numbers",
        ["claim", "verdict", "evidence"],
        [
            [
                f"({claim.letter}) {claim.text}",
                Entry(claim.verdict, tone=VERDICT_TONES[claim.verdict]),
                " ".join(claim.evidence),
            ]
            for claim in claims
        ],
        prose=True,
    )


def number_entry(estimate: words.Estimate | None, digits: int | None, scale: float = 1.0) -> Entry:
    """An estimate with its interval under it, sorted by its value."""
    return Entry(
        words.value(estimate, digits, scale),
        None if estimate is None else estimate.value,
        note=words.interval(estimate, digits, scale),
    )


def _attack_table(cell: Cell) -> Table:
    return Table(
        "Each attack in its own norm, with 95 % intervals over the clips",
        [
            "attack",
            "norm",
            "fooled, original (%)",
            "ε₉₀",
            "AUC",
            "robust within ε₉₀ (%)",
            "robust, no bound (%)",
            "ρ",
        ],
        [
            [
                attack_name(name),
                words.NORM_NAMES[result.norm] if result.norm else words.UNKNOWN,
                number_entry(result.fooling_rate, 1, 100),
                number_entry(result.epsilon_90, None),
                number_entry(result.auc, 2),
                number_entry(result.robust_within_bound, 0, 100),
                number_entry(result.robust_fooling_rate, 1, 100),
                number_entry(result.rho, 2),
            ]
            for name, result in cell.attacks.items()
        ],
    )


def _worst_case_table(cell: Cell) -> Table:
    worst = cell.record["rho"]["worst_case"]
    keys = ("fooling_rate", "fooling_rate_under_bound", "accuracy_under_bound")
    return Table(
        "Worst case: a clip is lost if any attack wins it",
        ["model", "fooled, no bound", "fooled, within each attack's bound", "accuracy that is left"],
        [
            [model, *(Entry(percent(worst[model][key]), worst[model][key]) for key in keys)]
            for model in MODELS
        ],
    )


def _cost_table(cell: Cell) -> Table:
    work = ("forwards", "backwards", "queries")
    rows: list[list[str | Entry]] = []
    for name, result in cell.attacks.items():
        for model, cost in result.cost.items():
            numbers = [cost.get(kind) for kind in work]
            rows.append([attack_name(name), model, *(Entry(words.number(value), value) for value in numbers)])
    return Table(
        "Mean over the clips that were attacked",
        ["attack", "model", "forward passes", "backward passes", "queries"],
        rows,
        2,
    )
