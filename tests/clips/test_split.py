"""Splits: whole recordings stay together, classes keep their shares, copies are never tested."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advaudio.clips.split import split
from advaudio.core.errors import AdvaudioError

SCALES = (1.0, 0.75, 0.9, 1.15, 1.5)


def clips(
    classes: int = 5,
    sources: int = 20,
    most: int = 4,
    seed: int = 0,
    folds: int = 10,
    scales: tuple[float, ...] = SCALES,
) -> pd.DataFrame:
    """An augmented table: `sources` recordings a class, of 1 to `most` clips each, spread over `folds`."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for label in range(classes):
        for source in range(sources):
            for clip in range(int(random.integers(1, most + 1))):
                rows.extend(
                    {
                        "clip": f"{label}-{source}-{clip}",
                        "label": label,
                        "class_name": f"class{label}",
                        "fold": 1 + source % folds,
                        "source": f"{label}-{source}",
                        "scale": scale,
                    }
                    for scale in scales
                )
    return pd.DataFrame(rows)


def columns(parts: pd.DataFrame) -> list[str]:
    return [name for name in parts.columns if name.startswith("fold_")]


tables = st.builds(clips, st.integers(2, 6), st.integers(10, 30), st.integers(1, 6), st.integers(0, 10**6))


@settings(max_examples=25, deadline=None)
@given(tables, st.sampled_from(["source", "clip", "sample", "official"]), st.integers(0, 1000))
def test_every_way(table: pd.DataFrame, by: str, seed: int) -> None:
    parts = split(table, by=by, folds=5, seed=seed)
    assert list(parts.columns) == ["sample", "clip", "label", *(f"fold_{number}" for number in range(5))]
    assert parts["sample"].tolist() == list(range(len(table)))
    original = (table["scale"] == 1.0).to_numpy()
    for column in columns(parts):
        part = parts[column]
        assert set(part) <= {"train", "validation", "test", "unused"}
        # No unit on two sides.
        if by != "sample":
            unit = {"official": "source"}.get(by, by)
            sides = table[unit][part != "unused"].groupby(part[part != "unused"]).agg(set)
            for one, other in [("train", "test"), ("train", "validation"), ("validation", "test")]:
                assert not sides[one] & sides[other]
            assert original[part.isin(["validation", "test"])].all()
            assert (part[original] != "unused").all()
            copies = part[~original].reset_index(drop=True)
            of_original = np.repeat(part[original].to_numpy(), len(SCALES) - 1)
            assert ((copies == "train") == (of_original == "train")).all()
        else:
            assert (part != "unused").all()
        # Each class is everywhere it must be.
        for name in ("train", "test"):
            assert set(table["label"][part == name]) == set(table["label"])


@settings(max_examples=25, deadline=None)
@given(tables, st.sampled_from(["source", "clip", "sample"]), st.integers(0, 1000))
def test_held_out_parts_partition_the_data(table: pd.DataFrame, by: str, seed: int) -> None:
    parts = split(table, by=by, folds=5, seed=seed)
    counted = (table["scale"] == 1.0).to_numpy() | (by == "sample")
    names = parts[columns(parts)][counted]
    tested = (names == "test").to_numpy()
    assert (tested == tested[:, :1]).all()
    validated = (names == "validation").to_numpy().sum(axis=1)
    assert (validated == 1 - tested[:, 0]).all()
    # Shares per class, within one recording (or clip, or sample).
    labels = table["label"][counted].to_numpy()
    sizes = table["source"][counted].value_counts() if by == "source" else pd.Series([1])
    for label in np.unique(labels):
        of_class = labels == label
        tolerance = sizes.max()
        assert abs(tested[of_class, 0].sum() - 0.3 * of_class.sum()) <= tolerance
        for column in columns(parts):
            share = (names[column][of_class] == "validation").sum()
            assert abs(share - 0.14 * of_class.sum()) <= tolerance + 0.2


def test_official_folds_are_merged_in_pairs() -> None:
    table = clips(folds=10)
    parts = split(table, by="official", folds=5)
    for number, column in enumerate(columns(parts)):
        original = table["scale"] == 1.0
        tested = sorted(table["fold"][original & (parts[column] == "test")].unique())
        assert tested == [2 * number + 1, 2 * number + 2]
        rest = original & (parts[column] != "test")
        assert 0.1 < (parts[column][rest] == "validation").mean() < 0.2


def test_official_folds_one_by_one() -> None:
    table = clips(folds=10)
    parts = split(table, by="official", folds=10)
    for number, column in enumerate(columns(parts)):
        assert set(table["fold"][parts[column] == "test"]) == {number + 1}


def test_official_test_part_may_lack_a_class() -> None:
    table = clips(folds=5)
    table = table[(table["label"] != 0) | (table["fold"] != 3)].reset_index(drop=True)
    parts = split(table, by="official", folds=5)
    assert 0 not in set(table["label"][parts["fold_2"] == "test"])


def test_sample_leaks_and_source_does_not() -> None:
    table = clips()
    for by, leaks in (("source", False), ("clip", True), ("sample", True)):
        parts = split(table, by=by)
        tested = set(table["source"][parts["fold_0"] == "test"])
        trained = set(table["source"][parts["fold_0"] == "train"])
        assert bool(tested & trained) == leaks


@pytest.mark.parametrize("by", ["source", "clip", "sample", "official"])
def test_seeded(by: str) -> None:
    table = clips()
    splits = [split(table, by=by, seed=seed) for seed in (0, 0, 1, 2)]
    pd.testing.assert_frame_equal(splits[0], splits[1])
    for one, other in pairwise(splits[1:]):
        assert not one.equals(other)


def test_recordings_of_several_classes_stay_whole() -> None:
    table = clips(scales=(1.0,))
    table["source"] = [f"s{number // 3}" for number in range(len(table))]
    parts = split(table, by="source")
    for column in columns(parts):
        assert (parts[column].groupby(table["source"]).nunique() == 1).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"by": "fold"}, "split.by is 'fold'; it must be one of source, clip, sample, official"),
        ({"folds": 1}, "split.folds is 1"),
        ({"test_share": 0.0}, "split.test_share is 0.0"),
        ({"test_share": 1.0}, "split.test_share is 1.0"),
        ({"by": "official", "folds": 3}, "10 official folds, which cannot be merged into split.folds = 3"),
    ],
)
def test_bad_parameters(options: dict[str, Any], says: str) -> None:
    with pytest.raises(AdvaudioError, match=says):
        split(clips(), **options)


def test_no_official_folds() -> None:
    with pytest.raises(AdvaudioError, match="has no official folds"):
        split(clips().assign(fold=-1), by="official")


def test_too_few_recordings_are_named() -> None:
    table = clips()
    table.loc[table["label"] == 2, "source"] = "one"
    with pytest.raises(AdvaudioError, match="lacks the class class2: its 1 source recording is too few"):
        split(table, by="source")


def test_speed_at_the_size_of_urbansound8k() -> None:
    table = clips(classes=10, sources=130, most=12)
    assert len(table) > 40_000
    began = time.process_time()
    split(table, by="sample")
    split(table, by="source")
    assert time.process_time() - began < 10
