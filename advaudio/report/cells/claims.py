"""The paper's six claims, each with a verdict computed from the cells.

A claim is about many cases, such as "ρ > 1" for every cell. Each case is a margin with a 95 % interval: above 0
the case speaks for the claim, below 0 against it. With 24 cases one interval of 20 lies on the wrong side of a true
margin by chance, so cases are not judged one by one:

- *does not hold*: the claim is refuted. Each case, and each statement's mean margin, is a test of "the margin is not
  below 0". Holm's correction goes over all tests of the claim, so that a claim whose statements are all true is
  refuted with a probability of at most 5 %, however many cases it has. What refutes has its own 95 % interval below
  0 too.
- *holds*: the interval of the mean margin lies above 0, and nothing refutes. Cases that the data leave undecided are
  named and stand in nobody's way: of many cases some always are undecided, and then no claim could hold.
- *not enough data*: neither. The interval of the mean margin contains 0, or is not known, or there is no case, or
  the refutation rests on one clip.

A claim about averages is judged on the mean margin alone: its cases are no tests. A claim of several statements holds
if all of them do.

The test of a margin takes its probability

- from the 95 % interval, by a normal approximation: of differences as they are, of ratios such as ρ on the scale of
  the logarithm;
- for a share of clips against a limit from the counts, by the binomial distribution. The interval that is printed is
  Wilson's;
- for a median against a limit by the sign test: the share of the values on its side against one half. The interval
  that is printed is that of the ordered values.

Where a test is of counted clips, one more clip for the claim must not undo a refutation. The mean margin must also be
on the same side without the cases that one clip less would remove. Otherwise the verdict is *not enough data*, so no
single clip turns *holds* into *does not hold* or back.

The intervals are over clips: they say nothing of what another training would give, unless there are several seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log10
from typing import Literal

from advaudio.report.cells import words
from advaudio.report.cells.cell import AttackResult, Cell, Changes
from advaudio.report.cells.estimates import (
    Estimate,
    Tally,
    chance_below,
    difference,
    holm,
    mean,
    median_of,
    over_seeds,
    share_of_clips,
)
from advaudio.report.cells.grid import Grid, Merged
from advaudio.report.cells.words import attack_name

Verdict = Literal["holds", "does not hold", "not enough data"]

FAMILY_WISE_ERROR = 0.05
"""Probability that a true claim is said not to hold."""

LOOKS_ALIKE = 30.0
"""Peak signal-to-noise ratio in dB from which two pictures count as alike: our assumption, a usual mark of good
lossy compression. The paper gives no measure."""

LEAST_CHANGE = 0.001
"""In dB; what changes less counts as changed so much, since the ratio of nothing is infinite."""


@dataclass(frozen=True)
class Case:
    """One case of a claim; `margin` above 0 speaks for the claim.

    Attributes
    ----------
    tally
        The counted clips, where the case is about a share or a median.
    firm
        Of counted clips: whether it would still be a case with one clip less.
    group
        What it has in common with other cases, such as the cell.
    """

    name: str
    margin: Estimate
    tally: Tally | None = None
    firm: bool = True
    group: str = ""


@dataclass(frozen=True)
class Part:
    """A statement about cases.

    Attributes
    ----------
    unit, scale, digits
        Of the margins, as printed.
    average
        Whether the statement is about the mean margin alone, so that a case may go against it.
    ratio
        Whether the margins are ratios minus 1.
    between
        Whether the mean margin has an interval even where cases have none: Student's, over the means of the groups
        (of one group alone, over its cases).
    """

    statement: str
    cases: Sequence[Case]
    unit: str
    scale: float = 1.0
    digits: int = 2
    average: bool = False
    ratio: bool = False
    between: bool = False

    @property
    def mean_margin(self) -> Estimate | None:
        """Mean over the cases; None without any."""
        whole = mean(case.margin for case in self.cases)
        if whole is None or whole.low is not None or not self.between:
            return whole
        groups: dict[str, list[Estimate]] = {}
        for case in self.cases:
            groups.setdefault(case.group, []).append(Estimate(case.margin.value))
        means = [mean(margins) for margins in groups.values()]
        return over_seeds(means if len(means) > 1 else [Estimate(case.margin.value) for case in self.cases])

    @property
    def firm(self) -> Part:
        """The same statement about the firm cases alone."""
        return replace(self, cases=[case for case in self.cases if case.firm])

    @property
    def true_cases(self) -> int:
        """How many margins are 0 or more: a share may be just the one asked for."""
        return len(self.cases) - len(self.other_side)

    @property
    def other_side(self) -> list[Case]:
        """Cases whose margin, whatever its interval, is against the statement; the farthest first."""
        return self._sorted(case for case in self.cases if case.margin.value < 0)

    def undecided(self, refuting: Sequence[Case] = ()) -> list[Case]:
        """Cases whose interval is known and that speak neither clearly for the statement nor refute it."""
        return self._sorted(
            case
            for case in self.cases
            if case.margin.low is not None and case.margin.beyond(0) <= 0 and case not in refuting
        )

    @property
    def without_interval(self) -> list[Case]:
        """Cases that no test can use."""
        return self._sorted(case for case in self.cases if case.margin.low is None)

    @staticmethod
    def _sorted(cases: Iterable[Case]) -> list[Case]:
        return sorted(cases, key=lambda case: case.margin.value)


@dataclass(frozen=True)
class _Test:
    """A look at a claim that may refute it; `case` is None for the mean margin.

    Attributes
    ----------
    chance, cautious
        Probability of what was seen if the margin is 0; the same with one more clip for the claim, and without the
        cases that one clip less would remove.
    below
        Whether the whole 95 % interval lies below 0.
    """

    part: Part
    case: Case | None
    chance: float
    cautious: float
    below: bool


@dataclass(frozen=True)
class Claim:
    """One of the paper's claims."""

    letter: str
    text: str
    parts: Sequence[Part]

    @property
    def verdict(self) -> Verdict:
        """Of all parts together."""
        verdicts = {self.verdict_on(part) for part in self.parts}
        if "does not hold" in verdicts:
            return "does not hold"
        return "holds" if verdicts == {"holds"} else "not enough data"

    def verdict_on(self, part: Part) -> Verdict:
        """On one of the claim's parts, by the rules of the module."""
        if any(test.part is part for test in self._refuting):
            return "does not hold"
        if any(test.part is part for test in self._nearly_refuting):
            return "not enough data"
        means = (part.mean_margin, part.firm.mean_margin)
        return "holds" if all(found and found.beyond(0) > 0 for found in means) else "not enough data"

    def refuting_cases(self, part: Part) -> list[Case]:
        """Cases of a part that refute it after the correction, the farthest from it first."""
        found = [test.case for test in self._refuting if test.part is part and test.case is not None]
        return sorted(found, key=lambda case: case.margin.value)

    @cached_property
    def _tests(self) -> list[_Test]:
        tests = []
        for part in self.parts:
            found = [] if part.average else [_test_of_case(part, case) for case in part.cases]
            tests += [test for test in [*found, _test_of_mean(part)] if test is not None]
        return tests

    @cached_property
    def _refuting(self) -> list[_Test]:
        adjusted = holm([test.cautious for test in self._tests])
        return [
            test
            for test, chance in zip(self._tests, adjusted, strict=True)
            if chance < FAMILY_WISE_ERROR and test.below
        ]

    @cached_property
    def _nearly_refuting(self) -> list[_Test]:
        adjusted = holm([test.chance for test in self._tests])
        return [
            test for test, chance in zip(self._tests, adjusted, strict=True) if chance < FAMILY_WISE_ERROR
        ]


