"""dvc.yaml tells the truth: each stage declares exactly the code, files and parameters that it uses.

What a stage uses is what its script imports, directly or through others, and what a recorded run of the whole
pipeline saw it open and read. The few declarations that DVC cannot make finer are named here, with the reason.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from advaudio.core.params import read_params
from advaudio.datasets.source import source_names
from advaudio.report.pages.cell_page import Files, cell_page
from advaudio.report.pages.page import render
from tests.pipeline.clone import ROOT, Clone
from tests.pipeline.imports import imported_files
from tests.pipeline.recording import Record, below, leaves_of
from tests.tally import COVERED

NOT_AN_INPUT = (
    "params.yaml",  # its parameters are declared one by one
    ".advaudio/",  # checkpoints, each under a digest of all that it depends on
    "live/",  # dvclive's log, which no stage reads back
    ".git/",  # dvclive looks for the repository that it logs for
    ".dvc/",
    ".dvcignore",
    ".gitignore",
)
UNUSED_IN_THIS_RUN = {
    # A name selects code or data: DVC cannot make the dependency conditional.
    "download": {"advaudio/datasets/esc_archive.py"},
    "append": {"data/stft"},
    "report": {"data/augmented"},  # only a cell with STFT can be listened to
}
FOLDERS_USED_IN_PART = {
    # The names of the files follow from `attacks`, and DVC lists no files by parameter.
    "rho": {"outputs/attacks"},
    "report": {"outputs/attacks"},
}
USERS_FOLDERS = {"networks"}
# The report is given all parameters at once, and tested by what its page shows of them.
SHOWS_PARAMETERS = {"report"}
# These choose a section of params.yaml or of the results, and are no text alone.
CHOOSING = {"budget", "dataset", "representation"}
UNUSED_DYNAMIC_RANGE = {"dwt_tonnetz": "stft.dynamic_range"}
@pytest.mark.parametrize("name", STAGES)
def test_stage_declares_what_it_imports_and_nothing_else(name: str) -> None:
    declared = {dep for dep in _declared_code(STAGES[name]) if "${" not in dep}
    imported = _imported(name)
    assert sorted(imported - declared) == [], f"stage {name} imports files that dvc.yaml does not list"
    assert sorted(declared - imported) == [], f"stage {name} lists files that it does not import"
    COVERED["code files"].update(declared)
    COVERED["declarations of code"].update((name, file) for file in declared)


def test_every_stage_runs_its_own_module() -> None:
    for name, stage in STAGES.items():
        assert stage.get("do", stage)["cmd"].startswith(f"python -m stages.{name}")
        assert (ROOT / "stages" / f"{name}.py").is_file()


def _within(file: str, declared: set[str]) -> bool:
    return any(file == path or file.startswith(f"{path}/") for path in declared)


def _paths(stage: dict[str, Any], kind: str) -> set[str]:
    return {entry["path"] for entry in stage.get(kind, [])}


@pytest.mark.pipeline
def test_run_opened_what_is_declared_and_nothing_else(clone: Clone, records: dict[str, Record]) -> None:
    lock = clone.lock()
    assert records.keys() == lock.keys()
    for name, stage in lock.items():
        declared, opened = _paths(stage, "deps"), records[name].files
        foreign = {
            file
            for file in opened
            if not file.startswith(NOT_AN_INPUT) and not _within(file, declared | _paths(stage, "outs"))
        }
        assert sorted(foreign) == [], f"stage {name} opened files that it does not declare"
        unused = {path for path in declared if not any(_within(file, {path}) for file in opened)}
        assert unused == UNUSED_IN_THIS_RUN.get(name, set()), f"stage {name}"
        partly = {
            path
            for path in declared - unused - USERS_FOLDERS
            if (clone.folder / path).is_dir() and not _files_below(clone, path) <= opened
        }
        assert partly == FOLDERS_USED_IN_PART.get(name, set()), f"stage {name}"
        COVERED["stages run"].add(name)
        COVERED["declarations of files"].update((name, path) for path in declared)
        COVERED["files opened"].update(opened)


def _files_below(clone: Clone, folder: str) -> set[str]:
    files = {file.relative_to(clone.folder) for file in (clone.folder / folder).rglob("*") if file.is_file()}
    return {file.as_posix() for file in files if file.name != ".gitignore"}


@pytest.mark.pipeline
def test_run_read_the_parameters_that_are_declared_and_no_others(
    clone: Clone, records: dict[str, Record]
) -> None:
    leaves = leaves_of(yaml.safe_load((clone.folder / "params.yaml").read_text(encoding="utf-8")))
    for name, stage in clone.lock().items():
        keys = stage.get("params", {}).get("params.yaml", {})
        declared = {leaf for key in keys for leaf in below(key, leaves)}
        written = json.dumps(STAGES[name.partition("@")[0]])
        # `dataset` and `budget` only choose a section, and the lock file names the section chosen.
        choosing = {key for key in ("dataset", "budget") if f"${{{key}}}" in written}
        read_keys = records[name].parameters
        assert sorted(read_keys - declared - choosing) == [], f"stage {name} reads what it does not declare"
        if name in SHOWS_PARAMETERS:
            continue
        assert sorted(declared - read_keys) == [], f"stage {name} declares parameters that it does not read"
        COVERED["parameters"].update(declared)
        COVERED["declarations of parameters"].update((name, key) for key in declared)


@pytest.mark.pipeline
def test_report_shows_the_parameters_that_are_declared_and_no_others(clone: Clone) -> None:
    content = yaml.safe_load((clone.folder / "params.yaml").read_text(encoding="utf-8"))
    leaves = leaves_of(content)
    keys = clone.lock()["report"]["params"]["params.yaml"]
    declared = {leaf for key in keys for leaf in below(key, leaves)}
    written = (clone.folder / "report" / "report.html").read_text(encoding="utf-8")

    # Reckoned with instead of shown, and only that of the transform in the pictures.
    reckoned = {"dwt.dynamic_range", "stft.dynamic_range"}
    unused = {UNUSED_DYNAMIC_RANGE[content["representation"]]}
    assert _page(clone, dict.fromkeys(reckoned - unused, 1234567.0)) != written
    others = (leaves - declared) | unused
    assert _page(clone, dict.fromkeys(others, 1234567.0)) == written, "the page uses what is not declared"

    marks: dict[str, Any] = {
        leaf: f"mark{index:03d}" for index, leaf in enumerate(sorted(declared - CHOOSING - reckoned))
    }
    marks |= {"seed": 7654321, "evaluation.fooling_threshold": 0.87654}
    page = _page(clone, marks)
    assert [leaf for leaf, mark in marks.items() if str(mark) not in page] == [], "declared, and not shown"
    COVERED["parameters"].update(declared)
    COVERED["declarations of parameters"].update(("report", key) for key in declared)


def _page(clone: Clone, changes: dict[str, Any]) -> str:
    """The report of the clone's results with other parameters, by dotted key."""
    params = read_params(clone.folder / "params.yaml").model_dump()
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    data = clone.folder / "data"
    files = Files(
        folder=clone.folder,
        pictures=data / "pictures" / "pictures.npy",
        clips=data / "raw" / "clips.csv",
        dataset=data / "raw" / "dataset.json",
        augmented=data / "augmented",
    )
    return render(cell_page(params, files))


