"""Steps of a training by layout, precision, batch, compilation and folds at once: pictures a second (CUDA).

    python -m studies.training_layouts --network resnet56 --height 152 --width 128 --json results/training/layouts.json

A step is a forward pass, a backward pass and AdamW's, recorded as a CUDA graph; with several folds each has a graph and a
stream of its own. Each line is what a replay takes, without the batches' way to the device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from torch.nn import functional

from advaudio.models.registry import build_model
from benchmarks.measurements import Measurements
from benchmarks.training_loops import CLASSES

Precision = Literal["bfloat16", "float16", "bfloat16 weights"]
WARM_UP, REPLAYS = 3, 12


@dataclass(frozen=True)
class Way:
    """A way to run the steps of a training.

    Attributes
    ----------
    batch
        Pictures of a step.
    precision
        Of the passes (autocast), or of the weights too.
    channels_last, compiled
        Layout in memory, and whether inductor fuses the network.
    folds
        Networks that are trained at once.
    """

    batch: int
    precision: Precision = "bfloat16"
    channels_last: bool = True
    compiled: bool = False
    folds: int = 1

    @property
    def name(self) -> str:
        """For tables."""
        layout = "channels last" if self.channels_last else "channels first"
        parts = [f"batches of {self.batch}", self.precision, layout]
        return ", ".join(
            parts + ["compiled"] * self.compiled + [f"{self.folds} folds at once"] * (self.folds > 1)
        )


WAYS = (
    Way(32),
    Way(256),
    Way(256, channels_last=False),
    Way(256, "float16"),
    Way(256, "float16", channels_last=False),
    Way(256, "bfloat16 weights"),
    Way(32, folds=5),
    Way(128, folds=5),
    Way(1024),
    Way(256, compiled=True),
)


def step_of(network: str, size: tuple[int, int], way: Way, seed: int) -> Callable[[], None]:
    """One step of a network of its own on random pictures."""
    model = build_model(network, CLASSES, size, seed=seed).to("cuda").train()
    if way.channels_last:
        model.channels_last()
    x = torch.rand(way.batch, 1, *size, device="cuda")
    y = torch.randint(CLASSES, (way.batch,), device="cuda")
    if way.precision == "bfloat16 weights":
        model, x = model.to(torch.bfloat16), x.to(torch.bfloat16)
    low = torch.float16 if way.precision == "float16" else torch.bfloat16
    all_logits = torch.compile(model.all_logits, dynamic=False) if way.compiled else model.all_logits
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True, capturable=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", low, enabled=way.precision != "bfloat16 weights"):
            logits = all_logits(x)[0]
        functional.cross_entropy(logits.float(), y).backward()
        optimiser.step()

    return step


def graph_of(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Record a step, after a few on a stream of their own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def pictures_per_second(network: str, size: tuple[int, int], way: Way) -> tuple[float, float]:
    """Of all folds together, and the seconds until the first replay."""
    begun = time.perf_counter()
    graphs = [graph_of(step_of(network, size, way, seed)) for seed in range(way.folds)]
    start = time.perf_counter() - begun
    streams = [torch.cuda.Stream() for _ in graphs]

    def replay(times: int) -> None:
        for _ in range(times):
            for graph, stream in zip(graphs, streams, strict=True):
                with torch.cuda.stream(stream):
                    graph.replay()
        torch.cuda.synchronize()

    replay(2)
    begun = time.perf_counter()
    replay(REPLAYS)
    return REPLAYS * way.folds * way.batch / (time.perf_counter() - begun), start


def main(
    network: str = "resnet56",
    height: int = 152,
    width: int = 128,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
) -> None:
    """Measure every way, print, and write."""
    if not torch.cuda.is_available():
        raise typer.BadParameter("this study records CUDA graphs, and there is no CUDA device")
    torch.backends.cudnn.benchmark = True
    measured = Measurements(device="cuda")
    task = f"{network}, {height} × {width}"
    for way in WAYS:
        try:
            speed, start = pictures_per_second(network, (height, width), way)
        except RuntimeError as error:
            measured.fail(task, way.name, error)
            continue
        measured.add(task, way.name, "speed", speed, "pictures/s")
        measured.add(task, way.name, "seconds to the first replay", start, "s")
        print(f"{task}: {way.name}: {speed:,.0f} pictures/s", flush=True)
        torch.cuda.empty_cache()
    print(measured.table())
    if json_file is not None:
        measured.write(json_file, network=network, size=[height, width])


if __name__ == "__main__":
    typer.run(main)
