"""The paper's six claims (protocol, section 7), each with a verdict computed from the cells.

A claim is about many cases, such as "ρ > 1" for every cell. Each case is a margin with a 95 % interval: above 0
the case speaks for the claim, below 0 against it.

- *holds*: every case's margin is above 0, and the mean margin's interval lies above 0;
- *does not hold*: the interval of a case's margin, or of the mean margin, lies below 0;
- *not enough data*: neither, or no case at all.

A claim of several parts holds if all parts do, and does not hold if one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log10
from typing import Literal

from advaudio.report.cells import words
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.estimates import Estimate, difference, mean
from advaudio.report.cells.grid import Grid, Merged
from advaudio.report.cells.words import attack_name

Verdict = Literal["holds", "does not hold", "not enough data"]

LOOKS_ALIKE = 30.0
"""Peak signal-to-noise ratio in dB from which two pictures count as alike: our assumption, a usual mark of good
lossy compression. The paper gives no measure."""


@dataclass(frozen=True)
class Case:
    """One case of a claim; `margin` above 0 speaks for the claim."""

    name: str
    margin: Estimate


@dataclass(frozen=True)
class Part:
    """A statement about cases.

    Attributes
    ----------
    unit, scale, digits
        Of the margins, as printed.
    exact
        Whether the margins are facts about these clips, not estimates: with 0 or more it holds, with less not.
    average
        Whether the statement is about the mean margin alone, so that a case may go against it.
    """

    statement: str
    cases: Sequence[Case]
    unit: str
    scale: float = 1.0
    digits: int = 2
    exact: bool = False
    average: bool = False

    def speaks_for(self, case: Case) -> bool:
        """Whether a case's margin is on the statement's side."""
        return case.margin.value > 0 or (self.exact and case.margin.value == 0)

    @property
    def verdict(self) -> Verdict:
        """By the rules of the module."""
        if not self.cases:
            return "not enough data"
        if self.exact:
            return "holds" if all(map(self.speaks_for, self.cases)) else "does not hold"
        whole = self.mean_margin
        assert whole is not None
        contradicted = any(case.margin.beyond(0) < 0 for case in self.cases)
        if whole.beyond(0) < 0 or (contradicted and not self.average):
            return "does not hold"
        if whole.beyond(0) > 0 and (self.average or all(map(self.speaks_for, self.cases))):
            return "holds"
        return "not enough data"

    @property
    def mean_margin(self) -> Estimate | None:
        """Mean over the cases; None without any."""
        return mean(case.margin for case in self.cases)

    @property
    def against(self) -> list[Case]:
        """Cases that do not speak for the statement, the farthest from it first."""
        others = (case for case in self.cases if not self.speaks_for(case))
        return sorted(others, key=lambda case: case.margin.value)


@dataclass(frozen=True)
class Claim:
    """One of the paper's claims."""

    letter: str
    text: str
    parts: Sequence[Part]

    @property
    def verdict(self) -> Verdict:
        """Of all parts together."""
        verdicts = {part.verdict for part in self.parts}
        if "does not hold" in verdicts:
            return "does not hold"
        return "holds" if verdicts == {"holds"} else "not enough data"


def claims(grid: Grid) -> list[Claim]:
    """The six claims, with the verdicts that these cells allow."""
    return [
        Claim("a", "DWT beats STFT, and the tonnetz helps, in accuracy", _accuracy_by_representation(grid)),
        Claim("b", "Adversarial training lowers every model's accuracy", [_accuracy_drops(grid)]),
        Claim(
            "c",
            "Within the original models' bound the robust models are fooled less, AlexNet least",
            [_fooled_less(grid), _alexnet_least(grid)],
        ),
        Claim("d", "Without the bound, attacks reach the threshold again", [_reached_again(grid)]),
        Claim("e", "ρ > 1 everywhere", [_rho_above_one(grid)]),
        Claim("f", "Adversarial examples look like their originals", [_look_alike(grid)]),
    ]


def picture_likeness(cell: Cell, attack: str) -> float | None:
    """Peak signal-to-noise ratio in dB of an attack's median adversarial spectrogram; None if unknown."""
    decibels = cell.attacks[attack].decibels
    if not decibels:
        return None
    transform = cell.representation.partition("_")[0]
    return 20 * log10(float(cell.params[transform]["dynamic_range"]) / decibels)


