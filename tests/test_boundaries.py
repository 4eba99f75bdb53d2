"""Who may import whom: the library knows no pipeline, nothing needs the tests, and every package is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOPS = ("advaudio", "benchmarks", "experiments", "stages", "studies", "tests")
FORBIDDEN = {
    "advaudio": {
        *("benchmarks", "experiments", "stages", "studies", "tests"),
        *("dask", "distributed", "dvc", "dvc_data", "hydra", "omegaconf"),
    },
    "benchmarks": {"experiments", "stages", "studies", "tests"},
    "experiments": {"benchmarks", "stages", "studies", "tests"},
    "stages": {"benchmarks", "studies", "tests"},
    "studies": {"tests"},
}
PRODUCT = ("advaudio", "experiments", "stages")


def imported(top: Path) -> Iterator[tuple[Path, str]]:
    """Every Python file below `top` with the packages that it imports, at its head or within a function."""
    for path in sorted(top.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                yield path, name.partition(".")[0]


def crossings(root: Path) -> list[str]:
    """Imports that `FORBIDDEN` forbids, as "file imports package"."""
    return sorted(
        {
            f"{path.relative_to(root).as_posix()} imports {name}"
            for top, names in FORBIDDEN.items()
            for path, name in imported(root / top)
            if name in names
        }
    )


def test_no_room_imports_what_it_must_not_know() -> None:
    assert [top for top in TOPS if not list((ROOT / top).rglob("*.py"))] == []
    assert crossings(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("benchmarks/speed.py", "from tests.attacks import networks"),
        ("studies/growth.py", "import tests.pipeline.clone"),
        ("advaudio/core/files.py", "from dvc.repo import Repo"),
        ("advaudio/training/folds.py", "def late():\n    import distributed"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(line, encoding="utf-8")
    assert [found.partition(" ")[0] for found in crossings(tmp_path)] == [file]


def test_every_package_that_the_product_imports_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["sweep"]]
    declared = {_normal(re.split(r"[<>=!~\[; ]", line)[0]) for line in lines}
    provided = packages_distributions()
    undeclared = {
        f"{path.relative_to(ROOT).as_posix()} imports {name}"
        for top in PRODUCT
        for path, name in imported(ROOT / top)
        if name not in TOPS
        and name not in sys.stdlib_module_names
        and not {_normal(package) for package in provided.get(name, ())} & declared
    }
    assert sorted(undeclared) == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
