"""A model that is attacked: a file, or a module (in tests and notebooks)."""

from __future__ import annotations

import copy
import functools
import hashlib
from pathlib import Path

from torch import nn

from advaudio.core.resume import digest_of, file_digest
from advaudio.models.model_file import load_model, read_metadata
from advaudio.models.registry import own_code

ModelSource = Path | nn.Module


def model_digest(source: ModelSource) -> str:
    """SHA-256 of a model file and a user's own code of the network, or of a module's parameters and buffers."""
    if isinstance(source, Path):
        code = own_code(read_metadata(source)["model"])
        return digest_of(file_digest(source), code=[code] if code else [])
    whole = hashlib.sha256()
    for name, value in source.state_dict().items():
        whole.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def load(source: ModelSource, device: str) -> nn.Module:
    """Return the model in evaluation mode on the device, its parameters out of the gradient's way."""
    if isinstance(source, Path):
        # A file that was written again is another one: hashing it for every chunk would take longer than a small
        # chunk.
        file = source.stat() if source.exists() else None
        return _load_file(source, file and (file.st_ino, file.st_mtime_ns), device)
    model = copy.deepcopy(source).to(device).eval()
    return model.requires_grad_(False)


@functools.lru_cache(maxsize=2)
def _load_file(path: Path, written: tuple[int, int] | None, device: str) -> nn.Module:
    return load_model(path, device)
