"""Reading a page as text."""

from __future__ import annotations

import re
from html import unescape


def table_rows(page: str, caption: str) -> list[list[str]]:
    """Texts of the rows of the first table with this caption, the header first."""
    start = page.index(f"<caption><span>{caption}")
    rows = re.findall(r"<tr>(.*?)</tr>", page[start : page.index("</table>", start)], flags=re.S)
    return [[_text(entry) for entry in re.findall(r"<t[hd][ >].*?</t[hd]>", row, flags=re.S)] for row in rows]


def paragraphs(page: str) -> list[str]:
    """Texts of the paragraphs and of the points of lists."""
    return [_text(entry) for entry in re.findall(r"<(?:p|li)[ >].*?</(?:p|li)>", page, flags=re.S)]


def _text(entry: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", entry)).split())
