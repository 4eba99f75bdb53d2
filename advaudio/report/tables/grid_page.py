"""The content of the page of many cells; `templates/grid.html` puts it into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import SAMPLES_FILE, TABLE_FILE, ClipStore
from advaudio.report.cells.cell import PROVENANCE, Cell
from advaudio.report.cells.claims import Claim
from advaudio.report.cells.examples import Example, most_fooled
from advaudio.report.cells.grid import Grid
from advaudio.report.cells.paper import REPRESENTATION_NAMES
from advaudio.report.cells.sources import Source, find_json
from advaudio.report.cells.words import attack_name, representation_name
from advaudio.report.pages import figures
from advaudio.report.pages.curves import Chart, fooling_charts, strongest_charts
from advaudio.report.pages.listening import Listening, listening
from advaudio.report.pages.masking import Masking, masking_of
from advaudio.report.pages.page import render
from advaudio.report.tables.split import SplitRow, split_rows
from advaudio.report.tables.tables import ResultTable
from advaudio.report.tables.trade_off import TradeOff, draw, trade_off

TEMPLATES = Path(__file__).with_name("templates")

CORNERS = 100
"""Of each fooling curve: a page of all the paper's cells has 576 curves."""

LAYOUT = "data/pictures/pictures.json"
CLIPS = "data/augmented"


@dataclass(frozen=True)
class CellEntry:
    """A cell among many: its fooling curves, the strongest bounds, and its checks for hidden gradients if run."""

    cell: Cell
    charts: Sequence[Chart]
    strongest: Sequence[Chart]
    masking: Masking | None


@dataclass(frozen=True)
class DrawnTradeOff:
    """Accuracy against accuracy under PGD, drawn; in how many cells training helped (`stronger`) and cost (`weaker`)."""

    svg: str
    found: TradeOff
    stronger: int
    weaker: int


@dataclass(frozen=True)
class Comparison:
    """The paper's figure, drawn: a clip in the representation of each cell, and what each attack makes of it."""

    svg: str
    cells: Sequence[Cell]
    attacks: Sequence[str]


@dataclass(frozen=True)
class GridPage:
    """Everything that the page of many cells shows.

    Attributes
    ----------
    heard
        The cell that one can listen to, and its recordings, if there is one.
    provenance
        Keys of the records (see `cell.PROVENANCE`) that at least one cell has.
    """

    grid: Grid
    tables: Sequence[ResultTable]
    claims: Sequence[Claim]
    trade_off: DrawnTradeOff | None
    comparison: Comparison | None
    heard: tuple[Cell, Listening] | None
    splits: Sequence[SplitRow]
    entries: Sequence[CellEntry]
    provenance: Sequence[str]

    @property
    def most_accurate(self) -> Cell:
        """The cell with the most accurate original model."""
        return max(self.grid.cells, key=lambda cell: cell.accuracy["original"].value)

    @property
    def by_rho(self) -> list[tuple[float, Cell]]:
        """The cells whose ρ is known, the smallest first."""
        known = [(cell.rho.value, cell) for cell in self.grid.cells if cell.rho is not None]
        return sorted(known, key=lambda pair: pair[0])

    @property
    def checked(self) -> list[CellEntry]:
        """The cells that were checked for hidden gradients."""
        return [entry for entry in self.entries if entry.masking is not None]

    @property
    def hidden(self) -> list[Cell]:
        """The cells in which a check failed."""
        return [entry.cell for entry in self.entries if entry.masking and not entry.masking.all_passed]

    @property
    def overfitted(self) -> list[Cell]:
        """The cells whose robust model withstands single steps alone."""
        return [entry.cell for entry in self.entries if entry.masking and entry.masking.overfitted]


def grid_page(
    grid: Grid,
    tables: Sequence[ResultTable],
    claims: Sequence[Claim],
    *,
    all_cells: Sequence[Cell],
    examples: Mapping[str, Sequence[Example]],
    sources: Mapping[str, Source],
) -> str:
    """The page of comparable cells as HTML text.

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
        If the clips to listen to are damaged, or are not those that were attacked.
    """
    compared = _compared(grid, examples)
    page = GridPage(
        grid=grid,
        tables=tables,
        claims=claims,
        trade_off=_trade_off(grid),
        comparison=_comparison(compared, examples) if compared else None,
        heard=_heard([*compared, *grid.cells], sources, examples),
        splits=split_rows(all_cells),
        entries=[
            CellEntry(
                cell,
                fooling_charts(cell, corners=CORNERS),
                strongest_charts(cell, corners=CORNERS),
                masking_of(cell.record),
            )
            for cell in grid.cells
        ],
        provenance=[key for key in PROVENANCE if any(key in cell.record for cell in grid.cells)],
    )
    return render("grid.html", page, TEMPLATES)


def _trade_off(grid: Grid) -> DrawnTradeOff | None:
    found = trade_off(grid)
    if found is None:
        return None
    arrows = found.arrows.values()
    return DrawnTradeOff(
        figures.svg(draw(found)),
        found,
        stronger=sum(robust[1] > original[1] for original, robust in arrows),
        weaker=sum(robust[0] < original[0] for original, robust in arrows),
    )


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


def _comparison(cells: Sequence[Cell], examples: Mapping[str, Sequence[Example]]) -> Comparison:
    own = {
        cell.name: [example for example in examples[cell.name] if example.model == "original"]
        for cell in cells
    }
    shared = most_fooled([example for found in own.values() for example in found])
    attacks = list(dict.fromkeys(attack for cell in cells for attack in cell.attacks))
    strips = []
    for cell in cells:
        samples = {example.sample for example in own[cell.name]}
        sample = shared if shared in samples else most_fooled(own[cell.name])
        by_attack = {example.attack: example for example in own[cell.name] if example.sample == sample}
        first = next(iter(by_attack.values()))
        adversarial = [
            (attack_name(attack), f"taken for {found.adversarial_label}", found.adversarial)
            if (found := by_attack.get(attack))
            else (attack_name(attack), "", None)
            for attack in attacks
        ]
        title = f"{representation_name(cell.representation)}\noriginal, class {first.label}"
        strips.append(figures.Strip(title, first.clean, adversarial))
    return Comparison(figures.svg(figures.comparison(strips)), cells, attacks)


def _heard(
    cells: Sequence[Cell], sources: Mapping[str, Source], examples: Mapping[str, Sequence[Example]]
) -> tuple[Cell, Listening] | None:
    """The first STFT cell that kept examples, and its sounds."""
    for cell in cells:
        if cell.representation.startswith("stft") and cell.name in sources and examples.get(cell.name):
            return cell, _sounds(sources[cell.name], examples[cell.name])
    return None


def _sounds(source: Source, examples: Sequence[Example]) -> Listening:
    layout = find_json(source, LAYOUT)
    files = {name: source.local(f"{CLIPS}/{name}") for name in (SAMPLES_FILE, TABLE_FILE)}
    if layout is None or None in files.values():
        return Listening("no clips")
    # The cache names files by their hash; a clip store knows them by name.
    with TemporaryDirectory() as folder:
        for name, file in files.items():
            (Path(folder) / name).symlink_to(str(file))
        names = read_class_names(Path(folder) / TABLE_FILE)
        return listening(examples, lambda: ClipStore.open(Path(folder)), layout, names)
