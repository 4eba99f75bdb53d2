"""The pages keep what they promise: links lead somewhere, commands exist, and what README shows runs."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from advaudio.attack_interface.base import Goal
from advaudio.attack_interface.registry import make_attack

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
GENERATED = ("docs/licences.md",)
PAGES = sorted(
    name
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("results/*/README.md"),
    ]
    if (name := path.relative_to(ROOT).as_posix()) not in GENERATED
)
LONGEST_PROSE_LINE = 240
OLD_WORDS = (
    r"anew|mend(s|ed|ing)?|reckon(s|ed|ing)?|thereof|whatsoever|wherein|oftener|oft|dealt|wants|hitherto|lest|"
    r"for want of|of which|being what (it is|they are)"
)


def page(name: str) -> str:
    """Text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", (ROOT / name).read_text(encoding="utf-8"), flags=re.S | re.M)


def code_of(name: str) -> list[str]:
    """The blocks of Python of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), flags=re.S | re.M)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page(name))
    for target in targets:
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_in_plain_words_and_short_lines(name: str) -> None:
    text = page(name)
    assert not (found := re.search(rf"\b({OLD_WORDS})\b", text, flags=re.I)), found
    prose = [line for line in text.splitlines() if not line.startswith("|")]
    assert not [line for line in prose if len(line) > LONGEST_PROSE_LINE]


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_pages_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == "CHANGELOG.md":  # its left column has commands that are gone
        text = re.sub(r"^\|[^|]*\|", "", text, flags=re.M)
    for module in re.findall(r"python -m ([\w.]*\w)", text):
        assert importlib.util.find_spec(module), module
    for target in re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text, flags=re.M):
        assert re.search(rf"^{target[0] or target[1]}:", MAKEFILE, flags=re.M), target


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1000


def test_tree_of_the_readme_is_complete() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {file.split("/")[0] for file in tracked if "/" in file and not file.startswith(".")}
    rooms = {file.split("/")[1] for file in tracked if file.count("/") > 1 and file.startswith("advaudio/")}
    tree = README.split("## What is where")[1].split("```")[1]
    assert set(re.findall(r"(\w+)/", tree)) == folders | rooms


def test_readme_shows_the_demo_as_it_is_measured() -> None:
    metrics = {
        name: json.loads((ROOT / "metrics" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("train", "train_fgsm", "attacks/deepfool", "rho")
    }
    shown = [
        f"| accuracy | {metrics['train']['accuracy']:.1%} | {metrics['train_fgsm']['accuracy']:.1%} |",
        f"| 90 % | {metrics['attacks/deepfool']['robust_fooling_rate']:.0%} |",
        f"| {metrics['rho']['rho']:.2f} |",
    ]
    for row in shown:
        assert row.replace("%", " %").replace("  %", " %") in README


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Path]:
    """The README's network, imported, and the folder in which its attack lies as `my_attack.py`."""
    network, attack = code_of("README.md")
    (tmp_path / "my_attack.py").write_text(attack, encoding="utf-8")
    (tmp_path / "my_network.py").write_text(network, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("my_network"), tmp_path


def test_network_of_the_readme_runs(own_code: tuple[Any, Path]) -> None:
    pictures = torch.rand(3, 1, 18, 20, requires_grad=True)
    logits = own_code[0].build(5, 18, 20)(pictures)
    assert logits.shape == (3, 5)
    logits.sum().backward()
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0


def test_attack_of_the_readme_finds_the_boundary_of_a_linear_network(own_code: tuple[Any, Path]) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(16, 2)
    network = nn.Sequential(nn.Flatten(), linear).requires_grad_(False)
    linear.bias = nn.Parameter(-linear.weight.detach().sum(1) / 2, requires_grad=False)
    pictures = 0.5 + 0.1 * torch.randn(20, 1, 4, 4).clamp(-2, 2)
    logits = network(pictures)
    labels = logits.argmax(1)
    weight = linear.weight
    distance = (logits[:, 0] - logits[:, 1]).abs() / (weight[0] - weight[1]).abs().sum()

    settings = yaml.safe_load(re.findall(r"`mine: ({code.*?})`", README)[0])
    outcome = make_attack("mine", **settings).search(network, pictures, Goal(labels, targeted=False))

    assert outcome.found.all()
    steps = (outcome.adversarial - pictures).abs().flatten(1).amax(1) * 255
    assert torch.allclose(steps, (distance * 255).floor() + 1, atol=1e-2)


def test_library_examples_run() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    pictures = torch.rand(5, 1, 4, 4)
    names: dict[str, Any] = {
        "network": network,
        "pictures": pictures,
        "labels": network(pictures).argmax(1),
    }
    for block in code_of("docs/own.md"):
        exec(block, names)  # noqa: S102
    assert names["fooled"].all()
    assert names["outcome"].found.all()


def imports(file: Path) -> Iterator[str]:
    """Modules that a file names in its imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_rooms_import_only_rooms_above_them() -> None:
    table = CONTRIBUTING.split("## Rooms")[1].split("## ")[0]
    rows = [
        re.findall(r"`([\w/]+)`", row.split("|")[1]) for row in table.splitlines() if row.startswith("| `")
    ]
    height = {room: number for number, row in enumerate(rows) for room in row}
    folders = {f"advaudio/{path.parent.name}" for path in ROOT.glob("advaudio/*/__init__.py")}
    assert {room for room in height if room.startswith("advaudio/")} == folders
    for room, own in height.items():
        for file in (ROOT / room).rglob("*.py"):
            for module in imports(file):
                other = next(
                    (name for name in height if f"{module}.".startswith(f"{name.replace('/', '.')}.")), room
                )
                assert other == room or height[other] < own, f"{file.relative_to(ROOT)} imports {module}"


def test_pre_commit_runs_what_make_check_runs() -> None:
    rule = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.M)
    assert rule
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0][
        "hooks"
    ]
    assert [hook["entry"] for hook in hooks] == [
        line.strip().replace("$(BIN)", ".venv/bin") for line in rule[1].splitlines()
    ]