def _test_of_mean(part: Part) -> _Test | None:
    """The test of the mean margin; None where its interval is not known."""
    whole, firm = part.mean_margin, part.firm.mean_margin
    chance = None if whole is None else chance_below(whole, ratio=part.ratio)
    if whole is None or chance is None:
        return None
    of_firm = None if firm is None else chance_below(firm, ratio=part.ratio)
    return _Test(part, None, chance, 1.0 if of_firm is None else max(chance, of_firm), whole.beyond(0) < 0)


def _test_of_case(part: Part, case: Case) -> _Test | None:
    """The test of a case; None where neither its interval nor its counts are known."""
    below = case.margin.beyond(0) < 0
    if case.tally is not None:
        cautious = case.tally.with_one_more.chance if case.firm else 1.0
        return _Test(part, case, case.tally.chance, cautious, below)
    chance = chance_below(case.margin, ratio=part.ratio)
    return None if chance is None else _Test(part, case, chance, chance, below)


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


def likeness_of(changes: Changes, dynamic_range: float) -> tuple[Estimate, Tally | None]:
    """Peak signal-to-noise ratio in dB of the median adversarial spectrogram, and how many are alike.

    Parameters
    ----------
    changes
        Of an attack on a model.
    dynamic_range
        Of the spectrogram in dB: the peak.

    Returns
    -------
    tuple
        The ratio, with the interval of the median where the clips' own changes are known, and then the clips with
        a ratio of `LOOKS_ALIKE` or more against one half of them.
    """

    def ratio(decibels: float) -> float:
        return 20 * log10(dynamic_range / max(decibels, LEAST_CHANGE))

    if not changes.values:
        return Estimate(ratio(changes.median)), None
    alike = sum(ratio(change) >= LOOKS_ALIKE for change in changes.values)
    return median_of([ratio(change) for change in changes.values]), Tally(alike, len(changes.values), 0.5)


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
    cases = []
    for dataset, representation in grid.rows:
        rates = {
            model: merged.measure(lambda cell: cell.robust_within_bound)
            for model in grid.models
            if (merged := grid.at(dataset, representation, model)) is not None
        }
        # One case for each other model: the best of several is better than any one of them by chance alone.
        place = f"{words.dataset_name(dataset)}, {words.representation_name(representation)}"
        pairs = (
            (f"{words.model_name(model)} on {place}", difference(rate, rates.get("alexnet")))
            for model, rate in rates.items()
            if model != "alexnet"
        )
        cases += _cases(pairs)
    return Part("AlexNet is fooled less than every other model", cases, " points", 100, 1)


