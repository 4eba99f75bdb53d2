"""dvc.yaml tells the truth: each stage declares the code, files and parameters that it uses, and no room in vain.

Code is declared by rooms, the folders of advaudio/. What a stage uses is what its script imports, directly or
through others, and what a recorded run of the whole pipeline saw it open and read. Every import and every opened
file lies below a declared path, and every declared path is used. Where a stage uses a room in part, `NOT_USED`
names the files that it leaves alone: a change of them reruns the stage for nothing, which is the price of short
lists.
"""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from advaudio.core.params import read_params
from advaudio.report.pages.cell_page import Files, cell_page
from tests.pipeline import rooms
from tests.pipeline.clone import ROOT, Clone
from tests.pipeline.recording import Record, below, leaves_of
from tests.pipeline.rooms import ATTACKS, SELECTED, STAGES, declared_code, files_of, imported
from tests.tally import COVERED

NOT_AN_INPUT = (
    "params.yaml",  # its parameters are declared one by one
    ".advaudio/",  # checkpoints, each under a digest of all that it depends on
    "live/",  # dvclive's log, which no stage reads back
    ".git/",  # dvclive looks for the repository that it logs for
    "__editable__",  # where an editable installation stands in sys.path: a name, and no file
    ".dvc/",
    ".dvcignore",
    ".gitignore",
)
UNUSED_IN_THIS_RUN = {
    # A name selects data: DVC cannot make the dependency conditional.
    "append": {"data/stft"},
    "report": {"data/augmented"},  # only a cell with STFT can be listened to
}
FOLDERS_USED_IN_PART = {
    # The names of the files follow from `attacks`, and DVC lists no files by parameter.
    "rho": {"outputs/attacks"},
    "report": {"outputs/attacks", "outputs/robustness"},
}
NOT_USED = {
    "advaudio/attack_interface/oracle.py": "masking",
    "advaudio/attack_interface/clip_results.py": "masking",
    "advaudio/attack_interface/registry.py": "masking",
    "advaudio/clips/class_names.py": "append attack augment download dwt masking split stft tonnetz",
    "advaudio/clips/clip_store.py": "append attack masking train train_fgsm",
    "advaudio/clips/picture_layout.py": "augment download masking split train train_fgsm",
    "advaudio/clips/split.py": "append attack augment download dwt masking report stft tonnetz train train_fgsm",
    "advaudio/clips/split_table.py": "append augment download dwt report split stft tonnetz",
    "advaudio/core/device.py": "append augment download report rho split",
    "advaudio/core/gpu_claim.py": "append augment download report rho split",
    "advaudio/core/metric_names.py": "append attack augment download dwt masking rho split stft tonnetz",
    "advaudio/core/metrics_file.py": "append attack augment download dwt split stft tonnetz",
    "advaudio/core/paired_rates.py": "append attack augment download dwt split stft tonnetz",
    "advaudio/core/parallel.py": "append rho split",
    "advaudio/core/resume.py": "append augment download dwt report rho split stft tonnetz",
    "advaudio/evaluation/attack_evaluation.py": "masking",
    "advaudio/evaluation/budget_schedule.py": "masking",
    "advaudio/evaluation/chunk.py": "masking",
    "advaudio/evaluation/clip_table.py": "masking",
    "advaudio/evaluation/gradient_masking.py": "attack",
    "advaudio/evaluation/starting_points.py": "masking",
    "advaudio/models/pgd.py": "attack masking",
    "advaudio/models/pretrained.py": "attack masking",
    "advaudio/representations/append.py": "dwt report stft tonnetz",
    "advaudio/representations/constant_q.py": "append dwt report stft",
    "advaudio/representations/dwt.py": "append report stft tonnetz",
    "advaudio/representations/halving.py": "append dwt report stft",
    "advaudio/representations/reference.py": "append",
    "advaudio/representations/resampling.py": "append dwt",
    "advaudio/representations/stft.py": "append dwt",
    "advaudio/representations/streaming.py": "append",
    "advaudio/representations/tonnetz.py": "append dwt report stft",
    "advaudio/representations/tuning.py": "append dwt report stft",
    "advaudio/representations/wavelet_plan.py": "append report stft tonnetz",
    "advaudio/robustness/black_box.py": "report",
    "advaudio/robustness/likeness.py": "report",
    "advaudio/robustness/outputs.py": "report",
    "advaudio/robustness/worst_case.py": "report",
}
"""Files of rooms, and the stages that depend on the room and do not use them."""
USERS_FOLDERS = {"networks"}
# The report is given all parameters at once, and tested by what its page shows of them.
SHOWS_PARAMETERS = {"report"}
# These choose a section of params.yaml or of the results, and are no text alone.
CHOOSING = {"budget", "dataset", "representation"}
UNUSED_DYNAMIC_RANGE = {"dwt_tonnetz": "stft.dynamic_range"}


@pytest.mark.parametrize("name", STAGES)
def test_stage_declares_what_it_imports_and_nothing_else(name: str) -> None:
    declared = declared_code(STAGES[name]) - SELECTED.keys()
    used = imported(name)
    assert rooms.undeclared(used, declared) == [], f"stage {name} imports files that dvc.yaml does not list"
    assert rooms.unused(used, declared) == [], f"stage {name} lists rooms or files that it does not import"
    COVERED["code files"].update(used)
    COVERED["declarations of code"].update((name, path) for path in declared)


def test_files_of_rooms_that_a_stage_does_not_use_are_named() -> None:
    found: dict[str, set[str]] = {}
    for name, stage in STAGES.items():
        for file in files_of(declared_code(stage)) - imported(name):
            found.setdefault(file, set()).add(name)
    assert found == {file: set(stages.split()) for file, stages in NOT_USED.items()}


