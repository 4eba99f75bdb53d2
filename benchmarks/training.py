"""Training beside a plain loop and ART: speed, and time to an accuracy.

    python -m benchmarks.training speed --model resnet18 --size 128 --batch-size 256 --json speed.json
    python -m benchmarks.training speed --quick
    python -m benchmarks.training race --pictures pictures.npy --split split.csv --classes 50 --json race.json

Both commands run all competitors in one process, in turn. `speed --quick` takes few small pictures: a minute or two
on two cores.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import torch
import typer

from advaudio.clips.split_table import read_split
from advaudio.core.determinism import exact_training
from advaudio.core.files import open_array
from advaudio.core.settings import Compile, TrainingSettings
from advaudio.training.pictures import picture_facts
from advaudio.training.steps import Mode
from benchmarks.measurements import Measurements, refuse_beside_quick, seconds_of, synchronise
from benchmarks.training_loops import CLASSES, art_loop, network, ours_loop, plain_loop
from benchmarks.training_race import Race, record, run_race

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

PEAK_BFLOAT16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 FLOP/s by the makers' data sheets (SXM)."""

JsonFile = Annotated[Path | None, typer.Option("--json", help="JSON file to write")]
Quick = Annotated[bool, typer.Option("--quick", help="few small pictures: a minute on two cores")]
LIBRARIES = ("torchvision", "adversarial-robustness-toolbox")
Pictures = Annotated[Path, typer.Option(help=".npy of float32 pictures in [0, 1]")]
SplitFile = Annotated[Path, typer.Option(help="split.csv")]


def _device(name: str) -> torch.device:
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


class _Competitor:
    """Trains one network over and over on the same pictures, `epoch()` by `epoch()`."""

    def __init__(self, task: str, name: str, images: int, epoch: Callable[[], None]) -> None:
        self.task = task
        self.name = name
        self.images = images
        self.epoch = epoch
        self.rates: list[float] = []

    def measure(self, device: torch.device) -> None:
        self.rates.append(self.images / seconds_of(self.epoch, device))

    def report(self, measured: Measurements) -> float:
        """Record the rates, and return the median."""
        # The first epoch compiles, records and fills caches.
        return measured.add_speeds(self.task, self.name, self.rates[1:])


@app.command()
def speed(
    context: typer.Context,
    model: str = "resnet18",
    size: int = 128,
    batch_size: int = 256,
    samples: int = 8192,
    rounds: int = 4,
    device: str = "auto",
    loader_workers: int = 8,
    art: bool = True,
    quick: Quick = False,
    json_file: JsonFile = None,
) -> None:
    """Images per second and memory: ours in each mode, a plain loop, and ART, clean and FGSM-trained."""
    where = _device(device)
    if quick:
        refuse_beside_quick(context, "model", "device", "art", "json_file")
        # A GPU replays recorded steps from the fourth on, which needs more of them to be timed.
        samples = 2048 if where.type == "cuda" else 128
        size, batch_size, rounds, loader_workers = 64, 32, 2, 2
    generator = np.random.default_rng(0)
    samples = samples // batch_size * batch_size
    pictures = generator.random((samples, size, size), dtype=np.float32)
    labels = generator.integers(CLASSES, size=samples)
    modes: list[Mode] = ["eager", "graph", "compiled"] if where.type == "cuda" else ["eager"]
    if where.type == "cpu":
        torch.set_num_threads(1)
    measured = Measurements(LIBRARIES, str(where))
    tasks = {None: f"plain training of {model}", "fgsm": f"FGSM training of {model}"}
    builders: list[tuple[str, str, Callable[[], Callable[[], None]]]] = []
    for defence, task in tasks.items():
        for mode in modes:
            ours = partial(ours_loop, model, defence, mode, pictures, labels, batch_size, where)
            builders.append((task, f"ours, {mode}", ours))
        plain = partial(plain_loop, model, defence, pictures, labels, batch_size, where, loader_workers)
        builders.append((task, "plain loop", plain))
    if art:
        name = "ART, fast is better than free"
        builders.append((tasks["fgsm"], name, partial(art_loop, model, pictures, labels, batch_size, where)))
    competitors = []
    with exact_training(where, False):
        for task, name, build in builders:
            try:
                if where.type == "cuda":
                    measured.add(task, name, "peak memory", _memory_alone(build, where) / 2**20, "MiB")
                competitors.append(_Competitor(task, name, samples, build()))
            except ImportError as error:
                measured.fail(task, name, error)
        for _ in range(rounds + 1):
            for competitor in competitors:
                competitor.measure(where)
    flops = _flops_per_image(model, size)
    gpu = str(measured.circumstances["hardware"].get("gpu"))
    peak = next((value for name, value in PEAK_BFLOAT16.items() if name in gpu), None)
    for competitor in competitors:
        rate = competitor.report(measured)
        if competitor.name.startswith("ours") and peak:
            passes = 2 if competitor.task == tasks["fgsm"] else 1
            share = rate * flops * passes / peak
            measured.add(competitor.task, competitor.name, "model-FLOPs utilisation", share, "1")
    best = f"ours, {modes[-1]}"
    rates = {defence: measured.value(task, best, "speed, median") for defence, task in tasks.items()}
    for defence, task in tasks.items():
        slower = measured.value(task, "plain loop", "speed, median")
        measured.add(task, best, "speed over the plain loop", rates[defence] / slower, "1")
    measured.add(tasks["fgsm"], best, "time over plain training", rates[None] / rates["fgsm"], "1")
    print(measured.table())
    if json_file is not None:
        measured.write(
            json_file,
            size=size,
            batch_size=batch_size,
            samples=samples,
            rounds=rounds,
            loader_workers=loader_workers,
            threads=torch.get_num_threads(),
            training_flops_per_image=flops,
        )


