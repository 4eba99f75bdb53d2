"""A stage computes with code that all CPUs with AVX2 share, before any library has chosen its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from advaudio.core.determinism import AVX2_CODE

NUMPY_VARIABLES = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES")
ROOT = Path(__file__).resolve().parents[2]
ASK = """
import os, stages, torch
from threadpoolctl import threadpool_info
import numpy
from numpy._core._multiarray_umath import __cpu_features__
print(torch.backends.cpu.get_cpu_capability(), os.environ["MKL_CBWR"], torch.get_num_threads())
print({library.get("architecture") for library in threadpool_info() if library["internal_api"] == "openblas"})
print([name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR", "AVX512_SKX") if __cpu_features__.get(name)])
"""


def _has_avx2() -> bool:
    information = Path("/proc/cpuinfo")
    return information.exists() and "avx2" in information.read_text(encoding="utf-8").split()


def _asked(**variables: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in (*AVX2_CODE, *NUMPY_VARIABLES)}
    result = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()


@pytest.mark.skipif(not _has_avx2(), reason="this CPU has no AVX2 to fall back to")
def test_a_stage_uses_the_code_of_avx2() -> None:
    assert _asked() == ["AVX2 COMPATIBLE 1", "{'Haswell'}", "[]"]


@pytest.mark.skipif(not _has_avx2(), reason="this CPU has no AVX2 to fall back to")
def test_what_the_user_has_set_stays() -> None:
    assert _asked(MKL_CBWR="AVX2")[0].split()[1] == "AVX2"


@pytest.mark.skipif(not _has_avx2(), reason="this CPU has no AVX2 to fall back to")
def test_numpy_knows_the_instructions_that_it_is_kept_from() -> None:
    """It only warns of a name that it does not know, and switches nothing off: names changed with NumPy 2.4."""
    check = "import os, stages; print(os.environ['NPY_DISABLE_CPU_FEATURES']); import numpy"
    kept = {name: value for name, value in os.environ.items() if name not in NUMPY_VARIABLES}
    subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", check],
        cwd=ROOT,
        env=kept,
        check=True,
        capture_output=True,
    )
