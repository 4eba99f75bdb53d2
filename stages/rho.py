"""Every statistic of the attacks: fooling curves, ε₉₀, AUC and intervals of each, ρ and the worst case over all."""

from dataclasses import replace
from pathlib import Path

from advaudio.attack_interface.clip_results import read_attack_results
from advaudio.core.command_line import run
from advaudio.core.params import read_params
from advaudio.robustness.headline import StatisticsSettings
from advaudio.robustness.outputs import write_statistics
from advaudio.robustness.recordings import read_recordings, with_recordings


def main(
    params: Path = Path("params.yaml"),
    attacks: Path = Path("outputs/attacks"),
    clips: Path = Path("data/augmented/clips.csv"),
    outputs: Path = Path("outputs/robustness"),
    metrics: Path = Path("metrics/attacks"),
    mean_rho: Path = Path("metrics/rho.json"),
) -> None:
    """Compute everything from each clip's smallest perturbation; ρ is averaged over the attacks (Eq. 14)."""
    chosen = read_params(params)
    settings = StatisticsSettings(
        threshold=chosen.evaluation.fooling_threshold,
        auc_epsilon_factor=chosen.evaluation.auc_epsilon_factor,
        bootstrap_samples=chosen.evaluation.bootstrap_samples,
        seed=chosen.seed,
    )
    sources = read_recordings(clips)
    finished = {}
    for name in chosen.attacks:
        results = read_attack_results(attacks / name)
        finished[name] = replace(results, table=with_recordings(results.table, sources, clips))
    write_statistics(finished, settings, folder=outputs, metrics=metrics, mean_rho=mean_rho)


if __name__ == "__main__":
    run(main)
