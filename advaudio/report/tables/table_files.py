"""The result tables and verdicts as Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from advaudio.report.cells import words
from advaudio.report.tables.claims import Claim
from advaudio.report.tables.grid import Grid, describe
from advaudio.report.tables.tables import Entry, Measure, ResultTable, Row

LATEX_SYMBOLS = {
    "ρ": r"$\rho$",
    "−": "$-$",
    "†": r"\dag{}",
    "–": "--",
    "ε": r"$\varepsilon$",
    "∞": r"$\infty$",
}
LEADING_COLUMNS = ["data", "representation", "measure"]


def marked_value(entry: Entry, measure: Measure) -> str:
    """Value and mark of an entry."""
    return words.value(entry.estimate, measure.digits) + ("†" if entry.short and entry.estimate else "")


def entry_text(entry: Entry, measure: Measure) -> str:
    """Value, mark and interval of an entry."""
    ends = words.interval(entry.estimate, measure.digits)
    return marked_value(entry, measure) + (f" ({ends})" if ends else "")


def paper_text(row: Row) -> str:
    """The paper's number of a row, its model if known; empty where nothing survives."""
    if row.paper is None:
        return ""
    return f"{row.paper[0]:g} ({paper_model(row.paper[1])})"


def paper_model(model: str | None) -> str:
    """The model that a number of the paper belongs to."""
    return words.model_name(model) if model else "model lost"


def measure_text(measure: Measure) -> str:
    """A measure with its unit."""
    return f"{measure.name} ({measure.unit})" if measure.unit else measure.name


def header(table: ResultTable) -> list[str]:
    """Column headings of a table."""
    models = [words.model_name(entry.model) for entry in table.rows[0].entries]
    return [*LEADING_COLUMNS, *models, "paper's best"]


def leading_cells(row: Row) -> list[str]:
    """Data set, representation and measure of a row."""
    return [
        words.dataset_name(row.dataset),
        words.representation_name(row.representation),
        measure_text(row.measure),
    ]


def markdown(tables: Sequence[ResultTable], claims: Sequence[Claim], grid: Grid) -> str:
    """Everything in one Markdown text."""
    lines = ["# Results", "", f"{describe(grid)}.", ""]
    for table in tables:
        lines += [f"## Table {table.number}: {table.title}", "", table.explanation, ""]
        lines += _markdown_row(header(table))
        lines.append("|" + "---|" * len(header(table)))
        for row in table.rows:
            entries = [
                f"**{entry_text(entry, row.measure)}**" if entry.best else entry_text(entry, row.measure)
                for entry in row.entries
            ]
            lines += _markdown_row([*leading_cells(row), *entries, paper_text(row)])
        lines.append("")
    lines += ["## The paper's claims", ""]
    lines += [*_markdown_row(["claim", "verdict", "evidence"]), "|---|---|---|"]
    for claim in claims:
        lines += _markdown_row(
            [f"({claim.letter}) {claim.text}", f"**{claim.verdict}**", " ".join(claim.evidence)]
        )
    if grid.left_out:
        lines += ["", "## Left out", "", *(f"- {name}: {why}" for name, why in grid.left_out)]
    return "\n".join(lines) + "\n"


def latex(tables: Sequence[ResultTable]) -> str:
    """The tables for LaTeX with the package booktabs."""
    texts = []
    for table in tables:
        frame = pd.DataFrame(
            [
                [
                    *leading_cells(row),
                    *(entry_text(entry, row.measure) for entry in row.entries),
                    paper_text(row),
                ]
                for row in table.rows
            ],
            columns=header(table),
        )
        bold = pd.DataFrame("", index=frame.index, columns=frame.columns)
        for line, row in enumerate(table.rows):
            for column, entry in enumerate(row.entries, start=len(LEADING_COLUMNS)):
                if entry.best:
                    bold.iloc[line, column] = "textbf:--rwrap;"
        text = (
            frame.style.format(escape="latex")
            .format_index(escape="latex", axis=1)
            .hide(axis=0)
            .apply(lambda _, bold=bold: bold, axis=None)
            .to_latex(
                hrules=True,
                column_format="lll" + "r" * (len(frame.columns) - len(LEADING_COLUMNS)),
                caption=f"{table.title}. {table.explanation}".replace("%", r"\%").replace("_", r"\_"),
                label=f"tab:{table.number}",
                position_float="centering",
            )
        )
        for symbol, command in LATEX_SYMBOLS.items():
            text = text.replace(symbol, command)
        texts.append(text)
    return "\n".join(texts)


def tidy(tables: Sequence[ResultTable]) -> pd.DataFrame:
    """One row per number: for plots and spreadsheets; names as in params.yaml, empty where not known."""
    rows = []
    for table in tables:
        for row in table.rows:
            for entry in row.entries:
                if entry.estimate is None:
                    continue
                value, model = row.paper or (None, None)
                rows.append(
                    {
                        "table": table.number,
                        "dataset": row.dataset,
                        "representation": row.representation,
                        "model": entry.model,
                        "measure": row.measure.name,
                        "unit": row.measure.unit,
                        "mean": entry.estimate.value,
                        "low": entry.estimate.low,
                        "high": entry.estimate.high,
                        "seeds": entry.seeds,
                        "best": entry.best,
                        "attack_short_of_threshold": entry.short,
                        "paper_best": value,
                        "paper_best_model": model,
                    }
                )
    return pd.DataFrame(rows)


def _markdown_row(cells: Sequence[str]) -> list[str]:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return ["| " + " | ".join(escaped) + " |"]
