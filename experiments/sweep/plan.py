"""Which stages several cells have in common, so that each runs once, before those cells."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.parsing import DataResolver
from dvc.repo import Repo

from advaudio.core.errors import AdvaudioError
from advaudio.core.yaml_files import parse_yaml
from experiments.sweep.cells import Cell

SHARED = "shared-"
"""Before the number in the name of a job that runs what several cells need."""


@dataclass(frozen=True)
class Shared:
    """Stages that the same cells have in common.

    Parameters
    ----------
    name
        Of their log.
    stages
        As `dvc repro` takes them.
    text
        A params.yaml with which they run.
    cells
        Names of the cells that need them.
    after
        Names of the shared stages that must have run before.
    """

    name: str
    stages: tuple[str, ...]
    text: str
    cells: tuple[str, ...]
    after: tuple[str, ...]


def shared_stages(cells: Sequence[Cell], pipeline: Path) -> list[Shared]:
    """Group the stages that at least two cells have in common, by who has them; in an order that can run.

    Two cells share a stage if its command, its files and its parameters are equal, and they share
    every stage before it.

    Parameters
    ----------
    cells
        With distinct names.
    pipeline
        The file dvc.yaml.

    Raises
    ------
    AdvaudioError
        If DVC cannot read the pipeline with a cell's parameters.
    """
    definition = parse_yaml(pipeline.read_text(encoding="utf-8"))
    owners: dict[str, list[Cell]] = defaultdict(list)
    stage_of: dict[str, str] = {}
    before: dict[str, set[str]] = defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        repo = _bare_repository(Path(folder))
        for cell in cells:
            (Path(folder) / "params.yaml").write_text(cell.text, encoding="utf-8")
            stages = _resolve(repo, definition, cell.name)
            earlier = _before(stages)
            digests = _digests(stages, earlier, cell.params)
            for stage, digest in digests.items():
                owners[digest].append(cell)
                stage_of[digest] = stage
                before[digest] |= {digests[name] for name in earlier[stage]}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for digest, who in owners.items():
        if len(who) > 1:
            groups[tuple(cell.name for cell in who)].append(digest)
    # What more cells have in common comes earlier in the pipeline.
    ordered = sorted(groups, key=lambda names: -len(names))
    name_of = {names: f"{SHARED}{number}" for number, names in enumerate(ordered, start=1)}
    group_of = {digest: name_of[names] for names, digests in groups.items() for digest in digests}
    result = []
    for names in ordered:
        after = {group_of[one] for digest in groups[names] for one in before[digest]}
        result.append(
            Shared(
                name=name_of[names],
                stages=tuple(stage_of[digest] for digest in groups[names]),
                text=owners[groups[names][0]][0].text,
                cells=names,
                after=tuple(sorted(after - {name_of[names]})),
            )
        )
    return result


def _bare_repository(folder: Path) -> Repo:
    (folder / ".dvc").mkdir()
    config = f"[core]\n    no_scm = true\n    site_cache_dir = {folder / 'site'}\n"
    (folder / ".dvc" / "config").write_text(config, encoding="utf-8")
    return Repo(str(folder))


def _resolve(repo: Repo, definition: dict[str, Any], cell: str) -> dict[str, Any]:
    try:
        stages: dict[str, Any] = DataResolver(repo, repo.root_dir, definition).resolve()["stages"]
    except DvcException as error:
        raise AdvaudioError(f"DVC cannot read dvc.yaml with the parameters of {cell}: {error}.") from error
    return stages


def _digests(stages: dict[str, Any], earlier: dict[str, list[str]], params: dict[str, Any]) -> dict[str, str]:
    digests: dict[str, str] = {}

    def digest(name: str) -> str:
        if name not in digests:
            stage = stages[name]
            content = [
                name,
                stage,
                [_value(params, key) for key in stage.get("params", [])],
                sorted(digest(one) for one in earlier[name]),
            ]
            digests[name] = hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()
        return digests[name]

    for name in stages:
        digest(name)
    return digests


def _value(params: dict[str, Any], key: Any) -> Any:
    """The value of a parameter; what names another file is the same for all cells of one commit."""
    if not isinstance(key, str):
        return key
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _before(stages: dict[str, Any]) -> dict[str, list[str]]:
    """The stages whose outputs each stage reads, directly."""
    outs = [
        (name, out)
        for name, stage in stages.items()
        for kind in ("outs", "metrics")
        for out in _paths(stage, kind)
    ]
    return {
        name: sorted(
            {
                other
                for dep in _paths(stage, "deps")
                for other, out in outs
                if other != name and _overlap(dep, out)
            }
        )
        for name, stage in stages.items()
    }


def _paths(stage: dict[str, Any], kind: str) -> list[str]:
    entries = stage.get(kind, [])
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def _overlap(first: str, second: str) -> bool:
    return first == second or first.startswith(f"{second}/") or second.startswith(f"{first}/")