def _users() -> dict[str, set[str]]:
    """Stages, as DVC names them, that use each file of the library and of the stages."""
    users: dict[str, set[str]] = {}
    for name in STAGES:
        for file in _imported(name):
            stages = {f"attack@{key}" for key in ATTACKS} if name == "attack" else {name}
            users.setdefault(file, set()).update(stages)
    for name, settings in ATTACKS.items():
        users.setdefault(settings["code"], set()).add(f"attack@{name}")
    users["advaudio/datasets/demo.py"] = {"download"}
    for template in (file for suffix in PAGE_FILES for file in (ROOT / "advaudio").rglob(f"*{suffix}")):
        module = template.with_suffix(".py").relative_to(ROOT).as_posix()
        users[template.relative_to(ROOT).as_posix()] = users[module]
    return users


def mutated(source: str, file: str) -> str:
    """A change of behaviour that still compiles: another number, or else a comparison, or else a text."""
    if not file.endswith(".py"):
        return source + "\n<!-- -->\n"
    tree = ast.parse(source)
    node = min(ast.walk(tree), key=_rank)
    if isinstance(node, ast.Compare):
        node.ops[0] = ast.Is() if isinstance(node.ops[0], ast.IsNot) else ast.IsNot()
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        node.value += "."
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        node.value += 1
    changed = ast.unparse(tree) + "\n"
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source)), file
    return changed


def _rank(node: ast.AST) -> int:
    if isinstance(node, ast.Constant):
        return 0 if type(node.value) in (int, float) else 2 if isinstance(node.value, str) else 3
    return 1 if isinstance(node, ast.Compare) else 3


def _changed_by_dvc(clone: Clone) -> dict[str, set[str]]:
    """Stages that `dvc status` lists, by the changed dependency."""
    status = json.loads(clone.run("dvc", "status", "--json").stdout)
    stages: dict[str, set[str]] = {}
    for stage, changes in status.items():
        for change in changes:
            for dependency in change.get("changed deps", {}):
                stages.setdefault(dependency, set()).add(stage)
    return stages


def _library() -> list[str]:
    files = [*(ROOT / "advaudio").rglob("*"), *(ROOT / "stages").rglob("*")]
    return sorted(f.relative_to(ROOT).as_posix() for f in files if f.suffix in (".py", *PAGE_FILES))


@pytest.mark.pipeline
def test_a_changed_module_makes_exactly_its_stages_stale(clone: Clone) -> None:
    """All modules at once: DVC compares each dependency by itself, and names the changed ones by stage."""
    users = _users()
    originals = {name: (clone.folder / name).read_text(encoding="utf-8") for name in _library()}
    try:
        for name, source in originals.items():
            (clone.folder / name).write_text(mutated(source, name), encoding="utf-8")
        stale = _changed_by_dvc(clone)
    finally:
        for name, source in originals.items():
            (clone.folder / name).write_text(source, encoding="utf-8")
    for name in originals:
        assert stale.get(name, set()) == users.get(name, set()), name
        COVERED["modules mutated"].add(name)


@pytest.mark.faults
@pytest.mark.parametrize("name", _library())
def test_one_changed_module_makes_exactly_its_stages_stale(clone: Clone, name: str) -> None:
    file = clone.folder / name
    source = file.read_text(encoding="utf-8")
    try:
        file.write_text(mutated(source, name), encoding="utf-8")
        assert _changed_by_dvc(clone) == ({name: _users()[name]} if name in _users() else {})
        COVERED["modules mutated one by one"].add(name)
    finally:
        file.write_text(source, encoding="utf-8")
