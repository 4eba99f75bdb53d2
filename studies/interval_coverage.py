"""How often the intervals of an attack's figures hold the true value: on simulated clips, whose truth is known.

    python -m studies.interval_coverage --json results/interval-coverage/coverage.json

writes that file, and a table (.md) beside it; a quarter of an hour on one core. What the file holds already, with the same
settings, is not simulated again, so a run that was stopped goes on. Clips come from recordings as ESC-50's do. Perturbations are log-normal;
clips of one recording are alike, and a clip that is hard on one model is hard on the other. The intervals are those
that the stage `rho` publishes, beside the percentile interval over clips (what was published before) and over
recordings.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import norm

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_json, write_json, write_text
from advaudio.robustness.fooling_curve import Array
from advaudio.robustness.intervals import COVERAGE, Interval, Recordings
from advaudio.robustness.pair import Pair
from benchmarks.markdown_table import markdown_table

CLIPS_OF_RECORDINGS = {1: 1205, 2: 230, 3: 51, 4: 23, 5: 8, 6: 2, 7: 2, 8: 3}
"""How many recordings of ESC-50 so many clips were cut from."""
CLIPS = (75, 150, 300, 600)
CORRELATIONS = (0.0, 0.3, 0.7)
SPREAD = 1.0
"""Standard deviation of the logarithm of a perturbation; 0.5 (CWA) to 1.4 (DeepFool, PIA) on ESC-50."""
RATIO = 2.0
SHARED = 0.7
"""Correlation of a clip's hardness on both models."""
RIGHT = 0.65
"""Share of the clips that a model has right."""
FOOLED = 0.95
"""Share of the robust model's clips that are ever fooled: the hardest are not. On the original all are."""
THRESHOLD, FACTOR = 0.9, 2.0
METHODS = ("clips, percentile", "recordings, percentile", "published")
FIGURES = {
    "rho": "ρ",
    "rho_equal_shares": "ρ, equal shares",
    "rho_median": "ρ, medians",
    "rho_common": "ρ, common clips",
    "mean_perturbation": "mean perturbation",
    "auc": "area",
    "epsilon_90": "ε₉₀",
    "robust_fooling_rate": "fooling rate",
    "robust_fooling_rate_under_bound": "fooling rate within ε₉₀",
}


def truth() -> dict[str, float]:
    """The figures of infinitely many clips, in closed form."""
    quantile = float(norm.ppf(THRESHOLD))
    shift = np.log(RATIO)

    def mean_of(share: float) -> float:
        """Mean over the easiest share of a log-normal variable whose median is 1."""
        return float(np.exp(SPREAD**2 / 2) * norm.cdf(norm.ppf(share) - SPREAD) / share)

    end = SPREAD * quantile + np.log(FACTOR)
    below = float(norm.cdf(end / SPREAD))
    return {
        "rho": RATIO * mean_of(FOOLED) / float(np.exp(SPREAD**2 / 2)),
        "rho_equal_shares": RATIO,
        "rho_median": RATIO,
        "rho_common": RATIO,
        "mean_perturbation": float(np.exp(SPREAD**2 / 2)),
        "auc": below - mean_of(below) * below / float(np.exp(end)),
        "epsilon_90": float(np.exp(SPREAD * quantile)),
        "robust_fooling_rate": FOOLED,
        "robust_fooling_rate_under_bound": float(norm.cdf(quantile - shift / SPREAD)),
    }


def simulated(generator: np.random.Generator, clips: int, correlation: float) -> Pair:
    """Both models' perturbations of so many clips.

    Parameters
    ----------
    correlation
        Intra-class correlation (0 to 1) of the log perturbations of a recording's clips, and of whether they are right.
    """
    sizes = np.array(list(CLIPS_OF_RECORDINGS))
    shares = np.array(list(CLIPS_OF_RECORDINGS.values())) / sum(CLIPS_OF_RECORDINGS.values())
    cut = generator.choice(sizes, p=shares, size=clips).cumsum()
    codes = np.searchsorted(cut, np.arange(clips), side="right")
    hardness, rightness = (_both_models(generator, codes, correlation) for _ in range(2))
    original, robust = np.exp(SPREAD * hardness[0]), RATIO * np.exp(SPREAD * hardness[1])
    robust[hardness[1] > norm.ppf(FOOLED)] = np.inf
    wrong = rightness > norm.ppf(RIGHT)
    original[wrong[0]], robust[wrong[1]] = np.nan, np.nan
    return Pair(original, robust, Recordings(codes), THRESHOLD, FACTOR)


def _both_models(generator: np.random.Generator, codes: Array, correlation: float) -> Array:
    """Standard normal variables (2, clips), correlated by `SHARED` between models and in recordings as asked."""
    mixing = np.array([[1.0, 0.0], [SHARED, np.sqrt(1 - SHARED**2)]])
    of_recordings = mixing @ generator.standard_normal((2, codes[-1] + 1))
    of_clips = mixing @ generator.standard_normal((2, len(codes)))
    result: Array = np.sqrt(correlation) * of_recordings[:, codes] + np.sqrt(1 - correlation) * of_clips
    return result


