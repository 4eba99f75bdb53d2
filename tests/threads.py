"""One numeric thread for packages of tests whose networks are tiny, and which run beside others."""

from collections.abc import Iterator

import pytest
import torch

from advaudio.core.determinism import exact_training


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Torch computes with one thread while a package's tests run."""
    with exact_training(torch.device("cpu"), False):
        yield
