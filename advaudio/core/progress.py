"""How long work reports its progress: a callback, since the library prints nothing."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (units done, units in total, what is being done)."""


def silent(done: int, total: int, description: str) -> None:
    """Report nothing."""
