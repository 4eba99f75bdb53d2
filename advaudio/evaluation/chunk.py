"""One task of an evaluation: an attack with one budget on a few clips of one model, resumable."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from advaudio.attack_interface import oracle
from advaudio.attack_interface.base import Attack, Goal, Outcome
from advaudio.attack_interface.registry import make_attack
from advaudio.core import parallel
from advaudio.core.determinism import exact_attack
from advaudio.core.files import atomic_path, library_writes
from advaudio.models import classifier, model_file, registry, resnet56
from advaudio.models.model_file import load_model, read_metadata
from advaudio.models.registry import own_code
from advaudio.robustness.fooling_curve import Array

NETWORKS = (classifier, model_file, registry, resnet56)
"""Modules that the published networks are made of."""
ModelSource = Path | nn.Module
"""A model file, or a module (in tests and notebooks)."""


@dataclass(frozen=True)
class Chunk:
    """A task. Pictures are (n, height, width) float32; starting points likewise, NaN where there are none.

    `checkpoint` is a folder in which the result is kept under a digest of everything that it depends on.
    """

    attack: str
    settings: Mapping[str, Any]
    seed: int
    model: ModelSource
    model_digest: str
    pictures: Array
    labels: Array
    targets: Array
    starting_points: Array | None = None
    checkpoint: Path | None = None


@dataclass(frozen=True)
class ChunkResult:
    """Adversarial pictures (the clean ones where `found` is False), their labels, and the counts (n, 4)."""

    adversarial: Array
    found: Array
    labels: Array
    counts: Array


def build_attack(name: str, settings: Mapping[str, Any], seed: int) -> Attack:
    """Build an attack by name; one with a `seed` gets this one, unless its settings say otherwise."""
    attack = make_attack(name, **settings)
    if "seed" in inspect.signature(type(attack)).parameters and "seed" not in settings:
        attack = make_attack(name, **settings, seed=seed)
    return attack


def run_chunk(task: Chunk) -> ChunkResult:
    """Attack the clips of one task on the worker's device, or read the result that an earlier run left."""
    kept = task.checkpoint / f"{digest(task)}.safetensors" if task.checkpoint else None
    if kept is not None:
        earlier = _read(kept)
        if earlier is not None:
            return earlier
    device = torch.device(parallel.device())
    with exact_attack(device):
        result = _attack(task, load(task.model, str(device)), device)
    if kept is not None:
        with atomic_path(kept) as temporary, library_writes():
            save_file({name: np.ascontiguousarray(value) for name, value in vars(result).items()}, temporary)
    return result


def digest(task: Chunk) -> str:
    """Name everything that a task's result depends on, the code of the attack and of the networks included."""
    attack = build_attack(task.attack, task.settings, task.seed)
    code = [Path(inspect.getfile(kind)).read_bytes() for kind in type(attack).__mro__ if _ours(kind)]
    code += [Path(inspect.getfile(module)).read_bytes() for module in (*NETWORKS, oracle)]
    code.append(Path(__file__).read_bytes())
    described = json.dumps(
        [task.attack, dict(task.settings), task.seed, task.model_digest, torch.__version__]
    )
    whole = hashlib.sha256(described.encode() + parallel.device().split(":")[0].encode())
    arrays = [task.pictures, task.labels, task.targets, task.starting_points]
    for part in [*code, *(np.ascontiguousarray(array).tobytes() for array in arrays if array is not None)]:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:40]


def model_digest(source: ModelSource) -> str:
    """SHA-256 of a model file and a user's own code of the network, or of a module's parameters and buffers."""
    whole = hashlib.sha256()
    if isinstance(source, Path):
        code = own_code(read_metadata(source)["model"])
        for path in (source, code) if code else (source,):
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.hexdigest()
    for name, value in source.state_dict().items():
        whole.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def load(source: ModelSource, device: str) -> nn.Module:
    """Return the model in evaluation mode on the device, its parameters out of the gradient's way."""
    if isinstance(source, Path):
        # A file written anew is another one: hashing it for every chunk would take longer than a small chunk.
        file = source.stat() if source.exists() else None
        return _load_file(source, file and (file.st_ino, file.st_mtime_ns), device)
    model = copy.deepcopy(source).to(device).eval()
    return model.requires_grad_(False)


@functools.lru_cache(maxsize=2)
def _load_file(path: Path, written: tuple[int, int] | None, device: str) -> nn.Module:
    return load_model(path, device)


def _attack(task: Chunk, model: nn.Module, device: torch.device) -> ChunkResult:
    attack = build_attack(task.attack, task.settings, task.seed)
    targeted = not attack.untargeted_only
    pictures = _pictures(task.pictures, device)
    classes = torch.as_tensor(task.targets if targeted else task.labels, device=device, dtype=torch.int64)
    starts = None if task.starting_points is None else _pictures(task.starting_points, device)
    outcome = _search(attack, model, pictures, Goal(classes, targeted, attack.confidence), starts)
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
    middle = len(pictures) // 2
    parts = []
    for part in (slice(0, middle), slice(middle, None)):
        rows = torch.arange(len(pictures), device=pictures.device)[part]
        parts.append(
            _search(
                attack, model, pictures[part], goal.select(rows), None if starts is None else starts[part]
            )
        )
    return Outcome(
        *(torch.cat([getattr(half, name) for half in parts]) for name in ("adversarial", "found", "counts"))
    )


def _pictures(array: Array, device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)[:, None]


def _read(path: Path) -> ChunkResult | None:
    try:
        return ChunkResult(**load_file(path))
    except (OSError, SafetensorError, TypeError):
        return None


def _ours(kind: type) -> bool:
    return issubclass(kind, Attack)
