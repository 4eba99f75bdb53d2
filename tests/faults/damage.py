"""Ways to spoil a file that a stage reads."""

from __future__ import annotations

import io
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

MARKER = "ADVAUDIO_PICKLE_RAN"


class Bomb:
    """A pickle of this leaves the file `MARKER` where it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.system, (f"touch {MARKER}",)


def _empty(content: bytes, generator: random.Random) -> bytes:
    return b""


def _truncated(content: bytes, generator: random.Random) -> bytes:
    kept = content[: generator.randrange(1, len(content))]
    # Cut between two lines, a table is a whole, shorter table.
    return kept.rstrip(b"\n") or content[:1]


def _other_head(content: bytes, generator: random.Random) -> bytes:
    return generator.randbytes(16) + content[16:]


def _text(content: bytes, generator: random.Random) -> bytes:
    return b"<!doctype html><title>404</title>Not found\n"


def _picture(content: bytes, generator: random.Random) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + generator.randbytes(200)


def _other_array(content: bytes, generator: random.Random) -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(7, dtype=generator.choice(["<i8", "<f8", "<c16"])))
    return file.getvalue()


def _pickled_array(content: bytes, generator: random.Random) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    return file.getvalue()


def _pickle(content: bytes, generator: random.Random) -> bytes:
    return pickle.dumps(Bomb())


def _other_json(content: bytes, generator: random.Random) -> bytes:
    return b'[{"picked": 3}]\n'


def _other_table(content: bytes, generator: random.Random) -> bytes:
    return b"name,price\nx,1\n"


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "empty": _empty,
    "truncated": _truncated,
    "other head": _other_head,
    "web page": _text,
    "picture": _picture,
    "other array": _other_array,
    "pickled array": _pickled_array,
    "pickle": _pickle,
    "other JSON": _other_json,
    "other table": _other_table,
}


def spoil(path: Path, kind: str, generator: random.Random) -> bytes:
    """Spoil the file, and return what it held."""
    content = path.read_bytes()
    path.write_bytes(DAMAGES[kind](content, generator))
    return content
