"""Deal the samples of a data set into training, validation and test parts, without leaking recordings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from advaudio.core.errors import AdvaudioError

TRAIN, VALIDATION, TEST, UNUSED = "train", "validation", "test", "unused"
WAYS = ("source", "clip", "sample", "official")
OFFICIAL_VALIDATION_SHARE = 0.15
IMPROVEMENT_ROUNDS = 20

Counts = np.ndarray[Any, Any]


def split(
    table: pd.DataFrame,
    *,
    by: str = "source",
    folds: int = 5,
    test_share: float = 0.3,
    seed: int = 0,
) -> pd.DataFrame:
    """Split an augmented table of clips into cross-validation folds.

    By source, clip or sample, `test_share` of the units is held out as the test part, the same for every
    fold; the rest goes to `folds` parts, of which fold k validates on its own and trains on the others.
    Officially, fold k tests on the data set's own fold k (neighbours merged when there are a multiple of
    `folds`) and validates on 15 % of the recordings of the others. Everything is stratified by class.

    Parameters
    ----------
    table
        Rows of a clip store (`clip`, `label`, `fold`, `source`, `scale`), one per clip and pitch scale.
    by
        The unit that stays whole. "source": all clips cut from one recording (no leakage). "clip": a clip
        with its pitch-shifted copies. "sample": each copy by itself, so that copies of a tested clip are
        trained on: the optimistic reading. "official": as said.
    folds
        Columns of folds.
    test_share
        Share of the test part, between 0 and 1; unused with "official".
    seed
        Everything drawn follows from it.

    Returns
    -------
    pandas.DataFrame
        One row per row of `table`: `sample` (its position), `clip`, `label`, and `fold_0` … with "train",
        "validation", "test" or "unused". Only originals (scale 1) validate and test, except by sample; the
        copies of validation and test clips are unused.

    Raises
    ------
    AdvaudioError
        If a parameter is out of range, the data set has no official folds or a number of them that does not
        divide by `folds`, or a class has too few units to be in every training and test part (the official
        test parts are taken as they are).
    """
    if by not in WAYS:
        raise AdvaudioError(f"The parameter split.by is {by!r}; it must be one of {', '.join(WAYS)}.")
    if folds < 2:
        raise AdvaudioError(f"The parameter split.folds is {folds}; it must be at least 2.")
    if not 0 < test_share < 1:
        raise AdvaudioError(f"The parameter split.test_share is {test_share}; it must be between 0 and 1.")
    random = np.random.default_rng([seed, WAYS.index(by)])
    if by == "official":
        columns = _official(table, folds, random)
    else:
        columns = _held_out(table, by, folds, test_share, random)
    if by != "sample":
        copies = table["scale"].to_numpy() != 1.0
        columns = [np.where(copies & (column != TRAIN), UNUSED, column) for column in columns]
    _check(table, columns, by)
    about = {
        "sample": np.arange(len(table)),
        "clip": table["clip"].to_numpy(),
        "label": table["label"].to_numpy(),
    }
    return pd.DataFrame(about | {f"fold_{number}": column for number, column in enumerate(columns)})


def _held_out(
    table: pd.DataFrame, by: str, folds: int, test_share: float, random: np.random.Generator
) -> list[Counts]:
    units = np.arange(len(table)) if by == "sample" else pd.factorize(table[by])[0]
    tested = _deal(units, table["label"], [test_share, 1 - test_share], random) == 0
    part = np.full(len(table), -1)
    part[~tested] = _deal(units[~tested], table["label"][~tested], [1 / folds] * folds, random)
    return [np.select([tested, part == number], [TEST, VALIDATION], default=TRAIN) for number in range(folds)]


def _official(table: pd.DataFrame, folds: int, random: np.random.Generator) -> list[Counts]:
    official = table["fold"].to_numpy()
    if (official < 1).any():
        raise AdvaudioError(
            "The parameter split.by is official, and the data set has no official folds. Use source."
        )
    numbers = np.unique(official)
    if len(numbers) % folds:
        raise AdvaudioError(
            f"The data set has {len(numbers)} official folds, which cannot be merged into split.folds = "
            f"{folds}. Use a number that divides {len(numbers)}."
        )
    merged = np.searchsorted(numbers, official) // (len(numbers) // folds)
    units = pd.factorize(table["source"])[0]
    shares = [OFFICIAL_VALIDATION_SHARE, 1 - OFFICIAL_VALIDATION_SHARE]
    columns = []
    for number in range(folds):
        rest = merged != number
        column = np.full(len(table), TEST, dtype=object)
        validates = _deal(units[rest], table["label"][rest], shares, random) == 0
        column[rest] = np.where(validates, VALIDATION, TRAIN)
        columns.append(column)
    return columns


def _deal(units: Counts, labels: pd.Series[int], shares: list[float], random: np.random.Generator) -> Counts:
    """Deal whole units to parts so that each part has its share of every class; the part of each row."""
    _, units = np.unique(units, return_inverse=True)
    classes, labels_from_zero = np.unique(labels, return_inverse=True)
    counts = np.zeros((units.max() + 1, len(classes)))
    np.add.at(counts, (units, labels_from_zero), 1)
    alike = (counts == counts.max()).any(axis=1).all() and ((counts > 0).sum(axis=1) == 1).all()
    parts = (
        _deal_alike(counts.argmax(axis=1), shares, random) if alike else _deal_mixed(counts, shares, random)
    )
    return parts[units]


def _deal_alike(labels: Counts, shares: list[float], random: np.random.Generator) -> Counts:
    """Deal units of one class and size: each part its share of each class, rounded at random."""
    parts = np.zeros(len(labels), dtype=np.int64)
    borders = np.cumsum(shares)[:-1]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        places = (np.arange(len(members)) + random.random()) / len(members)
        parts[members] = np.searchsorted(borders, places, side="right")
    return parts


def _deal_mixed(counts: Counts, shares: list[float], random: np.random.Generator) -> Counts:
    """Deal units of several sizes, with `counts` (units, classes) rows.

    Large ones come first, equals in random order, each to the part that is best for it; then single units are
    moved as long as that helps.
    """
    totals = counts.sum(axis=0)
    wanted = np.outer(shares, totals)
    order = random.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    parts = np.zeros(len(counts), dtype=np.int64)
    filled = np.zeros_like(wanted)
    for unit in order:
        # Change of the squared distance from the wanted counts; ties fall to a random part.
        change = ((2 * (filled - wanted) + counts[unit]) * counts[unit] / totals).sum(axis=1)
        best = np.flatnonzero(change <= change.min() + 1e-12)
        parts[unit] = random.choice(best)
        filled[parts[unit]] += counts[unit]
    _improve(parts, filled, wanted, counts, totals)
    return parts


def _improve(parts: Counts, filled: Counts, wanted: Counts, counts: Counts, totals: Counts) -> None:
    """Move single units between parts while the squared distance from the wanted counts shrinks; in place."""
    for _ in range(IMPROVEMENT_ROUNDS):
        moved = False
        for unit, count in enumerate(counts):
            here = parts[unit]
            leave = ((-2 * (filled[here] - wanted[here]) + count) * count / totals).sum()
            enter = ((2 * (filled - wanted) + count) * count / totals).sum(axis=1)
            enter[here] = -leave
            there = int(np.argmin(enter))
            if enter[there] + leave < -1e-9:
                filled[here] -= count
                filled[there] += count
                parts[unit] = there
                moved = True
        if not moved:
            return


def _check(table: pd.DataFrame, columns: list[Counts], by: str) -> None:
    labels = table["label"].to_numpy()
    classes = np.unique(labels)
    whole = (TRAIN,) if by == "official" else (TRAIN, TEST)
    for number, column in enumerate(columns):
        for part in (TRAIN, TEST, VALIDATION):
            missing = np.setdiff1d(classes, labels[column == part])
            if len(missing) and (part in whole or len(missing) == len(classes)):
                name = table["class_name"].to_numpy()[labels == missing[0]][0]
                recordings = table["source"][labels == missing[0]].nunique()
                raise AdvaudioError(
                    f"With split.by = {by}, the {part} part of fold {number} lacks the class {name}: its "
                    f"{recordings} source recording{'s are' if recordings > 1 else ' is'} too few to deal. Add "
                    "recordings of it, leave the class out, or set split.by = clip if it has more clips."
                )