@dataclass
class Tally:
    """Over replications: intervals that hold the truth, that there are, and the sum of their widths."""

    held: int = 0
    known: int = 0
    width: float = 0.0

    def add(self, interval: Interval | None, true: float) -> None:
        """Count one interval."""
        if interval is None:
            return
        self.known += 1
        self.held += interval[0] <= true * (1 + 1e-12) and true <= interval[1] * (1 + 1e-12)
        self.width += interval[1] - interval[0]


def percentiles(figures: Mapping[str, Array]) -> dict[str, Interval | None]:
    """Plain percentile intervals of figures in draws; None where a figure is undefined in half of the draws."""
    found: dict[str, Interval | None] = {}
    for name, values in figures.items():
        known = values[np.isfinite(values)]
        enough = len(known) * 2 > len(values)
        ends = np.quantile(known, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]) if enough else (0.0, 0.0)
        found[name] = (float(ends[0]), float(ends[1])) if enough else None
    return found


def coverage(
    clips: int, correlation: float, replications: int, samples: int, seed: int
) -> list[dict[str, Any]]:
    """Rows: of each figure and method how often the interval holds the truth, and its mean width."""
    true = truth()
    tallies = {(figure, method): Tally() for figure in FIGURES for method in METHODS}
    generator = np.random.default_rng([seed, clips, round(100 * correlation)])
    for _ in range(replications):
        pair = simulated(generator, clips, correlation)
        draw = int(generator.integers(2**31))
        alone = Pair(pair.original, pair.robust, Recordings(np.arange(clips)), THRESHOLD, FACTOR)
        values = {name: float(found[0]) for name, found in pair.figures(np.ones((1, clips))).items()}
        drawn = pair.drawn(samples, draw, {"original": values["epsilon_90"]})
        known = {name: values[name] for name in FIGURES}
        intervals = (
            percentiles(alone.figures(next(alone.recordings.draws(samples, draw)))),
            percentiles(drawn.figures),
            pair.intervals_from(drawn, known),
        )
        for method, found in zip(METHODS, intervals, strict=True):
            for figure in FIGURES:
                tallies[figure, method].add(found[figure], true[figure])
    return [
        {
            "clips": clips,
            "correlation": correlation,
            "figure": figure,
            "method": method,
            "coverage": tally.held / tally.known if tally.known else None,
            "defined": tally.known / replications,
            "width": tally.width / tally.known if tally.known else None,
        }
        for (figure, method), tally in tallies.items()
    ]


def main(
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write; a table goes beside it")],
    replications: Annotated[int, typer.Option(min=2, help="simulated data sets of each kind")] = 1000,
    samples: Annotated[int, typer.Option(min=20, help="draws of the recordings of each")] = 400,
    seed: int = 0,
) -> None:
    """Simulate, and count."""
    settings = {
        "replications": replications,
        "samples": samples,
        "seed": seed,
        "nominal": COVERAGE,
        "spread": SPREAD,
        "ratio": RATIO,
        "shared": SHARED,
        "right": RIGHT,
        "fooled": FOOLED,
        "clips_of_recordings": {str(size): count for size, count in CLIPS_OF_RECORDINGS.items()},
        "truth": truth(),
    }
    rows: list[dict[str, Any]] = []
    if json_file.exists():
        earlier = read_json(json_file, "settings", "rows")
        if earlier["settings"] != settings:
            raise AdvaudioError(f"{json_file} was made with other settings. Name another file, or delete it.")
        rows = earlier["rows"]
    done = {(row["clips"], row["correlation"]) for row in rows}
    for clips, correlation in product(CLIPS, CORRELATIONS):
        if (clips, correlation) in done:
            continue
        started = time.monotonic()
        found = coverage(clips, correlation, replications, samples, seed)
        rows += found
        write_json(json_file, {"settings": settings, "rows": rows})
        held = {row["figure"]: row["coverage"] for row in found if row["method"] == METHODS[-1]}
        print(
            f"{clips} clips, correlation {correlation}, {time.monotonic() - started:.0f} s: {held}",
            flush=True,
        )
    write_text(json_file.with_suffix(".md"), table(rows))
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Lowest coverage of each figure over all kinds of data, by method; of the last method where, and how many have none."""
    lines = []
    for figure, title in FIGURES.items():
        line: dict[str, Any] = {"figure": title}
        for method in METHODS:
            own = [row for row in rows if (row["figure"], row["method"]) == (figure, method)]
            least = min((row for row in own if row["coverage"] is not None), key=lambda row: row["coverage"])
            line[method] = f"{least['coverage']:.3f}"
        # Of the last method, the published one.
        line["of (clips, correlation)"] = f"{least['clips']}, {least['correlation']}"
        line["no interval"] = f"{1 - min(row['defined'] for row in own):.1%}"
        lines.append(line)
    return markdown_table(lines, numbers_from=1)


if __name__ == "__main__":
    typer.run(main)
