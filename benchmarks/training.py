"""Training measured: speed beside a plain loop and ART, time to an accuracy, what bounds it.

    python -m benchmarks.training speed --model resnet18 --size 128 --batch-size 256 --out speed.json
    python -m benchmarks.training race --pictures pictures.npy --split split.csv --classes 50 --out race.json
    python -m benchmarks.training profile --model resnet18 --size 128 --batch-size 256 --out profile.json

Every command runs all its competitors in one process, one after the other in turn, and writes one JSON file.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch.utils.data import DataLoader, TensorDataset

from advaudio.files import open_array, write_json
from advaudio.models.classifier import Classifier
from advaudio.models.registry import build_model
from advaudio.training.checkpoints import Checkpoint
from advaudio.training.loop import Epoch, Plan, Speed, train
from advaudio.training.measures import score
from advaudio.training.numerics import exact_numerics
from advaudio.training.samples import Samples, picture_facts, read_split
from advaudio.training.settings import AdversarialSettings, TrainingSettings
from advaudio.training.steps import Mode
from benchmarks.training_loops import CLASSES, art_loop, network, ours_loop, plain_loop, plain_loss

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)

PEAK_BFLOAT16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bfloat16 FLOP/s by the makers' data sheets (SXM)."""

Out = Annotated[Path, typer.Option(help="JSON file to write")]
Pictures = Annotated[Path, typer.Option(help=".npy of float32 pictures in [0, 1]")]
SplitFile = Annotated[Path, typer.Option(help="split.csv")]


