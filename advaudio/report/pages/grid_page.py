"""The report of many cells: the paper's tables and claims, the visual comparison, every cell's curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from advaudio.report.cells import words
from advaudio.report.cells.cell import PROVENANCE, Cell
from advaudio.report.cells.examples import Example, most_fooled
from advaudio.report.cells.paper import REPRESENTATION_NAMES
from advaudio.report.cells.sources import Source
from advaudio.report.cells.words import attack_name, listed, plural
from advaudio.report.pages import figures
from advaudio.report.pages.grid_listening import listening_section
from advaudio.report.pages.masking import all_passed, masking_blocks, single_step_gap
from advaudio.report.pages.page import Block, Entry, Fold, Page, Picture, Points, Section, Table, Text
from advaudio.report.pages.sections import attack_blocks, claim_table, curve_blocks, number_entry
from advaudio.report.pages.split import split_table
from advaudio.report.pages.trade_off import TradeOff, draw, trade_off
from advaudio.report.tables.claims import Claim, Verdict
from advaudio.report.tables.grid import Grid, describe
from advaudio.report.tables.table_files import header, leading_cells, marked_value, paper_model
from advaudio.report.tables.tables import ResultTable

CORNERS = 100
"""Of each fooling curve: a page of all the paper's cells has 576 curves."""

NAMED = 4
"""Cells that a sentence names before it counts the rest."""

RULES = (
    "How a verdict is made: each case (a cell, or a pair of cells) has a margin with a 95 % interval, above 0 for the "
    "claim. It holds if every margin is above 0 and so is the whole interval of their mean; it does not hold if the "
    "whole interval of one margin, or of their mean, is below 0; else there is not enough data. Claim (a) is about "
    "means alone, (d) and (f) need no interval: every case must hold."
)


def grid_page(
    grid: Grid,
    tables: Sequence[ResultTable],
    claims: Sequence[Claim],
    *,
    all_cells: Sequence[Cell],
    examples: Mapping[str, Sequence[Example]],
    sources: Mapping[str, Source],
) -> Page:
    """A page from comparable cells.

    Parameters
    ----------
    all_cells
        Those in the grid and those left out, for the comparison of splits.
    examples
        Name of a cell → its kept examples.
    sources
        Name of a cell → its files, to listen to.

    Raises
    ------
    AdvaudioError
        See `listening_section`.
    """
    sections = [
        Section(
            "tables",
            "The paper's tables",
            [block for table in tables if table.of_the_paper for block in _table_blocks(table)],
        ),
        Section("claims", "The paper's claims", [Text(RULES), claim_table(claims)]),
    ]
    found = trade_off(grid)
    beyond: list[Block] = [] if found is None else [_trade_off(found)]
    beyond += [
        Fold(f"Table {table.number}. {table.title}", _table_blocks(table))
        for table in tables
        if not table.of_the_paper
    ]
    if beyond:
        sections.append(Section("trade-off", "What adversarial training costs and buys", beyond))
    compared = _compared(grid, examples)
    if compared:
        pictures = [_comparison(compared, examples)]
        sections.append(Section("examples", "Adversarial examples", pictures))
    sounds = listening_section([*compared, *grid.cells], sources, examples)
    if sounds is not None:
        sections.append(sounds)
    leakage = split_table(all_cells)
    if leakage is not None:
        sections.append(Section("split", "How the split changes accuracy", [Text(LEAKAGE), leakage]))
    sections.append(Section("cells", "Every cell", [_cell(cell) for cell in grid.cells]))
    sections.append(Section("provenance", "Provenance", _provenance(grid)))
    return Page(
        title="Adversarial training of audio classifiers: results",
        subtitle=f"{describe(grid)}, in the grid of Sallo, Esmaeilpour and Cardinal (ICPR 2020).",
        summary=_summary(grid, claims),
        sections=sections,
    )


