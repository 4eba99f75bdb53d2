"""One self-contained HTML page: no script, style sheet, font or picture from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import jinja2


@dataclass(frozen=True)
class Table:
    """A table of printed values; the first cell of a row is its heading."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A figure as SVG text (made by `figures.svg`), with what it shows for readers who cannot see it."""

    svg: str
    caption: str
    alternative: str
    narrow: bool = False


@dataclass(frozen=True)
class Section:
    """A heading with text, tables and figures below it."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Page:
    """Everything the page says."""

    title: str
    subtitle: str
    summary: Sequence[str]
    sections: Sequence[Section]
    provenance: Sequence[tuple[str, str]] = field(default=())


def render(page: Page) -> str:
    """The page as HTML text; every word from outside (class names, file names) is escaped."""
    template = files("advaudio.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    return environment.from_string(template).render(report=page)
