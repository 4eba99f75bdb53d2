"""A sweep's settings become named cells, or are refused before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from advaudio.core.errors import AdvaudioError
from experiments.sweep.cells import PAPER_GRID, cells_of

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def test_every_combination_once_with_its_parameters() -> None:
    cells = cells_of(["model=alexnet,vgg16,alexnet", "seed=range(2)", "budget=quick"], PARAMS)
    assert [cell.name for cell in cells] == [
        "alexnet-seed=0-quick",
        "alexnet-seed=1-quick",
        "vgg16-seed=0-quick",
        "vgg16-seed=1-quick",
    ]
    assert cells[3].settings == ("model=vgg16", "seed=1", "budget=quick")
    assert (cells[3].params["model"], cells[3].params["seed"]) == ("vgg16", 1)
    assert cells[3].params["dwt"] == cells[0].params["dwt"]


def test_papers_grid_of_a_data_set_is_24_cells() -> None:
    cells = cells_of([*PAPER_GRID, "dataset=esc50"], PARAMS)
    assert len({cell.name for cell in cells}) == 24
    assert "dwt_tonnetz-resnet56-esc50" in {cell.name for cell in cells}


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ('model="my.nets:build"', ["my.nets-build"]),
        ("training.optimiser=null,sgd", ["optimiser=null", "optimiser=sgd"]),
        ("attacks.deepfool.overshoot=0.02,0.05", ["overshoot=0.02", "overshoot=0.05"]),
    ],
)
def test_names_are_read_from_the_values(setting: str, names: list[str]) -> None:
    assert [cell.name for cell in cells_of([setting], PARAMS)] == names


def test_values_that_a_name_cannot_hold_still_have_different_names() -> None:
    cells = cells_of(["augment.pitch_scales=[0.9,1.1],[0.9]", "datasets.demo.archive=/a/b,/a-b"], PARAMS)
    names = [cell.name for cell in cells]
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9._=-]+", name) for name in names)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "at least one setting"),
        (
            ["modell=alexnet"],
            r"`modell` is no known parameter \(did you mean `model`\?\); there are: .*budget",
        ),
        (
            ["attacks.deepfool.overshot=1"],
            r"did you mean `attacks\.deepfool\.overshoot`.*has: ball, code, overshoot",
        ),
        (["model=alexnt,vgg16"], r"`model` is 'alexnt' \(did you mean 'alexnet'\?\); valid are: alexnet"),
        (["model=alexnt", "representation=stft,mel"], "`model` is 'alexnt'.*`representation` is 'mel'"),
        (["attacks.deepfool.overshoot=much"], "`overshoot` of the attack deepfool is 'much'"),
        (["seed=1", "seed=2"], "seed is given twice"),
        (["+colour=red"], "adds or deletes a key"),
        (["seed"], "Could not read the setting 'seed'"),
        (["model=a:b:c"], "`model` is 'a:b:c'"),
        (["seed=glob(*)"], "Could not read"),
    ],
)
def test_refused_in_one_paragraph(settings: list[str], message: str) -> None:
    with pytest.raises(AdvaudioError, match=message) as caught:
        cells_of(settings, PARAMS)
    assert "\n" not in str(caught.value)