VERDICT_WORDS: dict[Verdict, str] = {
    "holds": "Of the paper's claims, these hold here",
    "does not hold": "These do not hold here",
    "not enough data": "For these there is not enough data",
}
LEAKAGE = (
    "Clips cut from one recording are alike. If such clips lie in both training and test, a classifier looks better "
    "than it is. These cells differ in nothing but the split: by source recording (no leak), by clip, by sample (the "
    "pitch-shifted copies of a clip may be on both sides), or by the data set's own folds."
)


def _summary(grid: Grid, claims: Sequence[Claim]) -> list[str]:
    sentences = []
    for verdict, opening in VERDICT_WORDS.items():
        own = [f"{claim.text} ({claim.letter})" for claim in claims if claim.verdict == verdict]
        if own:
            sentences.append(f"{opening}: {'; '.join(own)}.")
    accurate = [cell for cell in grid.cells if cell.drop_ratio is not None]
    if accurate:
        best = max(accurate, key=lambda cell: cell.accuracy["original"].value)
        sentences.append(
            f"Most accurate: {best.title}, {words.percent(best.accuracy['original'].value)} before and "
            f"{words.percent(best.accuracy['robust'].value)} after adversarial training."
        )
    with_rho = [(cell.rho.value, cell) for cell in grid.cells if cell.rho is not None]
    if with_rho:
        low, high = min(with_rho, key=lambda pair: pair[0]), max(with_rho, key=lambda pair: pair[0])
        sentences.append(
            f"Fooling a robust model takes {low[0]:.2f} ({low[1].title}) to {high[0]:.2f} times ({high[1].title}) the "
            "perturbation."
            if len(with_rho) > 1
            else f"Fooling the robust model takes {low[0]:.2f} times the perturbation ({low[1].title})."
        )
    checked = [cell for cell in grid.cells if "masking" in cell.record]
    failed = [cell.title for cell in checked if not all_passed(cell.record["masking"])]
    if failed:
        sentences.append(f"Signs of hidden gradients in {listed(failed)}: do not trust their fooling rates.")
    gaps = [(cell, single_step_gap(cell.record["masking"])) for cell in checked]
    overfitted = [cell.title for cell, gap in gaps if gap is not None and gap.wide]
    if overfitted:
        shown = (
            overfitted
            if len(overfitted) <= NAMED
            else [*overfitted[:NAMED], f"{len(overfitted) - NAMED} more"]
        )
        sentences.append(
            f"In {len(overfitted)} of {plural(len(gaps), 'cell')} the robust model withstands single steps rather than "
            f"attacks: {listed(shown)}."
        )
    return sentences


def _table_blocks(table: ResultTable) -> list[Block]:
    rows: list[list[str | Entry]] = []
    for row in table.rows:
        entries = [
            replace(
                number_entry(entry.estimate, row.measure.digits),
                text=marked_value(entry, row.measure),
                strong=entry.best,
            )
            for entry in row.entries
        ]
        paper = Entry("")
        if row.paper is not None:
            value, model = row.paper
            paper = Entry(f"{value:g}", value, note=paper_model(model))
        rows.append([*leading_cells(row), *entries, paper])
    caption = f"Table {table.number}. {table.title}"
    return [Table(caption, header(table), rows, headings=3), Text(table.explanation)]


