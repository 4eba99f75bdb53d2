"""Files of metrics: a few figures that DVC shows, and the others below `more`.

`dvc metrics show` makes a column of every number in every file, and leaves out lists. So what is to be seen at one
look stands at the top, and the rest is one entry of a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advaudio.core.files import write_json

MORE = "more"


def write_metrics(path: Path, metrics: Mapping[str, Any], *, shown: Sequence[str]) -> None:
    """Write figures by name; those that are not `shown` go below `more`."""
    more = {name: value for name, value in metrics.items() if name not in shown}
    top = {name: metrics[name] for name in shown}
    write_json(path, {**top, MORE: [more]} if more else top)


def all_metrics(content: Mapping[str, Any]) -> dict[str, Any]:
    """All figures of such a file by name, whether they are shown or not; earlier files show all."""
    flat = {name: value for name, value in content.items() if name != MORE}
    for entry in content.get(MORE, []):
        flat.update(entry)
    return flat
