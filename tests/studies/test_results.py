"""Every study of results/ says what it is and can be run again."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from advaudio.core.params import read_params

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
STUDIES = sorted(path for path in RESULTS.iterdir() if path.is_dir())
LONGEST = 12
"""Lines of a study's README."""


def links(page: Path) -> set[str]:
    """Targets of a page's links to files here."""
    found = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    return {target for target in found if "://" not in target}


def test_the_list_is_short_and_names_every_study() -> None:
    page = RESULTS / "README.md"
    assert [path.name for path in RESULTS.iterdir() if path.is_file()] == ["README.md"]
    assert {target for target in links(page) if not target.startswith("../")} == {
        path.name for path in STUDIES
    }
    assert len(page.read_text(encoding="utf-8").split()) <= 300


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_a_study_says_what_it_is_and_how_to_run_it_again(study: Path) -> None:
    text = (study / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST
    for word in ("- What: ", "- Data: ", "ommit", "ardware", "2026-", "- Reductions", "- Rerun: `"):
        assert word in text, word
    broken = [target for target in links(study / "README.md") if not (study / target).exists()]
    assert broken == []
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert find_spec(module) is not None, f"there is no {module}"
    for path in re.findall(r"(?:cp|tables|draw) (results/\S+)", text):
        assert list(ROOT.glob(path)), f"there is no {path}"


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*/params.yaml")), ids=lambda path: path.parent.name)
def test_parameters_of_a_study_fit_the_schema_and_are_whole(file: Path) -> None:
    read_params(file)
    ours = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(file.read_text(encoding="utf-8")).keys() == ours.keys()
    assert f"cp {file.relative_to(ROOT).as_posix()} " in _readme(file) or "python -m studies." in _readme(
        file
    )


def _readme(file: Path) -> str:
    return (file.parent / "README.md").read_text(encoding="utf-8")