def _reached_again(grid: Grid) -> Part:
    cases = [
        Case(
            f"{attack_name(attack)}, {cell.title}",
            margin,
            Tally(fooled, attacked, cell.threshold),
            firm=_reaches_with_one_less(result, cell.threshold),
            group=cell.name,
        )
        for cell in grid.cells
        for attack, result in cell.attacks.items()
        if result.reached.get("original", False) and "robust" in result.clips
        for fooled, attacked in [result.clips["robust"]]
        if attacked
        for margin in [_above(share_of_clips(fooled / attacked, attacked), cell.threshold)]
    ]
    statement = "An attack that reached the threshold on the original model reaches it on the robust one"
    return Part(statement, cases, " points", 100, 1)


def _above(estimate: Estimate, limit: float) -> Estimate:
    """How far an estimate lies above a limit that is no estimate."""
    return replace(
        estimate,
        value=estimate.value - limit,
        low=None if estimate.low is None else estimate.low - limit,
        high=None if estimate.high is None else estimate.high - limit,
    )


def _reaches_with_one_less(result: AttackResult, threshold: float) -> bool:
    fooled, attacked = result.clips["original"]
    return fooled - 1 >= threshold * attacked - 1e-9


def _rho_above_one(grid: Grid) -> Part:
    one = Estimate(1, 1, 1)
    pairs = ((name, difference(merged.measure(lambda cell: cell.rho), one)) for name, merged in _places(grid))
    return Part("ρ is above 1", _cases(pairs), "", ratio=True)


def _look_alike(grid: Grid) -> Part:
    cases = []
    for cell in grid.cells:
        transform = cell.representation.partition("_")[0]
        dynamic_range = float(cell.params[transform]["dynamic_range"])
        for attack, result in cell.attacks.items():
            for model, changes in result.changes.items():
                likeness, alike = likeness_of(changes, dynamic_range)
                name = f"{attack_name(attack)} on the {model} model, {cell.title}"
                cases.append(Case(name, _above(likeness, LOOKS_ALIKE), alike, group=cell.name))
    statement = f"The median adversarial spectrogram has a PSNR of {LOOKS_ALIKE:g} dB or more"
    return Part(statement, cases, " dB", 1, 1, between=True)
