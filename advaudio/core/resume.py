"""Going on where a killed run stopped: finished work is kept under a digest of all that it depends on.

Whoever computes something long names it by `digest_of` the parameters, the code and the data, writes its state with
`written_whole`, and finds it again by the same name. A change of any of them gives another name, so that nothing
outdated is ever read.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import advaudio
from advaudio.core.files import atomic_path, library_writes


def digest_of(
    described: Any, *, code: Iterable[Path] = (), arrays: Iterable[NDArray[Any] | None] = ()
) -> str:
    """Name a piece of work by everything that it depends on.

    Parameters
    ----------
    described
        JSON values: parameters, the digests of other files, versions of libraries.
    code
        Source files, by whose name and content it changes.
    arrays
        Data, by whose kind, shape and content it changes; None stands for an array that is left out.

    Returns
    -------
    str
        SHA-256 in 64 hexadecimal digits.
    """
    whole = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for path in code:
        whole.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    for array in arrays:
        if array is None:
            whole.update(b"none")
            continue
        whole.update(f"{array.dtype.str} {array.shape}".encode())
        whole.update(hashlib.sha256(array.tobytes()).digest())
    return whole.hexdigest()


def code_of(*rooms: str) -> list[Path]:
    """The Python files of rooms of the library, such as "models", in order of their names."""
    package = Path(advaudio.__file__).parent
    return [path for room in rooms for path in sorted((package / room).glob("*.py"))]


def code_digest(path: Path) -> str:
    """16 hexadecimal digits of what a Python file does, alike whatever its comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return hashlib.sha256(repr(_bare(tree)).encode()).hexdigest()[:16]


def _bare(node: Any) -> Any:
    """A syntax tree as tuples, without docstrings, and without empty fields, which differ between versions of Python."""
    if isinstance(node, list):
        return tuple(_bare(item) for item in node)
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and ast.get_docstring(node) is not None:
        fields["body"] = fields["body"][1:]
    kept = ((name, _bare(value)) for name, value in fields.items() if value is not None and value != [])
    return (type(node).__name__, *kept)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a temporary path to write a state to; on a clean exit it replaces `path`, otherwise it is removed.

    Raises
    ------
    AdvaudioError
        If it cannot be written; whatever PyTorch or safetensors raises then is taken for that.
    """
    with atomic_path(path) as temporary, library_writes():
        yield temporary
