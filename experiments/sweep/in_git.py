"""What cells need from the working tree, which clones have only if Git has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from advaudio.core.errors import AdvaudioError
from experiments.sweep.cells import Cell
from experiments.sweep.git import git


def require_in_git(cells: Sequence[Cell], repository: Path) -> None:
    """Refuse cells whose networks, attacks, archives or weights would not be there in a clone of the last commit.

    Raises
    ------
    AdvaudioError
        Naming every such file, the parameter that needs it, and what to do.
    """
    tracked = set(git(repository, "ls-files", "-z").split("\0"))
    faults: dict[str, None] = {}
    for params in (cell.params for cell in cells):
        for key, path in _code(params):
            for file in _with_imports(repository, path):
                if file not in tracked:
                    faults[f"{file} (`{key}`) is not in Git: `git add {file}` and commit it."] = None
        for key, path in _data(params):
            if not Path(path).is_absolute() and not _known(path, tracked):
                faults[
                    f"{path} (`{key}`) is not in Git: give the absolute path, {(repository / path).resolve()}."
                ] = None
    if faults:
        raise AdvaudioError(
            f"A sweep runs in clones of the last commit, which lack other files. {' '.join(faults)} Nothing was started."
        )


def _code(params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Files of Python code that parameters name, as paths below the repository."""
    module, colon, _ = str(params["model"]).partition(":")
    if colon:
        yield "model", module.replace(".", "/") + ".py"
        yield "model", module.replace(".", "/") + "/__init__.py"
    for name, settings in params["attacks"].items():
        if isinstance(settings.get("code"), str):
            yield f"attacks.{name}.code", settings["code"]


def _data(params: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Paths of data that the chosen data set and budget name."""
    name, budget = params["dataset"], params["budget"]
    chosen = params["datasets"][name]
    if chosen["archive"]:
        yield f"datasets.{name}.archive", str(chosen["archive"])
    for key in ("path", "table"):
        if chosen["source"].get(key):
            yield f"datasets.{name}.source.{key}", str(chosen["source"][key])
    pretrained = params["budgets"][budget]["training"]["pretrained"]
    if isinstance(pretrained, dict):
        pretrained = pretrained.get(params["model"], pretrained.get("others"))
    if pretrained not in ("none", "imagenet"):
        yield f"budgets.{budget}.training.pretrained", str(pretrained)


def _known(path: str, tracked: set[str]) -> bool:
    """Whether Git, or DVC through a `.dvc` file in Git, has this file or folder."""
    plain = Path(path).as_posix()
    above = [plain, *(parent.as_posix() for parent in Path(plain).parents)]
    return any(name in tracked or f"{name}.dvc" in tracked for name in above) or any(
        name.startswith(f"{plain}/") for name in tracked
    )


def _with_imports(repository: Path, file: str) -> list[str]:
    """This file, and the files of the repository that it imports, directly or not, as far as they are there."""
    found: list[str] = []
    waiting = [file]
    while waiting:
        name = waiting.pop()
        if name in found or not (repository / name).is_file():
            continue
        found.append(name)
        for module in _imported(repository / name, name):
            waiting += [f"{module}.py", f"{module}/__init__.py"]
    return sorted(found)


def _imported(path: Path, name: str) -> Iterator[str]:
    """Modules that a file's text imports, as paths without their ending."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # its own message comes when it is imported
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = list(Path(name).parts[: -node.level]) if node.level else []
            module = "/".join([*above, *(node.module.split(".") if node.module else [])])
            yield module
            yield from (f"{module}/{alias.name}".lstrip("/") for alias in node.names)
