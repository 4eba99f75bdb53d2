"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder with `data/` and `weights/` (real clips and pretrained layers), named by ADVAUDIO_REALDATA."""
    folder = os.environ.get("ADVAUDIO_REALDATA")
    if not folder:
        pytest.skip("ADVAUDIO_REALDATA names no folder of real clips")
    path = Path(folder).resolve()
    if not (path / "data").is_dir():
        pytest.fail(f"ADVAUDIO_REALDATA={folder} has no folder data/")
    return path
