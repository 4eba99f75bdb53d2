"""Stages that several cells have in common run once, before those cells."""

from __future__ import annotations

from pathlib import Path

from experiments.sweep.cells import PAPER_GRID, cells_of
from experiments.sweep.plan import Shared, shared_stages

ROOT = Path(__file__).resolve().parents[2]
TRANSFORMS = {"download", "augment", "stft", "dwt", "tonnetz", "split"}


def _plan(*settings: str) -> list[Shared]:
    return shared_stages(cells_of(settings, ROOT / "params.yaml"), ROOT / "dvc.yaml")


def test_paper_grid_shares_transforms_by_data_set_and_pictures_by_representation() -> None:
    plan = _plan(PAPER_GRID[0], "model=alexnet,vgg16", "dataset=esc10,esc50")
    groups = [(set(group.stages), len(group.cells)) for group in plan]
    assert groups == [(TRANSFORMS, 8)] * 2 + [({"append"}, 2)] * 8
    for group in plan[2:]:
        (before,) = (other for other in plan[:2] if other.name in group.after)
        assert set(group.cells) < set(before.cells)


def test_what_a_parameter_does_not_reach_is_shared() -> None:
    first, second, third = _plan("defence=fgsm,pgd", "attacks.deepfool.overshoot=0.02,0.05")
    assert set(first.stages) == TRANSFORMS | {"append", "train"}
    for group, defence in ((second, "fgsm"), (third, "pgd")):
        assert "train_fgsm" in group.stages
        assert "attack@cwa" in group.stages
        assert not {"attack@deepfool", "rho", "report"} & set(group.stages)
        assert group.after == (first.name,)
        assert f"defence: {defence}" in group.text


def test_cells_of_different_seeds_share_nothing() -> None:
    assert _plan("seed=0,1") == []
