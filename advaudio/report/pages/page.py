"""From the content of a page to one self-contained HTML file, by the templates beside this module.

The templates hold every sentence. What they show is in plain dataclasses (`CellPage`, and `GridPage` of the tables).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2

from advaudio.report.cells import words

FOLDER = Path(__file__).parent
WORDS = (
    "attack_name",
    "check_value",
    "dataset_name",
    "decibels",
    "interval",
    "listed",
    "model_name",
    "norm_name",
    "norm_unit",
    "number",
    "percent",
    "plural",
    "representation_name",
    "setting",
    "value",
    "with_interval",
)
"""Functions of `words` that the templates use as filters."""


def render(template: str, page: object, *folders: Path) -> str:
    """The page as HTML text; every word from outside (class names, file names) is escaped.

    The page's own security policy allows just the script that is written here, and nothing from outside.

    Parameters
    ----------
    template
        Name of a template, below `folders` or below `templates` here.
    page
        What the template shows under the name `page`.
    """
    style, script = (FOLDER.joinpath(f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    found = _environment([*folders, FOLDER / "templates"]).get_template(template)
    return found.render(page=page, style=style, script=script, script_digest=digest)


def _environment(folders: Iterable[Path]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(list(folders)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: _unbroken(getattr(words, name)) for name in WORDS})
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment


def _unbroken(printed: Callable[..., str]) -> Callable[..., str]:
    """The same words, with a percentage on one line."""

    def filtered(*arguments: Any) -> str:
        return printed(*arguments).replace(" %", "\N{NO-BREAK SPACE}%")

    return filtered
