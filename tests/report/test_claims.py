"""Each of the six claims turns with its numbers: holds, does not hold, not enough data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from advaudio.report.cells.cell import Changes, cell_of, read_cell, read_cell_file
from advaudio.report.cells.claims import Case, Claim, Part, claims
from advaudio.report.cells.estimates import Estimate, Tally, chance_below, difference, share_of_clips
from advaudio.report.cells.grid import Grid, Merged, Place, build_grid
from advaudio.report.cells.sources import Folder
from advaudio.report.tables.table_files import evidence, markdown
from advaudio.report.tables.tables import result_tables
from tests.report.cells import made_cell, write_cell

RESULTS = Path(__file__).resolve().parents[2] / "results"

STFT = {"representation": "stft"}
DWT = {"representation": "dwt"}
STFT_TONNETZ = {"representation": "stft_tonnetz"}
DWT_TONNETZ = {"representation": "dwt_tonnetz"}
VGG = {"model": "vgg16"}

CASES: list[tuple[str, str, list[dict[str, Any]], str]] = [
    (
        "a",
        "each step up is far beyond chance",
        [
            {**STFT, "accuracy": 0.4},
            {**DWT, "accuracy": 0.6},
            {**STFT_TONNETZ, "accuracy": 0.6},
            {**DWT_TONNETZ, "accuracy": 0.8},
        ],
        "holds",
    ),
    (
        "a",
        "the tonnetz harms the DWT",
        [
            {**STFT, "accuracy": 0.4},
            {**DWT, "accuracy": 0.6},
            {**STFT_TONNETZ, "accuracy": 0.6},
            {**DWT_TONNETZ, "accuracy": 0.4},
        ],
        "does not hold",
    ),
    (
        "a",
        "the DWT's lead is within chance",
        [
            {**STFT, "accuracy": 0.60},
            {**DWT, "accuracy": 0.62},
            {**STFT_TONNETZ, "accuracy": 0.8},
            {**DWT_TONNETZ, "accuracy": 0.8},
        ],
        "not enough data",
    ),
    ("a", "STFT alone", [{**STFT}], "not enough data"),
    ("b", "a large drop", [{"accuracy": 0.8, "robust_accuracy": 0.6}], "holds"),
    (
        "b",
        "one of two models gains beyond chance",
        [{"accuracy": 0.8, "robust_accuracy": 0.6}, {**VGG, "accuracy": 0.6, "robust_accuracy": 0.8}],
        "does not hold",
    ),
    ("b", "a drop within chance", [{"accuracy": 0.80, "robust_accuracy": 0.79}], "not enough data"),
    (
        "b",
        "one model's gain within chance",
        [{"accuracy": 0.8, "robust_accuracy": 0.4}, {**VGG, "accuracy": 0.80, "robust_accuracy": 0.81}],
        "holds",
    ),
    ("c", "AlexNet is fooled least", [{"ratio": 4.0}, {**VGG, "ratio": 1.5}], "holds"),
    ("c", "AlexNet is fooled most", [{"ratio": 1.5}, {**VGG, "ratio": 4.0}], "does not hold"),
    ("c", "the robust models are fooled more", [{"ratio": 0.5}, {**VGG, "ratio": 0.4}], "does not hold"),
    ("c", "no model beside AlexNet", [{"ratio": 4.0}], "not enough data"),
    ("d", "all robust clips fooled", [{}], "holds"),
    ("d", "exactly at the threshold", [{"robust_fooled": 0.9}], "not enough data"),
    ("d", "robust model short of it within chance", [{"robust_fooled": 0.87}], "not enough data"),
    ("d", "robust model far short of it", [{"robust_fooled": 0.8}], "does not hold"),
    (
        "d",
        "far short of it, but one clip less and the original is no case",
        [{"fooled": 0.9, "robust_fooled": 0.5}],
        "not enough data",
    ),
    ("d", "never reached on the original", [{"fooled": 0.5}], "not enough data"),
    ("e", "dearer in both cells", [{"ratio": 2.0}, {**VGG, "ratio": 1.5}], "holds"),
    ("e", "cheaper in one cell", [{"ratio": 2.0}, {**VGG, "ratio": 0.7}], "does not hold"),
    ("e", "ρ undefined", [{"fooled": 0.5}], "not enough data"),
    ("f", "1 dB of 80", [{"decibels": 1.0}], "holds"),
    ("f", "one cell with 8 dB of 80", [{"decibels": 1.0}, {**VGG, "decibels": 8.0}], "does not hold"),
]


def _claim(letter: str, cells: list[dict[str, Any]]) -> Claim:
    grid = build_grid(made_cell(**settings) for settings in cells)
    return next(claim for claim in claims(grid) if claim.letter == letter)


@pytest.mark.parametrize(
    ("letter", "cells", "verdict"),
    [(letter, cells, verdict) for letter, _, cells, verdict in CASES],
    ids=[f"{letter}: {name}" for letter, name, _, _ in CASES],
)
def test_verdict_follows_from_the_numbers(letter: str, cells: list[dict[str, Any]], verdict: str) -> None:
    assert _claim(letter, cells).verdict == verdict


def test_metrics_without_outputs_leave_claims_open_that_need_them(tmp_path: Path) -> None:
    folder = write_cell(tmp_path / "whole")
    (folder / "outputs").rename(tmp_path / "elsewhere")
    verdicts = {
        claim.letter: claim.verdict for claim in claims(build_grid([read_cell(Folder(folder, "bare"))]))
    }
    assert set(verdicts.values()) == {"not enough data"}


def test_evidence_names_the_cells_that_go_against_the_claim() -> None:
    claim = _claim("e", [{"ratio": 2.0}, {**VGG, "ratio": 0.7}])
    (part,) = claim.parts
    assert [case.name for case in claim.refuting_cases(part)] == ["VGG-16 on ESC-50, STFT"]
    sentence = evidence(claim, part)
    assert "true of 1 of 2 cases" in sentence
    assert "Against it after Holm's correction: VGG-16 on ESC-50, STFT (−0.30" in sentence
    assert "AlexNet" not in sentence


def _judged(cases: Sequence[Case], **options: Any) -> Claim:
    return Claim("x", "a claim", [Part("a statement", cases, "", **options)])


def _case(value: float, half: float) -> Case:
    return Case("a case", Estimate(value, value - half, value + half))


def test_undecided_cases_do_not_stop_a_claim_and_are_named() -> None:
    claim = _judged([_case(5, 1)] * 10 + [_case(-0.5, 1)])
    (part,) = claim.parts
    assert claim.verdict == "holds"
    assert [case.margin.value for case in part.undecided()] == [-0.5]
    assert "Undecided after Holm's correction: a case (−0.50 (−1.50 to 0.50))." in evidence(claim, part)


def test_what_refutes_alone_does_not_refute_among_many() -> None:
    """A margin of −2.5 standard errors: 0.6 % by chance, but 13 % that one of 24 looks comes to it."""
    standard = 1.959964
    assert _judged([_case(-2.5, standard)]).verdict == "does not hold"
    many = [_case(-2.5, standard)] + [_case(4, standard)] * 23
    assert _judged(many).verdict == "holds"
    assert _judged([_case(-4, standard), *many[1:]]).verdict == "does not hold"


def test_a_claim_about_the_average_is_judged_on_it_alone() -> None:
    cases = [_case(10, 1)] * 3 + [_case(-5, 1)]
    assert _judged(cases).verdict == "does not hold"
    assert _judged(cases, average=True).verdict == "holds"


def test_a_ratio_is_judged_on_the_scale_of_its_logarithm() -> None:
    """A ρ of 0.5 from 0.25 to 1.0: the end on the side of 1 is at 1.96 standard errors exactly."""
    assert chance_below(Estimate(-0.5, -0.75, 0.0), ratio=True) == pytest.approx(0.025)
    two_halvings = math.log(0.5) / (math.log(0.8 / 0.5) / 1.959964)
    assert chance_below(Estimate(-0.5, -0.7, -0.2), ratio=True) == pytest.approx(stats.norm.cdf(two_halvings))


GRIDS = 1500
CELLS = 24


def test_true_claims_are_rarely_refuted_by_margins() -> None:
    """All 24 margins are 0: the hardest case in which the claim "not below" is true."""
    generator = np.random.default_rng(0)
    errors = generator.standard_normal((GRIDS, CELLS))
    shared = generator.standard_normal((GRIDS, 1))
    for drawn in (errors, (errors + shared) / math.sqrt(2)):
        wrong = sum(
            _judged([_case(value, 1.959964) for value in grid]).verdict == "does not hold" for grid in drawn
        )
        # 5 %, and three standard errors of 1,500 grids.
        assert wrong / GRIDS <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / GRIDS)
    uncorrected = (errors < -1.959964).any(axis=1).mean()
    assert uncorrected > 0.4, "without the correction the claim would often be refuted"


@pytest.mark.parametrize(("clips", "share"), [(50, 0.9), (75, 0.9), (40, 0.5)])
def test_true_claims_are_rarely_refuted_by_counts(clips: int, share: float) -> None:
    """All 24 true shares are those asked for."""
    drawn = np.random.default_rng(1).binomial(clips, share, (GRIDS // 3, CELLS))
    wrong = sum(
        _judged([_counted(int(count), clips, share) for count in grid]).verdict == "does not hold"
        for grid in drawn
    )
    assert wrong / len(drawn) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(drawn))


def _counted(count: int, clips: int, share: float) -> Case:
    rate = share_of_clips(count / clips, clips)
    return Case("a case", difference(rate, Estimate(share, share, share)) or rate, Tally(count, clips, share))


class _Counts:
    """24 cells of one attack each: of 60 clips how many it fools, and how it changes them in dB."""

    attacked = 60

    def __init__(self) -> None:
        self.fooled = {"original": [60] * CELLS, "robust": [59] * CELLS}
        # A dynamic range of 80 dB: 30 dB of signal-to-noise ratio are a change of 80 / 10^1.5 = 2.53 dB.
        self.decibels = [np.linspace(0.5, 1.5, self.attacked).tolist() for _ in range(CELLS)]
        self._made = made_cell()

    def verdict(self, letter: str) -> str:
        cells = []
        for number, changes in enumerate(self.decibels):
            clips = {model: (counts[number], self.attacked) for model, counts in self.fooled.items()}
            result = replace(
                self._made.attacks["bim_a"],
                reached={"original": clips["original"][0] >= 0.9 * self.attacked},
                clips=clips,
                changes=dict.fromkeys(clips, Changes(float(np.median(changes)), changes)),
            )
            cells.append(replace(self._made, name=f"cell {number}", attacks={"bim_a": result}))
        grid = Grid({Place("esc50", "stft", "alexnet"): Merged(cells)}, {}, [])
        return next(claim for claim in claims(grid) if claim.letter == letter).verdict


ORDER = ["holds", "not enough data", "does not hold"]


def test_one_cell_that_gets_worse_clip_by_clip_passes_through_not_enough_data() -> None:
    counts, seen = _Counts(), []
    for fooled in range(60, 29, -1):
        counts.fooled["robust"][0] = fooled
        seen.append(counts.verdict("d"))
    assert list(dict.fromkeys(seen)) == ORDER
    assert seen == sorted(seen, key=ORDER.index)
    assert seen[: 60 - 53] == ["holds"] * 7, "a clip below 90 % decides nothing"

    counts, seen = _Counts(), []
    for clip in range(60):
        counts.decibels[0][clip] = 10.0
        seen.append(counts.verdict("f"))
    assert list(dict.fromkeys(seen)) == ORDER
    assert seen == sorted(seen, key=ORDER.index)


@pytest.mark.parametrize("seed", range(4))
def test_no_single_clip_turns_a_verdict_around(seed: int) -> None:
    """A walk of single clips, up and down, through grids in which some cells are at the edge of refuting."""
    generator = np.random.default_rng(seed)
    counts = _Counts()
    # With 60 clips and 24 cells, 44 fooled refute "90 %" or nearly so; 54 just reach it.
    counts.fooled["robust"] = [60] * (CELLS - 2) + [44, 43]
    counts.fooled["original"] = [60] * (CELLS - 2) + [54, 55]
    for clip in range(42):
        counts.decibels[0][clip] = 10.0
    before = {letter: counts.verdict(letter) for letter in "df"}
    seen = {letter: {verdict} for letter, verdict in before.items()}
    for _ in range(120):
        cell = int(generator.choice([CELLS - 1, CELLS - 2]))
        model = str(generator.choice(["original", "robust"]))
        low, high = (53, 56) if model == "original" else (40, 47)
        moved = counts.fooled[model][cell] + int(generator.choice([-1, 1]))
        counts.fooled[model][cell] = min(max(moved, low), high)
        clip = int(generator.integers(35, 48))
        counts.decibels[0][clip] = float(generator.choice([1.0, 10.0]))
        for letter, verdict in before.items():
            now = counts.verdict(letter)
            assert {verdict, now} != {"holds", "does not hold"}
            before[letter] = now
            seen[letter].add(now)
    assert all(len(verdicts) > 1 for verdicts in seen.values()), "the walk must cross an edge"


def test_likeness_looks_at_both_models() -> None:
    cell = made_cell(decibels=1.0)
    names = [
        case.name
        for claim in claims(build_grid([cell]))
        if claim.letter == "f"
        for case in claim.parts[0].cases
    ]
    assert sorted(names) == sorted(
        f"{attack} on the {model} model, AlexNet on ESC-50, STFT"
        for attack in ("BIM-a", "CWA")
        for model in ("original", "robust")
    )


def test_likeness_without_an_interval_is_judged_on_the_average_and_says_so() -> None:
    """Records made before the clips' changes were kept."""
    made = [made_cell(decibels=1.0, model=model) for model in ("alexnet", "vgg16", "resnet18")]
    cells = []
    for cell in made:
        record = {**cell.record, "rho": {key: cell.record["rho"][key] for key in ("mean", "comparable")}}
        for details in record["attacks"].values():
            details["norm"] = "linf"
        cells.append(cell_of(record, cell.name))
    claim = next(claim for claim in claims(build_grid(cells)) if claim.letter == "f")
    (part,) = claim.parts
    assert all(case.margin.low is None for case in part.cases)
    # 20·log10(80 / 1) − 30 in every case.
    assert part.mean_margin is not None
    assert part.mean_margin.value == pytest.approx(8.0618, abs=1e-4)
    assert claim.verdict == "holds"
    assert "No interval is known for 12 cases" in evidence(claim, part)