def _memory_alone(build: Callable[[], Callable[[], None]], device: torch.device) -> int:
    """Bytes of the device's memory that a competitor reserves for an epoch, beyond what was reserved before."""
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved(device)
    torch.cuda.reset_peak_memory_stats(device)
    epoch = build()
    epoch()
    synchronise(device)
    reserved = torch.cuda.max_memory_reserved(device) - before
    del epoch
    gc.collect()
    torch.cuda.empty_cache()
    return reserved


def _flops_per_image(model_name: str, size: int) -> float:
    """Floating-point operations of one forward and backward pass, a multiply-add counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    model = network(model_name, size, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model.all_logits(torch.rand(2, 1, size, size))[0].sum().backward()
    return counter.get_total_flops() / 2


@app.command()
def race(
    pictures: Pictures,
    split: SplitFile,
    classes: int = 50,
    model: str = "resnet18",
    epochs: int = 20,
    batch_size: int = 64,
    repeats: int = 1,
    compile: Annotated[str, typer.Option(help="auto, always or off, as training.compile")] = "auto",
    float32: Annotated[bool, typer.Option("--float32", help="ours in float32 too")] = False,
    device: str = "auto",
    loader_workers: int = 8,
    json_file: JsonFile = None,
) -> None:
    """Trainings of all folds: seconds, and what accuracy comes out, of ours and of a plain float32 loop."""
    where = _device(device)
    array = open_array(pictures)
    if epochs < 2:
        raise typer.BadParameter("the first epoch alone shows no speed", param_hint="--epochs")
    chosen = TrainingSettings(optimiser="adamw", batch_size=batch_size, compile=cast(Compile, compile))
    settings = chosen.for_model(model, False)
    contest = Race(
        model,
        array,
        picture_facts(pictures),
        read_split(split, classes, len(array)),
        classes,
        epochs,
        settings,
        loader_workers,
        where,
        float32,
    )
    if not contest.images():
        raise typer.BadParameter("larger than what a fold trains on", param_hint="--batch-size")
    # What the first optimiser on a device imports and starts counts for none.
    torch.optim.AdamW([torch.zeros(1, device=where, requires_grad=True)])
    measured = Measurements(LIBRARIES, str(where))
    record(run_race(contest, repeats, print), model, contest.images(), measured)
    print(measured.table())
    if json_file is not None:
        measured.write(
            json_file,
            epochs=epochs,
            batch_size=batch_size,
            repeats=repeats,
            compile=compile,
            float32=float32,
            loader_workers=loader_workers,
            images_per_epoch=contest.images(),
        )


if __name__ == "__main__":
    app()
