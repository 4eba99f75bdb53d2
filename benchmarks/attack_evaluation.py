"""A whole evaluation of two models, timed, and their gradient-masking checks.

    python -m benchmarks.attack_evaluation attacks --params params.yaml --original A --robust B \\
        --pictures data/pictures/pictures.npy --split data/split.csv --json attacks.json
    python -m benchmarks.attack_evaluation masking --original A --robust B --pictures P --split S --json masking.json
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from advaudio.core.files import write_json
from advaudio.core.params import read_params
from advaudio.evaluation.attack_evaluation import Resources, evaluate_attack
from advaudio.evaluation.attacked_clips import AttackedClips, read_attacked_clips
from advaudio.evaluation.budget_schedule import budget_schedule
from advaudio.evaluation.gradient_masking import apgd_of_art, masking_checks
from advaudio.robustness.black_box import white_box_beats_black_box
from advaudio.robustness.headline import StatisticsSettings, headline_metrics
from advaudio.robustness.rho import rho_over_attacks

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
JsonFile = Annotated[Path, typer.Option("--json", help="JSON file to write")]
ModelFile = Annotated[Path, typer.Option(help="model file")]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@app.command()
def attacks(
    json_file: JsonFile,
    original: ModelFile,
    robust: ModelFile,
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    params: Path = Path("params.yaml"),
    clips: Annotated[int | None, typer.Option(help="attack only so many")] = None,
    outputs: Annotated[
        Path | None, typer.Option(help="folder for what the attack stages would write")
    ] = None,
    device: str = DEVICE,
) -> None:
    """All attacks of a parameter file on two models, timed, with their headline figures and ρ."""
    chosen = read_params(params)
    test = read_attacked_clips(pictures, split, original, robust)
    few = slice(None, clips)
    attacked = AttackedClips(test.pictures[few], test.labels[few], test.samples[few])
    tables, results, begun = {}, {}, time.perf_counter()
    statistics = StatisticsSettings()
    for name in chosen.attacks:
        settings, budgets = chosen.attack(name)
        started = time.perf_counter()
        evaluation = evaluate_attack(
            budget_schedule(name, settings, budgets, seed=chosen.seed),
            attacked,
            {"original": original, "robust": robust},
            resources=Resources(devices=(device,)),
        )
        tables[name] = evaluation.results.table
        seconds = time.perf_counter() - started
        results[name] = {**headline_metrics(evaluation.results.table, statistics), "seconds": seconds}
        if outputs is not None:
            evaluation.write(outputs / name)
        print(name, results[name], flush=True)
    summary = rho_over_attacks(tables)
    masking = white_box_beats_black_box(tables)
    write_json(
        json_file,
        {
            "device": torch.cuda.get_device_name() if device.startswith("cuda") else "CPU",
            "clips": len(attacked.labels),
            "seconds": time.perf_counter() - begun,
            "attacks": results,
            "rho": vars(summary),
            "white_box_beats_black_box": masking,
        },
    )


@app.command()
def masking(
    json_file: JsonFile,
    original: ModelFile,
    robust: ModelFile,
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    clips: int = 200,
    apgd: Annotated[bool, typer.Option(help="run APGD of ART beside ours")] = True,
    device: str = DEVICE,
) -> None:
    """The gradient-masking checks of two models, with APGD of ART as the strong outside attack."""
    test = read_attacked_clips(pictures, split, original, robust)
    outside = apgd_of_art if apgd else None
    checks = {
        name: masking_checks(source, test.pictures, test.labels, clips=clips, device=device, outside=outside)
        for name, source in (("original", original), ("robust", robust))
    }
    for name, found in checks.items():
        for check, numbers in found.items():
            print(name, check, numbers)
    write_json(json_file, checks)


if __name__ == "__main__":
    app()
