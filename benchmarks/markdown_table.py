"""A Markdown table of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def markdown_table(rows: Sequence[Mapping[str, str]], numbers_from: int | None = None) -> str:
    """Rows with the same keys, which are the headings, or no text; columns from `numbers_from` on stand to the right."""
    if not rows:
        return ""
    header = list(rows[0])
    left = len(header) if numbers_from is None else numbers_from
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    lines = [header, rule, *(list(row.values()) for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
