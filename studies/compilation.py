"""From how many pictures on compiling a training's steps pays, on CUDA: both ways of running them, from cold.

    python -m studies.compilation --models resnet18,resnet56 --defences fgsm,none --json compilation.json

Every training has a process and an empty compilation cache of its own. The file is written after each. What is
`planned` in it, but has no rows and is not under `failed`, an interruption left out.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from advaudio.core.determinism import exact_training
from advaudio.core.settings import DEFENCES, TrainingSettings
from advaudio.models.registry import ARCHITECTURES
from advaudio.training.steps import Mode
from benchmarks.measurements import Measurements, seconds_of
from benchmarks.training_loops import CLASSES, ours_loop

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

MODES: tuple[Mode, ...] = ("graph", "compiled")


@dataclass(frozen=True)
class Training:
    """What one process trains: `rounds` + 1 epochs of `steps` batches of square pictures."""

    model: str
    defence: str
    mode: Mode
    size: int
    batch: int
    steps: int
    rounds: int
    device: str


@app.command()
def compilation(
    models: str = ",".join(ARCHITECTURES),
    defences: Annotated[str, typer.Option(help="comma-separated: none, fgsm, fgsm_rs, pgd")] = "fgsm,none",
    size: int = 128,
    batch_size: Annotated[int | None, typer.Option(help="left out: the model's own")] = None,
    steps: Annotated[int, typer.Option(min=5, help="per epoch; the fourth is recorded")] = 40,
    rounds: Annotated[int, typer.Option(min=1, help="epochs after the first")] = 4,
    limit: Annotated[float, typer.Option(help="seconds that one process may take")] = 300.0,
    device: str = "cuda",
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
) -> None:
    """Speed and first epoch of trainings whose steps are recorded, and of those compiled besides."""
    if not device.startswith("cuda") or not torch.cuda.is_available():
        raise typer.BadParameter("steps are recorded and compiled on CUDA only", param_hint="--device")
    cells = list(product(defences.split(","), models.split(",")))
    for defence, model in cells:
        if model not in ARCHITECTURES:
            raise typer.BadParameter(f"{model} is none of {', '.join(ARCHITECTURES)}", param_hint="--models")
        if defence not in ("none", *DEFENCES):
            raise typer.BadParameter(
                f"{defence} is none of none, {', '.join(DEFENCES)}", param_hint="--defences"
            )
    measured = Measurements(device=device)
    # The first process of a machine reads the libraries from disk.
    in_own_process(Training(cells[0][1], "none", "graph", size, 8, steps, 1, device), limit)
    for defence, model in cells:
        batch = TrainingSettings(batch_size=batch_size).for_model(model, False).batch_size
        assert batch is not None
        task = f"training of {model}, defence {defence}, batches of {batch}"
        timed: dict[Mode, tuple[float, float]] = {}
        for mode in MODES:
            try:
                training = Training(model, defence, mode, size, batch, steps, rounds, device)
                seconds = in_own_process(training, limit)
            except (TimeoutError, ChildProcessError) as error:
                measured.fail(task, mode, error)
            else:
                measured.add(task, mode, "first epoch", seconds[0], "s")
                rates = [steps * batch / second for second in seconds[1:]]
                timed[mode] = seconds[0], measured.add_speeds(task, mode, rates)
            if len(timed) == len(MODES):
                _compare(measured, task, timed)
            if json_file is not None:
                planned = [list(cell) for cell in cells]
                measured.write(json_file, size=size, steps=steps, rounds=rounds, limit=limit, planned=planned)
        print(f"{task}: {timed}", flush=True)
    print(measured.table())


def _compare(measured: Measurements, task: str, timed: dict[Mode, tuple[float, float]]) -> None:
    faster = timed["compiled"][1] / timed["graph"][1]
    measured.add(task, "compiled", "speed over the recorded steps", faster, "1")
    if faster > 1:
        measured.add(task, "compiled", "pays from", pays_from(*timed["graph"], *timed["compiled"]), "images")


def pays_from(graph_start: float, graph_rate: float, compiled_start: float, compiled_rate: float) -> float:
    """Pictures after which what compiled later starts, in seconds, has caught up by its rate, in pictures/s."""
    return max(0.0, compiled_start - graph_start) / (1 / graph_rate - 1 / compiled_rate)


def in_own_process(training: Training, limit: float) -> list[float]:
    """Seconds of every epoch.

    Raises
    ------
    TimeoutError
        If it takes longer than `limit` seconds.
    ChildProcessError
        If the process ends without a result; its own message is on standard error.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = context.Process(target=_epochs, args=(theirs, folder, training))
        process.start()
        theirs.close()
        try:
            if not ours.poll(limit):
                raise TimeoutError(f"not done after {limit:g} s")
            try:
                seconds: list[float] = ours.recv()
            except EOFError:
                process.join()
                raise ChildProcessError(f"ended with code {process.exitcode}") from None
            # Of itself it also ends the processes that it compiles in.
            process.join(10)
            return seconds
        finally:
            ours.close()
            process.kill()
            process.join()


def _epochs(connection: Connection, folder: str, training: Training) -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
    os.environ["TRITON_CACHE_DIR"] = str(Path(folder) / "triton")
    device, batch = torch.device(training.device), training.batch
    generator = np.random.default_rng(0)
    shape = training.steps * batch, training.size, training.size
    pictures = generator.random(shape, dtype=np.float32)
    labels = generator.integers(CLASSES, size=len(pictures))
    defence = None if training.defence == "none" else training.defence
    with exact_training(device, False):
        epoch = ours_loop(training.model, defence, training.mode, pictures, labels, batch, device)
        connection.send([seconds_of(epoch, device) for _ in range(training.rounds + 1)])


if __name__ == "__main__":
    app()
