"""The arena that all fault tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.arena import Arena, make_arena
from tests.pipeline.clone import Clone


@pytest.fixture(scope="session")
def shared_arena(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Arena:
    """A finished tiny pipeline."""
    return make_arena(clone, tmp_path_factory.mktemp("arena"))


@pytest.fixture
def arena(shared_arena: Arena) -> Iterator[Arena]:
    """The finished tiny pipeline, put in order again after each test."""
    yield shared_arena
    shared_arena.restore()
