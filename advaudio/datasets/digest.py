"""Digests of large files."""

import hashlib
from pathlib import Path

from advaudio.core.progress import Progress, silent

MEBIBYTE = 2**20


def file_digest(path: Path, algorithm: str, progress: Progress = silent) -> str:
    """Hexadecimal digest of a file.

    Parameters
    ----------
    path
        The file, read in blocks.
    algorithm
        hashlib's name, e.g. "sha256".
    progress
        Called with (MiB read, MiB in total, description).
    """
    digest = hashlib.new(algorithm, usedforsecurity=False)
    total = path.stat().st_size // MEBIBYTE + 1
    with path.open("rb") as file:
        while block := file.read(4 * MEBIBYTE):
            digest.update(block)
            progress(file.tell() // MEBIBYTE, total, f"checking {path.name}")
    progress(total, total, f"checking {path.name}")
    return digest.hexdigest()