def _compared(grid: Grid, examples: Mapping[str, Sequence[Example]]) -> list[Cell]:
    """Cells of the data set and model that most representations have pictures of."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for merged in grid.places.values():
        cell = merged.cells[0]
        if any(example.model == "original" for example in examples.get(cell.name, ())):
            groups.setdefault((cell.dataset, cell.model), []).append(cell)
    if not groups:
        return []
    order = list(REPRESENTATION_NAMES)
    most = max(groups.values(), key=len)
    return sorted(most, key=lambda cell: order.index(cell.representation))


def _comparison(cells: Sequence[Cell], examples: Mapping[str, Sequence[Example]]) -> Picture:
    """The paper's figure."""
    own = {
        cell.name: [example for example in examples[cell.name] if example.model == "original"]
        for cell in cells
    }
    shared = most_fooled([example for listed_examples in own.values() for example in listed_examples])
    attacks = list(dict.fromkeys(attack for cell in cells for attack in cell.attacks))
    strips = []
    for cell in cells:
        samples = {example.sample for example in own[cell.name]}
        sample = shared if shared in samples else most_fooled(own[cell.name])
        by_attack = {example.attack: example for example in own[cell.name] if example.sample == sample}
        first = next(iter(by_attack.values()))
        strips.append(
            figures.Strip(
                f"{words.representation_name(cell.representation)}\noriginal, class {first.label}",
                first.clean,
                [
                    (
                        attack_name(attack),
                        f"taken for {found.adversarial_label}" if (found := by_attack.get(attack)) else "",
                        found.adversarial if found else None,
                    )
                    for attack in attacks
                ],
            )
        )
    title = f"{words.model_name(cells[0].model)} on {words.dataset_name(cells[0].dataset)}"
    return Picture(
        figures.svg(figures.comparison(strips)),
        f"{title}: a clip in each representation, and what each attack makes of it (classes by number). Below: "
        "what changed, each on its own scale. Low frequencies are below, time runs to the right.",
        f"Pictures of one clip in {listed([words.representation_name(cell.representation) for cell in cells])}, "
        f"each beside its adversarial examples by {listed([attack_name(attack) for attack in attacks])}, with the "
        "differences under them.",
    )


def _trade_off(found: TradeOff) -> Picture:
    arrows = found.arrows.values()
    stronger = sum(robust[1] > original[1] for original, robust in arrows)
    weaker = sum(robust[0] < original[0] for original, robust in arrows)
    return Picture(
        figures.svg(draw(found)),
        "Each arrow is a cell: from the original model (hollow) to the adversarially trained one (filled). Up: more "
        f"test clips stay right under PGD-20 within {found.bound}/255. To the left: less accurate. "
        f"Of {plural(len(arrows), 'cell')}, training made {stronger} stronger under PGD and {weaker} less accurate.",
        f"Arrows of {listed([words.model_name(model) for model in found.models])}, a panel for each representation: "
        f"accuracy against accuracy under PGD-20 within {found.bound}/255. The numbers are in Tables I and IV.",
    )


def _cell(cell: Cell) -> Fold:
    blocks: list[Block] = []
    if cell.attacks:
        blocks = [*attack_blocks(cell), *curve_blocks(cell, CORNERS)]
    if "masking" in cell.record:
        blocks += masking_blocks(cell.record["masking"])
    if not cell.attacks:
        blocks.append(Text("No attack is recorded: only its trainings are."))
    elif not any(result.curves for result in cell.attacks.values()):
        blocks.append(Text("Its outputs/ are not here, so there are no curves and no intervals."))
    return Fold(f"{cell.title}, seed {cell.params['seed']} ({cell.name})", blocks)


def _provenance(grid: Grid) -> list[Block]:
    keys = [key for key in PROVENANCE if any(key in cell.record for cell in grid.cells)]
    blocks: list[Block] = [
        Table(
            "Where each cell comes from",
            ["cell", "source", *keys],
            [
                [f"{cell.title}, seed {cell.params['seed']}", cell.name]
                + [str(cell.record.get(key, words.UNKNOWN)) for key in keys]
                for cell in grid.cells
            ],
            prose=True,
        ),
        Table(
            "Settings that all cells share",
            ["parameter", "value"],
            [[name, words.setting(value)] for name, value in grid.settings.items()],
            prose=True,
        ),
    ]
    if grid.left_out:
        blocks.append(Text(f"Left out, {plural(len(grid.left_out), 'cell')}:"))
        blocks.append(Points([f"{name}: {why}" for name, why in grid.left_out]))
    return blocks
