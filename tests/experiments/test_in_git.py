"""A sweep is refused before it starts where a clone of the commit would lack what a cell needs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.yaml_files import parse_yaml
from experiments.sweep.cells import Cell
from experiments.sweep.git import git
from experiments.sweep.in_git import require_in_git

PARAMS = parse_yaml((Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    write(
        folder,
        "networks/known.py",
        "import torch\nfrom networks import helper\nfrom .parts.block import Block\n",
    )
    write(folder, "networks/helper.py", "def f(): ...\n")
    write(folder, "networks/parts/block.py", "class Block: ...\n")
    write(folder, "data/own/clips.csv", "file,label\n")
    write(folder, "weights/by_dvc.pt.dvc", "outs: []\n")
    write(folder, "attacks_of_mine/known.py", "from advaudio.attacks.bim import Bim\n")
    git(folder, "add", "--all")
    return folder


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def cell(**changes: Any) -> Cell:
    """The shipped parameters with some changed by dotted key (`__` stands for the dot)."""
    params = copy.deepcopy(PARAMS)
    for key, value in changes.items():
        *above, last = key.split("__")
        section = params
        for part in above:
            section = section[part]
        section[last] = value
    return Cell("cell", (), "", params)


PRETRAINED = "budgets__quick__training__pretrained"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "networks.known:build"},
        {"model": "torchvision.models:resnet18"},
        {"dataset": "esc50", "datasets__esc50__archive": "/anywhere/ESC-50.zip"},
        {"datasets__esc50__archive": "not/chosen.zip"},
        {
            "dataset": "folder",
            "datasets__folder__source": {"path": "data/own", "table": "data/own/clips.csv"},
        },
        {PRETRAINED: "imagenet"},
        {PRETRAINED: {"resnet56": "/anywhere/weights.pt", "others": "not/chosen.pt"}},
        {PRETRAINED: "weights/by_dvc.pt"},
        {"attacks__mine": {"code": "attacks_of_mine/known.py"}},
    ],
)
def test_what_a_clone_has_passes(repository: Path, changes: dict[str, Any]) -> None:
    require_in_git([cell(**changes)], repository)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": "networks.mine:build"},
            r"networks/mine\.py \(`model`\) is not in Git: `git add networks/mine\.py` and commit it\.",
        ),
        ({"model": "networks.package:build"}, r"networks/package/__init__\.py \(`model`\) is not in Git"),
        ({"model": "networks.uses:build"}, r"networks/unknown_helper\.py \(`model`\) is not in Git"),
        (
            {"attacks__mine": {"code": "my_attack.py"}},
            r"my_attack\.py \(`attacks\.mine\.code`\) is not in Git",
        ),
        (
            {"dataset": "esc50", "datasets__esc50__archive": "downloads/ESC-50.zip"},
            r"downloads/ESC-50\.zip \(`datasets\.esc50\.archive`\) is not in Git: give the absolute path, /.*/ESC-50\.zip",
        ),
        (
            {"dataset": "folder", "datasets__folder__source": {"path": "../clips", "table": None}},
            r"`datasets\.folder\.source\.path`.*absolute path, /",
        ),
        (
            {"dataset": "folder", "datasets__folder__source": {"path": "/clips", "table": "t.csv"}},
            r"source\.table`",
        ),
        ({PRETRAINED: "weights/mine.pt"}, r"weights/mine\.pt \(`budgets\.quick\.training\.pretrained`\)"),
        ({PRETRAINED: {"resnet56": "weights/mine.pt"}}, r"weights/mine\.pt"),
    ],
)
def test_what_a_clone_lacks_is_refused(repository: Path, changes: dict[str, Any], message: str) -> None:
    write(repository, "networks/mine.py", "")
    write(repository, "networks/package/__init__.py", "")
    write(repository, "networks/uses.py", "import networks.unknown_helper as helper\n")
    git(repository, "add", "networks/uses.py")
    write(repository, "networks/unknown_helper.py", "")
    write(repository, "my_attack.py", "")
    write(repository, "weights/mine.pt", "")
    with pytest.raises(AdvaudioError, match=message) as caught:
        require_in_git([cell(), cell(**changes)], repository)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("Nothing was started.")


def test_every_fault_is_named_once(repository: Path) -> None:
    write(repository, "networks/mine.py", "")
    cells = [cell(model="networks.mine:build", **{PRETRAINED: "w.pt"}), cell(model="networks.mine:other")]
    with pytest.raises(AdvaudioError) as caught:
        require_in_git(cells, repository)
    assert str(caught.value).count("`git add networks/mine.py`") == 1
    assert "w.pt" in str(caught.value)
