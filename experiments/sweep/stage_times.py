"""Seconds that each stage took, from a log that the guard wrote."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

STARTED = re.compile(r"^Running stage '([^']+)':")
ENDED = re.compile(
    r"^(Updating lock file|Generating lock file|Stage '[^']+' |ERROR: failed to reproduce|\$ )"
)


def stage_seconds(lines: Iterable[str]) -> dict[str, float]:
    """Wall seconds of every stage that ran, those of a repeated stage added up.

    A stage lasts from DVC's line that it runs until DVC's next word about any stage or lock file.
    """
    seconds: dict[str, float] = defaultdict(float)
    running: tuple[str, datetime] | None = None
    last: datetime | None = None
    for line in lines:
        stamp, _, text = line.partition(" ")
        try:
            now = datetime.fromisoformat(stamp)
        except ValueError:
            continue
        started = STARTED.match(text)
        if running and (started or ENDED.match(text)):
            # The header of a new attempt ends what the killed one had begun at its last sign of life.
            end = last if text.startswith("$ ") and last else now
            seconds[running[0]] += (end - running[1]).total_seconds()
            running = None
        if started:
            running = started.group(1), now
        last = now
    if running and last:
        seconds[running[0]] += (last - running[1]).total_seconds()
    return {name: round(value, 3) for name, value in seconds.items()}