def _device(name: str) -> torch.device:
    return torch.device(name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _hardware(device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    return {"device": name, "torch": torch.__version__}


class _Competitor:
    """Trains one network over and over on the same pictures, `epoch()` by `epoch()`."""

    def __init__(self, name: str, images: int, epoch: Callable[[], None]) -> None:
        self.name = name
        self.images = images
        self.epoch = epoch
        self.rates: list[float] = []
        self.memory = 0

    def measure(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        _synchronise(device)
        started = time.perf_counter()
        self.epoch()
        _synchronise(device)
        self.rates.append(self.images / (time.perf_counter() - started))
        if device.type == "cuda":
            self.memory = max(self.memory, torch.cuda.max_memory_allocated())

    def row(self) -> dict[str, Any]:
        rates = self.rates[1:]  # the first epoch compiles, records and fills caches
        return {
            "name": self.name,
            "images_per_second": statistics.median(rates),
            "lowest": min(rates),
            "highest": max(rates),
            "peak_memory_bytes": self.memory or None,
        }


@app.command()
def speed(
    out: Out,
    model: str = "resnet18",
    size: int = 128,
    batch_size: int = 256,
    samples: int = 8192,
    rounds: int = 4,
    device: str = "auto",
    loader_workers: int = 8,
    art: bool = True,
) -> None:
    """Images per second and memory: ours in each mode, a plain loop, and ART, clean and FGSM-trained."""
    where = _device(device)
    generator = np.random.default_rng(0)
    samples = samples // batch_size * batch_size
    pictures = generator.random((samples, size, size), dtype=np.float32)
    labels = generator.integers(CLASSES, size=samples)
    modes: list[Mode] = ["eager", "graph", "compiled"] if where.type == "cuda" else ["eager"]
    if where.type == "cpu":
        torch.set_num_threads(1)
    competitors = []
    with exact_numerics(where, False):
        for defence in (None, "fgsm"):
            kind = defence or "clean"
            for mode in modes:
                epoch = ours_loop(model, defence, mode, pictures, labels, batch_size, where)
                competitors.append(_Competitor(f"ours, {mode}, {kind}", samples, epoch))
            epoch = plain_loop(model, defence, pictures, labels, batch_size, where, loader_workers)
            competitors.append(_Competitor(f"plain loop, {kind}", samples, epoch))
        if art:
            epoch = art_loop(model, pictures, labels, batch_size, where)
            competitors.append(_Competitor("ART fast-is-better-than-free", samples, epoch))
        for _ in range(rounds + 1):
            for competitor in competitors:
                competitor.measure(where)
    rows = {competitor.name: competitor.row() for competitor in competitors}
    flops = _flops_per_image(model, size)
    peak = next((value for name, value in PEAK_BFLOAT16.items() if name in _hardware(where)["device"]), None)
    for name, row in rows.items():
        passes = 2 if "fgsm" in name else 1
        if name.startswith("ours"):
            row["model_flops_utilisation"] = (
                row["images_per_second"] * flops * passes / peak if peak else None
            )
    rate = {name: row["images_per_second"] for name, row in rows.items()}
    mode = modes[-1]
    ratios = {
        "clean: ours over plain": rate[f"ours, {mode}, clean"] / rate["plain loop, clean"],
        "fgsm: ours over plain": rate[f"ours, {mode}, fgsm"] / rate["plain loop, fgsm"],
        "ours: time of fgsm over clean": rate[f"ours, {mode}, clean"] / rate[f"ours, {mode}, fgsm"],
    }
    settings = {"model": model, "size": size, "batch_size": batch_size, "samples": samples}
    content = {**_hardware(where), **settings, "training_flops_per_image": flops}
    write_json(out, {**content, "rows": list(rows.values()), "ratios": ratios})
    for row in rows.values():
        print(f"{row['name']:40} {row['images_per_second']:12,.0f} images/s")
    print(ratios)


def _flops_per_image(model_name: str, size: int) -> float:
    """Floating-point operations of one forward and backward pass, a multiply-add counted as two."""
    from torch.utils.flop_counter import FlopCounterMode

    model = network(model_name, size, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model.all_logits(torch.rand(2, 1, size, size))[0].sum().backward()
    return counter.get_total_flops() / 2


@app.command()
def race(
    out: Out,
    pictures: Pictures,
    split: SplitFile,
    classes: int = 50,
    model: str = "resnet18",
    epochs: int = 20,
    batch_size: int = 64,
    fold: int = 0,
    device: str = "auto",
    loader_workers: int = 8,
) -> None:
    """Seconds to the same validation accuracy: ours beside a plain float32 loop with the same optimiser."""
    where = _device(device)
    if where.type == "cpu":
        torch.set_num_threads(1)
    array = open_array(pictures)
    table = read_split(split, classes, len(array))
    part = table.folds[fold]
    mean, std = picture_facts(pictures).mean_and_std(part.train)
    size = (array.shape[1], array.shape[2])
    settings = TrainingSettings(batch_size=batch_size, patience=epochs).for_model(model, False)
    plan = Plan(settings, None, AdversarialSettings(), classes, epochs, 0, 0, fold)

    def build() -> Classifier:
        return build_model(model, classes, size, mean=mean, std=std, seed=plan.seed_of(0))

    # What the first optimiser on a device imports and starts counts for neither.
    torch.optim.AdamW([torch.zeros(1, device=where, requires_grad=True)])
    ours: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, exact_numerics(where, False):
        started = time.perf_counter()

        def note(event: Epoch | Speed) -> None:
            if isinstance(event, Epoch):
                ours.append((time.perf_counter() - started, event.validation_accuracy))

        samples = Samples(array, table.labels, where)
        train(build(), samples, part, plan, Checkpoint(Path(folder) / "state.pt", ""), note)

    plain: list[tuple[float, float]] = []
    started = time.perf_counter()
    rival = build().to(where).train()
    optimiser = torch.optim.AdamW(
        rival.parameters(), lr=settings.learning_rate or 0.0, weight_decay=settings.weight_decay or 0.0
    )
    x = torch.from_numpy(array[part.train])[:, None]
    y = torch.from_numpy(table.labels[part.train])
    loader = DataLoader(
        TensorDataset(x, y), batch_size, shuffle=True, drop_last=True, num_workers=loader_workers
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        settings.learning_rate or 0.0,
        total_steps=epochs * len(loader),
        pct_start=settings.warm_up,
    )
    for _ in range(epochs):
        rival.train()
        for inputs, targets in loader:
            optimiser.zero_grad()
            loss = plain_loss(rival, inputs.to(where), targets.to(where))
            loss.backward()
            optimiser.step()
            schedule.step()
            loss.item()
        accuracy = score(rival, samples, part.validation, classes).accuracy
        plain.append((time.perf_counter() - started, accuracy))

    target = 0.97 * min(max(value for _, value in curve) for curve in (ours, plain))
    reached = {
        name: next(seconds for seconds, value in curve if value >= target)
        for name, curve in (("ours", ours), ("plain", plain))
    }
    content = {**_hardware(where), "model": model, "epochs": epochs, "target_validation_accuracy": target}
    curves = {"ours": ours, "plain": plain}
    write_json(out, {**content, "seconds_to_target": reached, "seconds_and_accuracy": curves})
    print(f"to {target:.1%}: ours {reached['ours']:.1f} s, plain loop {reached['plain']:.1f} s")


@app.command()
def profile(
    out: Out,
    model: str = "resnet18",
    size: int = 128,
    batch_size: int = 256,
    mode: str = "graph",
    defence: str = "none",
    device: str = "auto",
) -> None:
    """Which kernels an epoch's time goes to, as shares of the device's busy time."""
    where = _device(device)
    if where.type == "cpu":
        mode = "eager"
    generator = np.random.default_rng(0)
    pictures = generator.random((16 * batch_size, size, size), dtype=np.float32)
    labels = generator.integers(CLASSES, size=len(pictures))
    activity = (
        torch.profiler.ProfilerActivity.CUDA if where.type == "cuda" else torch.profiler.ProfilerActivity.CPU
    )
    with exact_numerics(where, False):
        chosen = None if defence == "none" else defence
        epoch = ours_loop(model, chosen, mode, pictures, labels, batch_size, where)  # type: ignore[arg-type]
        epoch()
        _synchronise(where)
        started = time.perf_counter()
        with torch.profiler.profile(activities=[activity]) as profiler:
            epoch()
            _synchronise(where)
        wall = time.perf_counter() - started
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        on_cuda = where.type == "cuda"
        spent[event.key[:120]] += event.self_device_time_total if on_cuda else event.self_cpu_time_total
    busy = sum(spent.values())
    top = sorted(spent.items(), key=lambda item: -item[1])[:25]
    shares = {name: value / busy for name, value in top}
    content = {**_hardware(where), "model": model, "size": size, "batch_size": batch_size, "mode": mode}
    write_json(out, {**content, "defence": defence, "busy_share": busy / 1e6 / wall, "kernels": shares})
    print(f"device busy {busy / 1e6 / wall:.0%} of the time")
    for name, spent_here in top[:12]:
        print(f"{spent_here / busy:7.1%}  {name[:100]}")


if __name__ == "__main__":
    app()
