"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

# Librosa compiles with Numba into a cache that two test processes must not write at once (it comes out
# corrupt); set before anything imports librosa.
_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "numba" / _worker)


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
