"""The result tables and verdicts as Markdown, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from advaudio.report.cells import words
from advaudio.report.cells.claims import Case, Claim, Part
from advaudio.report.cells.estimates import Estimate
from advaudio.report.cells.grid import Grid
from advaudio.report.cells.words import plural
from advaudio.report.tables.tables import LEADING_COLUMNS, Entry, Measure, ResultTable, Row

LATEX_SYMBOLS = {
    "ρ": r"$\rho$",
    "−": "$-$",
    "†": r"\dag{}",
    "–": "--",
    "ε": r"$\varepsilon$",
    "∞": r"$\infty$",
}
MOST_CASES_NAMED = 4


def entry_text(entry: Entry, measure: Measure) -> str:
    """Value, mark and interval of an entry."""
    ends = words.interval(entry.estimate, measure.digits)
    return words.value(entry.estimate, measure.digits) + entry.mark + (f" ({ends})" if ends else "")


def paper_text(row: Row) -> str:
    """The paper's number of a row, its model if known; empty where nothing survives."""
    return f"{row.paper[0]:g} ({row.paper_model})" if row.paper else ""


def markdown(tables: Sequence[ResultTable], claims: Sequence[Claim], grid: Grid) -> str:
    """Everything in one Markdown text."""
    lines = ["# Results", "", f"{grid.description}.", ""]
    for table in tables:
        lines += [f"## Table {table.number}: {table.title}", "", table.explanation, ""]
        lines += _markdown_row(table.header)
        lines.append("|" + "---|" * len(table.header))
        for row in table.rows:
            entries = [
                f"**{entry_text(entry, row.measure)}**" if entry.best else entry_text(entry, row.measure)
                for entry in row.entries
            ]
            lines += _markdown_row([*row.headings, *entries, paper_text(row)])
        lines.append("")
    lines += ["## The paper's claims", ""]
    lines += [*_markdown_row(["claim", "verdict", "evidence"]), "|---|---|---|"]
    for claim in claims:
        lines += _markdown_row(
            [
                f"({claim.letter}) {claim.text}",
                f"**{claim.verdict}**",
                " ".join(evidence(claim, part) for part in claim.parts),
            ]
        )
    if grid.left_out:
        lines += ["", "## Left out", "", *(f"- {name}: {why}" for name, why in grid.left_out)]
    return "\n".join(lines) + "\n"


def evidence(claim: Claim, part: Part) -> str:
    """The numbers behind the verdict on a part of a claim, in a few sentences."""
    if not part.cases:
        return f"{part.statement}: no cell to tell from."

    def margin(estimate: Estimate | None) -> str:
        return words.with_interval(estimate, part.digits, part.scale) + part.unit

    def named(opening: str, cases: Sequence[Case]) -> str:
        if not cases:
            return ""
        first = "; ".join(f"{case.name} ({margin(case.margin)})" for case in cases[:MOST_CASES_NAMED])
        more = len(cases) - MOST_CASES_NAMED
        return f" {opening}: {first}" + (f"; and {more} more." if more > 0 else ".")

    text = (
        f"{part.statement}: true of {part.true_cases} of {plural(len(part.cases), 'case')}; margin "
        f"{margin(part.mean_margin)} on average."
    )
    if part.average:
        return text + named("The average alone counts. On the other side", part.other_side)
    refuting, unknown = claim.refuting_cases(part), part.without_interval
    text += named("Against it after Holm's correction", refuting)
    text += named("Undecided after Holm's correction", part.undecided(refuting))
    if unknown:
        text += f" No interval is known for {plural(len(unknown), 'case')}, which count in the average alone."
        text += named("Of these on the other side", [case for case in unknown if case.margin.value < 0])
    return text


def latex(tables: Sequence[ResultTable]) -> str:
    """The tables for LaTeX with the package booktabs."""
    texts = []
    for table in tables:
        frame = pd.DataFrame(
            [
                [
                    *row.headings,
                    *(entry_text(entry, row.measure) for entry in row.entries),
                    paper_text(row),
                ]
                for row in table.rows
            ],
            columns=table.header,
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
