"""dvc.yaml tells the truth: each stage declares exactly the repository files that its script imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from advaudio.datasets.source import source_names
from advaudio.params import read
from tests.pipeline.imports import imported_files

ROOT = Path(__file__).resolve().parents[2]
SELECTED: dict[str, Callable[[], list[str]]] = {
    # The source is imported by the name in `dataset`, an attack by the path in its settings. The file
    # itself is selected by dvc.yaml; what any of them needs is listed for all.
    "advaudio/datasets/${dataset}.py": lambda: [f"advaudio/datasets/{name}.py" for name in source_names()],
    "${item.code}": lambda: [settings["code"] for settings in read(ROOT / "params.yaml").attacks.values()],
}
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def _declared_code(stage: dict[str, Any]) -> set[str]:
    return {dep for dep in stage.get("do", stage)["deps"] if dep.endswith(".py") or dep in SELECTED}


@pytest.mark.parametrize("name", STAGES)
def test_stage_declares_what_it_imports_and_nothing_else(name: str) -> None:
    declared = _declared_code(STAGES[name])
    static = {dep for dep in declared if "${" not in dep}
    imported = imported_files(ROOT / "stages" / f"{name}.py", ROOT)
    for selected in declared & SELECTED.keys():
        for module in SELECTED[selected]():
            imported |= imported_files(ROOT / module, ROOT) - {module}
    assert sorted(imported - static) == [], f"stage {name} imports files that dvc.yaml does not list"
    assert sorted(static - imported) == [], f"stage {name} lists files that it does not import"


def test_package_data_is_declared_where_its_module_is() -> None:
    for name, stage in STAGES.items():
        deps = stage.get("do", stage)["deps"]
        for file in (ROOT / "advaudio").rglob("*.html"):
            module = file.with_suffix(".py").relative_to(ROOT).as_posix()
            assert (module in deps) == (file.relative_to(ROOT).as_posix() in deps), (
                f"stage {name}, {file.name}"
            )


def test_every_stage_runs_its_own_module() -> None:
    for name, stage in STAGES.items():
        assert stage.get("do", stage)["cmd"].startswith(f"python -m stages.{name}")
        assert (ROOT / "stages" / f"{name}.py").is_file()