def _places(grid: Grid) -> Iterable[tuple[str, Merged]]:
    return ((merged.cells[0].title, merged) for merged in grid.places.values())


def _cases(pairs: Iterable[tuple[str, Estimate | None]]) -> list[Case]:
    return [Case(name, margin) for name, margin in pairs if margin is not None]


def _accuracy_by_representation(grid: Grid) -> list[Part]:
    parts = []
    for better, worse, statement in (
        ("dwt", "stft", "DWT is more accurate than STFT"),
        ("stft_tonnetz", "stft", "STFT with tonnetz is more accurate than STFT"),
        ("dwt_tonnetz", "dwt", "DWT with tonnetz is more accurate than DWT"),
    ):
        pairs = []
        for place, merged in grid.places.items():
            other = grid.at(place.dataset, worse, place.model)
            if place.representation == better and other is not None:
                name = f"{words.model_name(place.model)} on {words.dataset_name(place.dataset)}"
                pairs.append((name, difference(merged.accuracy("original"), other.accuracy("original"))))
        parts.append(Part(statement, _cases(pairs), " points", 100, 1, average=True))
    return parts


def _accuracy_drops(grid: Grid) -> Part:
    pairs = ((name, merged.measure(lambda cell: cell.drop)) for name, merged in _places(grid))
    return Part("The robust model is less accurate than the original", _cases(pairs), " points", 100, 1)


def _fooled_less(grid: Grid) -> Part:
    def margin(cell: Cell) -> Estimate | None:
        within = []
        # Within its own bound the original model is fooled at the threshold's rate.
        rate = Estimate(cell.threshold, cell.threshold, cell.threshold)
        for result in cell.attacks.values():
            if result.reached["original"] and result.robust_within_bound is not None:
                within.append(difference(rate, result.robust_within_bound))
        return mean(within)

    pairs = ((name, merged.measure(margin)) for name, merged in _places(grid))
    return Part(
        "Within the bound the robust model is fooled less than the original", _cases(pairs), " points", 100, 1
    )


def _alexnet_least(grid: Grid) -> Part:
    pairs = []
    for dataset, representation in grid.rows:
        rates = {
            model: merged.measure(lambda cell: cell.robust_within_bound)
            for model in grid.models
            if (merged := grid.at(dataset, representation, model)) is not None
        }
        others = [rate for model, rate in rates.items() if model != "alexnet" and rate is not None]
        if others:
            least = min(others, key=lambda rate: rate.value)
            name = f"{words.dataset_name(dataset)}, {words.representation_name(representation)}"
            pairs.append((name, difference(least, rates.get("alexnet"))))
    return Part("AlexNet is fooled less than every other model", _cases(pairs), " points", 100, 1)


def _reached_again(grid: Grid) -> Part:
    pairs = [
        (
            f"{attack_name(attack)}, {cell.title}",
            difference(result.robust_fooling_rate, Estimate(cell.threshold)),
        )
        for cell in grid.cells
        for attack, result in cell.attacks.items()
        if result.reached.get("original", False)
    ]
    statement = "An attack that reached the threshold on the original model reaches it on the robust one"
    return Part(statement, _cases(pairs), " points", 100, 1, exact=True)


def _rho_above_one(grid: Grid) -> Part:
    one = Estimate(1, 1, 1)
    pairs = ((name, difference(merged.measure(lambda cell: cell.rho), one)) for name, merged in _places(grid))
    return Part("ρ is above 1", _cases(pairs), "")


def _look_alike(grid: Grid) -> Part:
    pairs = [
        (f"{attack_name(attack)}, {cell.title}", Estimate(likeness - LOOKS_ALIKE))
        for cell in grid.cells
        for attack in cell.attacks
        if (likeness := picture_likeness(cell, attack)) is not None
    ]
    statement = f"The median adversarial spectrogram has a PSNR of {LOOKS_ALIKE:g} dB or more"
    return Part(statement, _cases(pairs), " dB", 1, 1, exact=True)
