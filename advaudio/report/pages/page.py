"""One self-contained HTML page: no script, style sheet, font, sound or picture from outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import jinja2

from advaudio.report.pages.curves import Chart

Tone = Literal["", "good", "bad", "open"]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Points:
    """A list of short sentences."""

    sentences: Sequence[str]


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table, a note under it; rows sort by `sort`, or by the text if it is None."""

    text: str
    sort: float | None = None
    strong: bool = False
    tone: Tone = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first `headings` entries of a row are its heading. Wide texts wrap if `prose`."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Entry]]
    headings: int = 1
    prose: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure as SVG text (made by `figures.svg`), with what it shows for readers who cannot see it."""

    svg: str
    caption: str
    alternative: str
    narrow: bool = False


@dataclass(frozen=True)
class Charts:
    """Curves with a reading under the pointer."""

    charts: Sequence[Chart]
    caption: str


@dataclass(frozen=True)
class Sound:
    """A playable recording: what it is, its bytes, and a remark such as its signal-to-noise ratio."""

    title: str
    flac: bytes
    remark: str = ""

    @property
    def address(self) -> str:
        """The recording as a data URI."""
        return "data:audio/flac;base64," + base64.b64encode(self.flac).decode("ascii")


@dataclass(frozen=True)
class Sounds:
    """Recordings to compare by ear, side by side."""

    title: str
    sounds: Sequence[Sound]


@dataclass(frozen=True)
class Fold:
    """Blocks under a line that opens them."""

    title: str
    blocks: Sequence[Block]


Block = Text | Points | Table | Picture | Charts | Sounds | Fold


@dataclass(frozen=True)
class Section:
    """A heading with blocks below it."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """Everything the page says."""

    title: str
    subtitle: str
    summary: Sequence[str]
    sections: Sequence[Section]


def render(page: Page) -> str:
    """The page as HTML text; every word from outside (class names, file names) is escaped.

    The page's own security policy allows just the script that is written here, and nothing from outside.
    """
    folder = files("advaudio.report.pages")
    style, script, template = (
        folder.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html")
    )
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["text"] = lambda block: isinstance(block, str)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.from_string(template).render(
        report=page, style=style, script=script, script_digest=digest, kind=lambda block: type(block).__name__
    )
