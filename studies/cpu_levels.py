"""Which outputs change with the instructions that a CPU has, forced by environment variables, and by how much.

    python -m studies.cpu_levels --json results/cpu-levels/cpu-levels.json

A tiny pipeline runs up to training once per setting, each time in a temporary clone; every output is compared with
that of the first run. With --python another interpreter runs it; its packages must be installed.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from safetensors.numpy import load_file

from advaudio.core.files import open_array, write_json
from benchmarks.measurements import hardware
from studies.clone import clone_for_study, environment

STAGES = ("download", "augment", "stft", "dwt", "tonnetz", "append", "split", "train")
OUTPUTS = {
    "download": ("data/raw/samples.npy", "data/raw/clips.csv"),
    "augment": ("data/augmented/samples.npy", "data/augmented/clips.csv"),
    "stft": ("data/stft/pictures.npy",),
    "dwt": ("data/dwt/pictures.npy",),
    "tonnetz": ("data/tonnetz/pictures.npy",),
    "append": ("data/pictures/pictures.npy",),
    "split": ("data/split.csv",),
    "train": ("models/original.safetensors", "outputs/train/folds.csv"),
}
NO_AVX2 = "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"
SETTINGS: dict[str, dict[str, str]] = {
    "as the CPU is": {},
    "four workers": {"ADVAUDIO_WORKERS": "4"},
    "NumPy with all that the CPU has": {"NPY_DISABLE_CPU_FEATURES": ""},
    "NumPy without AVX2": {"NPY_DISABLE_CPU_FEATURES": NO_AVX2},
    "OpenBLAS as on Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "OpenBLAS as on Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "Numba for any x86-64": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
    "PyTorch with AVX2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "PyTorch without AVX": {"ATEN_CPU_CAPABILITY": "default"},
    "oneDNN with AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN with SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "MKL, the same on all CPUs": {"MKL_CBWR": "COMPATIBLE"},
    "PyTorch, oneDNN and MKL with AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


def main(
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write")],
    params: Annotated[Path, typer.Option(help="params.yaml of the tiny pipeline")] = Path(
        "results/cpu-levels/params.yaml"
    ),
    python: Annotated[Path, typer.Option(help="interpreter that runs the stages")] = Path(sys.executable),
    only: Annotated[str, typer.Option(help="settings whose name holds this text, and the first")] = "",
) -> None:
    """Run the stages once per setting, and say how far each output lies from the first run's."""
    table: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as work:
        first = _run(Path(work) / "0", params, Path(sys.executable), {})
        for number, (name, variables) in enumerate(SETTINGS.items(), start=1):
            if only in name:
                folder = _run(Path(work) / str(number), params, python, variables)
                table[name] = {
                    output: _difference(first / output, folder / output)
                    for outputs in OUTPUTS.values()
                    for output in outputs
                }
                print(
                    name, json.dumps({key: value for key, value in table[name].items() if value}), flush=True
                )
    write_json(json_file, {"cpu": hardware()["processor"], "python": str(python.name), "differences": table})


def _run(folder: Path, params: Path, python: Path, variables: dict[str, str]) -> Path:
    # NumPy only warns of a name that it does not know, and then switches nothing off.
    subprocess.run(
        [python, "-W", "error::ImportWarning", "-c", "import numpy"],
        env=environment() | variables,
        check=True,
        capture_output=True,
    )
    clone_for_study(folder, params)
    numba = {"NUMBA_CACHE_DIR": str(folder / ".numba")}
    for stage in STAGES:
        subprocess.run(
            [python, "-m", f"stages.{stage}"],
            cwd=folder,
            env=environment() | {"ADVAUDIO_WORKERS": "1"} | numba | variables,
            check=True,
            capture_output=True,
        )
    return folder


def _difference(reference: Path, other: Path) -> dict[str, float] | None:
    """None if the bytes are the same; otherwise how many values differ, and the largest difference."""
    digests = [hashlib.sha256(path.read_bytes()).digest() for path in (reference, other)]
    if digests[0] == digests[1]:
        return None
    pairs = list(zip(_arrays(reference), _arrays(other), strict=True))
    values = sum(a.size for a, _ in pairs)
    return {
        "values": values,
        "share_different": sum(int((a != b).sum()) for a, b in pairs) / max(1, values),
        "largest": max((float(np.abs(a - b).max()) for a, b in pairs if a.size), default=0.0),
    }


def _arrays(path: Path) -> list[np.ndarray[Any, Any]]:
    if path.suffix == ".npy":
        return [np.asarray(open_array(path), dtype=np.float64)]
    if path.suffix == ".safetensors":
        return [value.astype(np.float64) for _, value in sorted(load_file(path).items())]
    return []


if __name__ == "__main__":
    typer.run(main)