def _planted(tmp_path: Path, name: str, text: str) -> Path:
    """A copy of the code in which the script of a stage says something more."""
    for folder in rooms.CODE:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    script = tmp_path / "stages" / f"{name}.py"
    script.write_text(script.read_text(encoding="utf-8") + text, encoding="utf-8")
    return tmp_path


def test_an_undeclared_import_is_found(tmp_path: Path) -> None:
    root = _planted(tmp_path, "split", "\nimport advaudio.models.registry\n")
    declared = declared_code(STAGES["split"])
    planted = rooms.undeclared(imported("split", root), declared)
    assert "advaudio/models/registry.py" in planted
    assert rooms.undeclared(imported("split"), declared) == []


def test_an_unused_room_is_found() -> None:
    declared = {*declared_code(STAGES["split"]), "advaudio/models"}
    assert rooms.unused(imported("split"), declared) == ["advaudio/models"]


def test_every_stage_runs_its_own_module() -> None:
    for name, stage in STAGES.items():
        assert stage.get("do", stage)["cmd"].startswith(f"python -m stages.{name}")
        assert (ROOT / "stages" / f"{name}.py").is_file()


def _paths(stage: dict[str, Any], kind: str) -> set[str]:
    return {entry["path"] for entry in stage.get(kind, [])}


@pytest.mark.pipeline
def test_run_opened_what_is_declared_and_nothing_else(clone: Clone, records: dict[str, Record]) -> None:
    lock = clone.lock()
    assert records.keys() == lock.keys()
    for name, stage in lock.items():
        declared, opened = _paths(stage, "deps"), records[name].files
        assert _foreign(opened, declared | _paths(stage, "outs")) == [], f"stage {name}"
        assert _foreign({*opened, "data/planted.csv"}, declared) != [], "the check cannot fail"
        unused = set(rooms.unused(opened, declared))
        assert unused == UNUSED_IN_THIS_RUN.get(name, set()), f"stage {name}"
        partly = {
            path
            for path in declared - unused - USERS_FOLDERS
            if not path.startswith(rooms.CODE)
            and (clone.folder / path).is_dir()
            and not _files_below(clone, path) <= opened
        }
        assert partly == FOLDERS_USED_IN_PART.get(name, set()), f"stage {name}"
        COVERED["stages run"].add(name)
        COVERED["declarations of files"].update((name, path) for path in declared)
        COVERED["files opened"].update(opened)


def _foreign(opened: Iterable[str], known: Iterable[str]) -> list[str]:
    """Opened files below no known path."""
    return rooms.undeclared((file for file in opened if not file.startswith(NOT_AN_INPUT)), known)


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

    # Used in a computation instead of shown, and only that of the transform in the pictures.
    computed_with = {"dwt.dynamic_range", "stft.dynamic_range"}
    unused = {UNUSED_DYNAMIC_RANGE[content["representation"]]}
    assert _page(clone, dict.fromkeys(computed_with - unused, 1234567.0)) != written
    others = (leaves - declared) | unused
    assert _page(clone, dict.fromkeys(others, 1234567.0)) == written, "the page uses what is not declared"

    marks: dict[str, Any] = {
        leaf: f"mark{index:03d}" for index, leaf in enumerate(sorted(declared - CHOOSING - computed_with))
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
    return cell_page(params, files)


def _stale_after_a_change() -> dict[str, set[str]]:
    """Stages, as DVC names them, that depend on each file of the library and of the stages."""
    users: dict[str, set[str]] = {}
    for name, stage in STAGES.items():
        ran = {f"attack@{key}" for key in ATTACKS} if name == "attack" else {name}
        for file in _library():
            if rooms.below(file, declared_code(stage)):
                users.setdefault(file, set()).update(ran)
    for name, settings in ATTACKS.items():
        users.setdefault(str(settings["code"]), set()).add(f"attack@{name}")
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


def _library() -> list[str]:
    files = (file for folder in rooms.CODE for file in (ROOT / folder).rglob("*"))
    return sorted(f.relative_to(ROOT).as_posix() for f in files if f.suffix in (".py", *rooms.PAGE_FILES))


@pytest.mark.pipeline
def test_a_changed_module_makes_exactly_the_stages_of_its_room_stale(clone: Clone) -> None:
    """Every file is changed once; files of one room and of no other at the same time, since DVC names the room."""
    expected = _stale_after_a_change()
    paths = {path for stage in STAGES.values() for path in declared_code(stage)} - SELECTED.keys()
    paths |= {str(settings["code"]) for settings in ATTACKS.values()}
    originals = {name: (clone.folder / name).read_text(encoding="utf-8") for name in _library()}
    try:
        for name, source in originals.items():
            (clone.folder / name).write_text(mutated(source, name), encoding="utf-8")
        stale = _changed_by_dvc(clone)
    finally:
        for name, source in originals.items():
            (clone.folder / name).write_text(source, encoding="utf-8")
    assert stale.keys() == paths
    for name in originals:
        found = {stage for path in paths if rooms.below(name, [path]) for stage in stale[path]}
        assert found == expected.get(name, set()), name
        COVERED["modules mutated"].add(name)


def _changed_by_dvc(clone: Clone) -> dict[str, set[str]]:
    """Stages that `dvc status` lists, by the changed dependency."""
    status = json.loads(clone.run("dvc", "status", "--json").stdout)
    stages: dict[str, set[str]] = {}
    for stage, changes in status.items():
        for change in changes:
            for dependency in change.get("changed deps", {}):
                stages.setdefault(dependency, set()).add(stage)
    return stages
