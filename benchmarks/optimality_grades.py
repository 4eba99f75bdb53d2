"""What the files of `benchmarks.optimality` say: the table of the attacks, and the grades that the report shows.

    python -m benchmarks.optimality_grades table results/optimality/*.json
    python -m benchmarks.optimality_grades write results/optimality/*.json

A grade belongs to an attack's settings, budget step included, and to the code of its class. `write` leaves out what
was measured on other code than that of today.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from advaudio.core.files import write_json
from advaudio.core.resume import code_digest
from advaudio.report.cells.strengths import STRENGTHS
from benchmarks.markdown_table import markdown_table
from benchmarks.optimality_score import Score, read_measured, scores

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
NORMS = {"linf": "L∞", "l2": "L2", "l0": "L0"}
Files = Annotated[list[Path], typer.Argument(help="JSON files of benchmarks.optimality")]


def grades(contents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One grade for each attack, settings and code: the worst and the mean over the models.

    An attack has none on a model where no reference with its norm and goal ran on all clips: it would be held against
    ours alone. A ratio is None where the attack fooled no more than half of a model's clips.
    """
    found: dict[str, dict[str, Any]] = {}
    measured: dict[str, list[tuple[Score, dict[str, Any]]]] = {}
    for content in contents:
        lines = scores(content)
        for score in lines:
            about = content["variants"][score.variant]
            if (
                about["settings"] is None
                or score.budget != about["budget"]
                or not _references(score, lines, content)
            ):
                continue
            key = json.dumps([about["attack"], about["settings"], about["code"]], sort_keys=True)
            found.setdefault(
                key,
                {name: about[name] for name in ("attack", "settings", "code", "norm", "targeted")},
            )
            models = [other["key"]["model"] for _, other in measured.get(key, [])]
            if content["key"]["model"] not in models:  # equal steps of two budgets were measured twice
                measured.setdefault(key, []).append((score, content))
    return [
        {
            **about,
            "optimality": _over_models([score.optimality for score, _ in measured[key]], min),
            "median_ratio": _over_models([score.ratio for score, _ in measured[key]], max),
            "measured_on": [
                {
                    "title": content["key"]["title"],
                    "clips": score.clips,
                    "references": _references(score, scores(content), content),
                    "commit": content.get("commit"),
                    "date": content.get("date"),
                }
                for score, content in measured[key]
            ],
        }
        for key, about in found.items()
    ]


def _references(score: Score, lines: Sequence[Score], content: dict[str, Any]) -> list[str]:
    """The references that ran on all clips with the norm and goal of a score."""
    return [
        other.attack
        for other in lines
        if content["variants"][other.variant]["settings"] is None
        and (other.norm, other.targeted) == (score.norm, score.targeted)
        and other.clips == content["key"]["clips"]
    ]


def _over_models(values: Sequence[float], worst: Any) -> dict[str, float] | None:
    if not all(math.isfinite(value) for value in values):
        return None
    return {"worst": worst(values), "mean": float(np.mean(values))}


@app.command()
def write(files: Files, to: Annotated[Path, typer.Option(help="file to write")] = STRENGTHS) -> None:
    """Write the grades of the attacks as their code is today."""
    kept: list[dict[str, Any]] = []
    outdated: list[dict[str, Any]] = []
    for grade in grades([read_measured(path) for path in files]):
        path = Path(grade["settings"]["code"])
        today = path.exists() and code_digest(path) == grade["code"]
        (kept if today else outdated).append(grade)
    write_json(to, {"command": "python -m benchmarks.optimality_grades write", "grades": kept})
    print(f"{to}: {len(kept)} grades of {len({grade['attack'] for grade in kept})} attacks")
    if outdated:
        names = ", ".join(sorted({grade["attack"] for grade in outdated}))
        print(f"left out, measured on other code than today's: {len(outdated)} ({names})")


@app.command()
def table(files: Files) -> None:
    """Print one Markdown table for each model."""
    for path in files:
        content = read_measured(path)
        print(f"### {content['key']['title']}, {content['key']['clips']} clips\n")
        print(as_markdown(scores(content)))


def as_markdown(lines: Sequence[Score]) -> str:
    """The table of one model, the lines of a norm and goal together, the best first."""
    order = sorted(lines, key=lambda score: (not score.targeted, score.norm, -score.optimality))
    return markdown_table(
        [
            {
                "attack": score.attack,
                "norm": NORMS[score.norm],
                "goal": "targeted" if score.targeted else "untargeted",
                "budget": score.budget,
                "clips": str(score.clips),
                "passes per clip": f"{score.passes:,.0f}",
                "fooled": f"{100 * score.fooled:.1f} %",
                "median norm over the best": f"{score.ratio:.2f}" if math.isfinite(score.ratio) else "–",
                "optimality": f"{score.optimality:.2f}",
            }
            for score in order
        ],
        numbers_from=4,
    )


if __name__ == "__main__":
    app()
