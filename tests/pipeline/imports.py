"""The files of this repository that a Python module imports, directly or through others."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGES = ("advaudio", "stages")


def imported_files(script: Path, root: Path) -> set[str]:
    """Paths, relative to `root`, of the script and of every repository file it imports, transitively.

    Imports inside functions count, since they run when the function does; imports under
    `if TYPE_CHECKING:` do not, since they never run.
    """
    found: set[Path] = set()
    queue = [script]
    while queue:
        file = queue.pop()
        if file in found:
            continue
        found.add(file)
        queue += _packages_above(file, root)
        for name in _imported_names(file, root):
            queue += _files_of(name, root)
    return {file.relative_to(root).as_posix() for file in found}


def _packages_above(file: Path, root: Path) -> list[Path]:
    above = []
    folder = file.parent
    while folder != root:
        if (folder / "__init__.py").exists():
            above.append(folder / "__init__.py")
        folder = folder.parent
    return above


def _imported_names(file: Path, root: Path) -> set[str]:
    names: set[str] = set()
    package = file.parent.relative_to(root).as_posix().replace("/", ".")
    for node in _running_nodes(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] in PACKAGES}


def _running_nodes(tree: ast.AST) -> list[ast.AST]:
    nodes = []
    queue = [tree]
    while queue:
        node = queue.pop()
        nodes.append(node)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            queue += node.orelse
        else:
            queue += ast.iter_child_nodes(node)
    return nodes


def _files_of(name: str, root: Path) -> list[Path]:
    path = root / name.replace(".", "/")
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]
