"""One task of an evaluation: an attack with one budget on a few clips of one model, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack
from advaudio.attack_interface.problem import Goal, Outcome
from advaudio.core import parallel
from advaudio.core.determinism import exact_attack
from advaudio.core.resume import digest_of, written_whole
from advaudio.evaluation.model_source import ModelSource, load


@dataclass(frozen=True)
class Chunk:
    """A task.

    Attributes
    ----------
    attack, model
        What attacks, and what is attacked.
    depends_on
        Digests of everything that the result depends on, but for the arrays and the device.
    pictures, labels, targets
        (n, height, width) float32 in [0, 1], and (n,) int.
    starting_points
        Like the pictures, NaN where there are none; None for an attack that needs none.
    checkpoint
        Folder in which the result is kept; None: it is not.
    """

    attack: Attack
    model: ModelSource
    depends_on: tuple[str, ...]
    pictures: NDArray[Any]
    labels: NDArray[Any]
    targets: NDArray[Any]
    starting_points: NDArray[Any] | None = None
    checkpoint: Path | None = None


@dataclass(frozen=True)
class ChunkResult:
    """Adversarial pictures (the clean ones where `found` is False), their labels, and the counts (n, 4)."""

    adversarial: NDArray[Any]
    found: NDArray[Any]
    labels: NDArray[Any]
    counts: NDArray[Any]


def run_chunk(task: Chunk) -> ChunkResult:
    """Attack the clips of one task on the worker's device, or read the result that an earlier run left."""
    kept = task.checkpoint / f"{_name(task)}.safetensors" if task.checkpoint else None
    if kept is not None:
        earlier = _read(kept)
        if earlier is not None:
            return earlier
    device = torch.device(parallel.device())
    with exact_attack(device):
        result = _attack(task, load(task.model, str(device)), device)
    if kept is not None:
        with written_whole(kept) as temporary:
            save_file({name: np.ascontiguousarray(value) for name, value in vars(result).items()}, temporary)
    return result


def _name(task: Chunk) -> str:
    described = [*task.depends_on, torch.device(parallel.device()).type]
    return digest_of(described, arrays=[task.pictures, task.labels, task.targets, task.starting_points])[:40]


def _attack(task: Chunk, model: nn.Module, device: torch.device) -> ChunkResult:
    targeted = not task.attack.untargeted_only
    pictures = _pictures(task.pictures, device)
    classes = torch.as_tensor(task.targets if targeted else task.labels, device=device, dtype=torch.int64)
    starts = None if task.starting_points is None else _pictures(task.starting_points, device)
    goal = Goal(classes, targeted, task.attack.confidence)
    outcome = _search(task.attack, model, pictures, goal, starts)
    with torch.no_grad():
        labels = model(outcome.adversarial).argmax(1)
    return ChunkResult(
        adversarial=outcome.adversarial[:, 0].cpu().numpy(),
        found=outcome.found.cpu().numpy(),
        labels=labels.cpu().numpy(),
        counts=outcome.counts.cpu().numpy(),
    )


def _search(attack: Attack, model: nn.Module, pictures: Tensor, goal: Goal, starts: Tensor | None) -> Outcome:
    """Attack a batch, in halves if it does not fit into the GPU's memory."""
    try:
        return attack.search(model, pictures, goal, starting_points=starts)
    except torch.OutOfMemoryError:
        if len(pictures) == 1:
            raise
    torch.cuda.empty_cache()
    halves = []
    for rows in torch.arange(len(pictures), device=pictures.device).tensor_split(2):
        own = None if starts is None else starts[rows]
        halves.append(_search(attack, model, pictures[rows], goal.select(rows), own))
    return Outcome(
        *(torch.cat([getattr(half, name) for half in halves]) for name in ("adversarial", "found", "counts"))
    )


def _pictures(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)[:, None]


def _read(path: Path) -> ChunkResult | None:
    try:
        return ChunkResult(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None
