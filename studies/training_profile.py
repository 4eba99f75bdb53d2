"""What bounds our training: which kernels an epoch's time goes to, as shares of the device's busy time.

python -m studies.training_profile --mode compiled --json results/training/profile.json
"""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import typer

from advaudio.core.determinism import exact_training
from advaudio.training.steps import Mode
from benchmarks.measurements import Measurements, synchronise
from benchmarks.training_loops import CLASSES, ours_loop

KEPT = 25
"""Kernels that are recorded, those with the most time."""


def main(
    model: str = "resnet18",
    size: int = 128,
    batch_size: int = 256,
    mode: Annotated[str, typer.Option(help="eager, graph or compiled; on a CPU eager")] = "graph",
    defence: Annotated[str, typer.Option(help="none, fgsm, fgsm_rs or pgd")] = "none",
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
) -> None:
    """Profile the second epoch of sixteen batches, print, and write."""
    where = torch.device(device)
    on_cuda = where.type == "cuda"
    chosen_mode = cast(Mode, mode) if on_cuda else "eager"
    generator = np.random.default_rng(0)
    pictures = generator.random((16 * batch_size, size, size), dtype=np.float32)
    labels = generator.integers(CLASSES, size=len(pictures))
    activity = torch.profiler.ProfilerActivity.CUDA if on_cuda else torch.profiler.ProfilerActivity.CPU
    with exact_training(where, False):
        chosen = None if defence == "none" else defence
        epoch = ours_loop(model, chosen, chosen_mode, pictures, labels, batch_size, where)
        epoch()
        synchronise(where)
        started = time.perf_counter()
        with torch.profiler.profile(activities=[activity]) as profiler:
            epoch()
            synchronise(where)
        wall = time.perf_counter() - started
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        spent[event.key[:120]] += event.self_device_time_total if on_cuda else event.self_cpu_time_total
    busy = sum(spent.values())
    measured = Measurements(device=device)
    task = f"an epoch of {model}, {chosen_mode}, defence {defence}"
    measured.add(task, "all kernels", "share of the time", busy / 1e6 / wall, "1")
    for name, time_there in sorted(spent.items(), key=lambda item: -item[1])[:KEPT]:
        measured.add(task, name, "share of the kernels' time", time_there / busy, "1")
    print(measured.table())
    if json_file is not None:
        measured.write(json_file, size=size, batch_size=batch_size)


if __name__ == "__main__":
    typer.run(main)