def test_the_fooling_curve_in_l2_tells_the_decibels_of_every_clip() -> None:
    """Where a picture is the spectrogram alone, one is a constant times the other: here 5 dB for each unit."""
    cell = made_cell()
    record = {**cell.record, "rho": {key: cell.record["rho"][key] for key in ("mean", "comparable")}}
    curve = {"epsilon": [0.0, 0.1, 0.2, 0.4], "fooling_rate": [0.0, 0.25, 0.75, 1.0]}
    own = {
        **record["attacks"]["cwa"]["models"]["original"],
        "clips_attacked": 4,
        "clips_fooled": 4,
        "curve": curve,
        "perturbation": {"l2": {"median": 0.2}, "decibels_rms": {"median": 1.0}},
    }
    record["attacks"]["cwa"]["models"]["original"] = own
    found = cell_of(record, "a").attacks["cwa"].changes["original"]
    assert found.values == pytest.approx([0.5, 1.0, 1.0, 2.0])
    record["params"]["representation"] = "stft_tonnetz"
    assert cell_of(record, "a").attacks["cwa"].changes["original"].values is None


@pytest.mark.parametrize(
    ("records", "tables"),
    [
        ("esc50-grid/cells/*.json", "esc50-grid/tables.md"),
        ("esc50-alexnet/results.json", "esc50-alexnet/tables/tables.md"),
    ],
)
def test_kept_tables_hold_what_the_kept_records_say(records: str, tables: str) -> None:
    """Records made by earlier versions: their verdicts in results/ are those of the present rules."""
    grid = build_grid(read_cell_file(path) for path in sorted(RESULTS.glob(records)))
    now = markdown(result_tables(grid), claims(grid), grid)
    kept = (RESULTS / tables).read_text(encoding="utf-8")
    assert kept.partition("## The paper's claims")[2] == now.partition("## The paper's claims")[2] != ""


def test_a_record_without_the_newer_keys_has_a_verdict_on_every_claim() -> None:
    grid = build_grid([read_cell_file(RESULTS / "esc10-alexnet" / "results.json")])
    assert {claim.letter: claim.verdict for claim in claims(grid)} == {
        "a": "not enough data",
        "b": "not enough data",
        "c": "not enough data",
        "d": "holds",
        "e": "holds",
        "f": "holds",
    }
