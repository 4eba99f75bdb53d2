"""Compare the attacks' cost on both models: ρ, and the worst case over the attacks."""

from dataclasses import asdict
from pathlib import Path

from advaudio.core.command_line import run
from advaudio.core.files import write_json
from advaudio.core.params import read_params
from advaudio.robustness.black_box import white_box_beats_black_box
from advaudio.robustness.clip_results import read_clip_results
from advaudio.robustness.rho import rho_over_attacks
from advaudio.robustness.worst_case import worst_case


def main(
    params: Path = Path("params.yaml"),
    attacks: Path = Path("outputs/attacks"),
    outputs: Path = Path("outputs/rho.json"),
    metrics: Path = Path("metrics/rho.json"),
) -> None:
    """Average ρ over the attacks, each in its own norm (Eq. 14)."""
    chosen = read_params(params)
    threshold = chosen.evaluation.fooling_threshold
    tables = {name: read_clip_results(attacks / name / "clips.csv") for name in chosen.attacks}
    summary = rho_over_attacks(tables, threshold=threshold)
    together = {
        "worst_case": worst_case(tables, threshold=threshold),
        "white_box_beats_black_box": white_box_beats_black_box(tables),
    }
    write_json(outputs, {**asdict(summary), **together})
    write_json(metrics, {"rho": summary.mean})


if __name__ == "__main__":
    run(main)
