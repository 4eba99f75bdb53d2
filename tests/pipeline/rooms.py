"""What each stage uses of the rooms that dvc.yaml declares for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from advaudio.core.params import read_params
from advaudio.datasets.source import source_names
from tests.pipeline.clone import ROOT
from tests.pipeline.imports import imported_files

STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
ATTACKS = read_params(ROOT / "params.yaml").attacks
CODE = ("advaudio", "stages")
PAGE_FILES = (".html", ".css", ".js")


def declared_code(stage: dict[str, Any]) -> set[str]:
    """Rooms and files of code among a stage's dependencies, as dvc.yaml writes them."""
    return {dep for dep in stage.get("do", stage)["deps"] if dep.split("/")[0] in CODE or dep in SELECTED}


def _files_of_attacks() -> list[str]:
    return [str(settings["code"]) for settings in ATTACKS.values()]


SELECTED: dict[str, Callable[[], list[str]]] = {"${item.code}": _files_of_attacks}
"""Dependencies of which one is chosen by a parameter, with all that there are."""


def imported(stage: str, root: Path = ROOT) -> set[str]:
    """Files of code that a stage imports, but for the attack that a parameter selects."""
    scripts = [root / "stages" / f"{stage}.py"]
    if stage == "download":  # a data set is imported by the name in `dataset`
        scripts += [root / "advaudio" / "datasets" / f"{name}.py" for name in source_names()]
    found = {file for script in scripts for file in imported_files(script, root)}
    for selected in declared_code(STAGES[stage]) & SELECTED.keys():
        for module in SELECTED[selected]():
            found |= imported_files(root / module, root) - {module}
    return found


def below(file: str, declared: Iterable[str]) -> bool:
    """Whether a file is one of the declared paths, or lies below one."""
    return any(file == path or file.startswith(f"{path}/") for path in declared)


def undeclared(used: Iterable[str], declared: Iterable[str]) -> list[str]:
    """Files that are used and lie below no declared path."""
    wanted = list(declared)
    return sorted(file for file in used if not below(file, wanted))


def unused(used: Iterable[str], declared: Iterable[str]) -> list[str]:
    """Declared paths below which nothing is used."""
    found = list(used)
    return sorted(path for path in declared if not any(below(file, [path]) for file in found))


def files_of(rooms: Iterable[str], root: Path = ROOT) -> set[str]:
    """Python files of the declared rooms (folders); single files are not rooms."""
    folders = [root / room for room in rooms if (root / room).is_dir()]
    return {file.relative_to(root).as_posix() for folder in folders for file in folder.rglob("*.py")}
