"""How time, memory, disk and DVC's own work grow with clips, folds, models and attacks: at 1×, 2×, 4× and 8×.

    python -m studies.growth --json results/growth/growth.json

writes that file, and a table (.md) and a picture (.png) beside it; about twenty minutes on two quiet cores. It
runs the demo's transforms with one pitch-shifted copy, and a tiny network, whose cost says how training grows, not
what it costs. Growth with models is that of experiments which differ in training: all their stages run again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import matplotlib.pyplot as plt
import numpy as np
import typer
import yaml

from advaudio.core.files import write_json, write_text
from advaudio.core.yaml_files import parse_yaml
from benchmarks.markdown_table import markdown_table
from studies.clone import Clone, clone_for_study, environment

FACTORS = (1, 2, 4, 8)
CLIPS, CLASSES = 250, 10
CELL_CLIPS = 40
CLIP_SECONDS = 3.0
AUDIOSET_CLIPS, AUDIOSET_SECONDS = 2_084_320, 10.0
STAGES = (
    *("download", "augment", "stft", "dwt", "tonnetz", "append", "split", "train", "train_fgsm"),
    *("attack@deepfool", "rho"),
)
OF_AUDIO = ("download", "augment", "stft", "dwt", "tonnetz")
OF_PICTURES = ("append", "split")
PRODUCED = ("data", "models", "outputs")


def main(
    json_file: Annotated[
        Path, typer.Option("--json", help="JSON file to write; a table and a picture go beside it")
    ],
    params: Annotated[Path, typer.Option(help="params.yaml; the number of clips in it is not used")] = Path(
        "results/growth/params.yaml"
    ),
) -> None:
    """Measure, fit a line to each cost of each stage, and say what it means for AudioSet."""
    with tempfile.TemporaryDirectory() as work:
        by_clips = [_clips(Path(work) / f"clips{factor}", params, factor) for factor in FACTORS]
        by_folds = [_folds(Path(work) / f"clips{FACTORS[-1]}", 2 * factor) for factor in (1, 2, 4)]
        by_models = _models(Path(work) / "models", params)
        by_attacks = [_attacks(Path(work) / "clips1", 6 * factor) for factor in FACTORS]
    fits = {
        stage: {kind: _fit(by_clips, stage, kind) for kind in ("seconds", "megabytes", "disk")}
        for stage in STAGES
    }
    dvc = {
        kind: _line([run["clips"] for run in by_clips], [run["dvc"][kind] for run in by_clips])
        for kind in ("commit", "status")
    }
    result = {
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "by_clips": by_clips,
        "by_folds": by_folds,
        "by_models": by_models,
        "by_attacks": by_attacks,
        "fits": fits,
        "dvc_by_clips": dvc,
    }
    for counted, runs in (("folds", by_folds), ("models", by_models), ("attacks", by_attacks)):
        result[f"{counted}_fits"] = {
            kind: _line([run[counted] for run in runs], [run[kind] for run in runs])
            for kind in runs[0]
            if kind not in (counted, "stages")
        }
    write_json(json_file, result)
    write_text(json_file.with_suffix(".md"), _tables(result))
    _plot(result, json_file.with_suffix(".png"))


def _clips(folder: Path, params: Path, factor: int) -> dict[str, Any]:
    clone = clone_for_study(folder, params)
    clone.change_params(datasets__demo__source=_source(CLIPS * factor))
    stages = {stage: _measure(clone, stage) for stage in STAGES}
    # Attacks and the report that are not measured would have no outputs to keep.
    kept = [stage for stage in STAGES if stage != "rho"]
    commit = _timed(clone, "dvc", "commit", "--force", "--quiet", *kept)
    status = _timed(clone, "dvc", "status", "--quiet", *kept)
    print(f"{CLIPS * factor} clips: {sum(run['seconds'] for run in stages.values()):.0f} CPU s", flush=True)
    return {"clips": CLIPS * factor, "stages": stages, "dvc": {"commit": commit, "status": status}}


def _source(clips: int) -> dict[str, int]:
    return {"recordings_per_class": clips // CLASSES, "clips_per_recording": 1}


def _folds(folder: Path, folds: int) -> dict[str, Any]:
    clone = Clone(folder)
    clone.change_params(split__folds=folds)
    stages = {stage: _measure(clone, stage) for stage in ("split", "train")}
    return {"folds": folds, **{kind: stages["train"][kind] for kind in ("seconds", "megabytes")}}


def _models(folder: Path, params: Path) -> list[dict[str, Any]]:
    """Experiments one after the other: their seconds in all, DVC's cache, and its table of them."""
    clone = clone_for_study(folder, params)
    clone.change_params(datasets__demo__source=_source(CELL_CLIPS))
    _attack_alone(clone, "deepfool")
    clone.commit("one attack")
    clone.run("dvc", "repro", "--quiet")
    clone.commit("the first model")
    rows, seconds = [], 0.0
    for number in range(1, FACTORS[-1] + 1):
        setting = f"training.learning_rate={0.01 + 0.001 * number:.3f}"
        seconds += _timed(clone, "dvc", "exp", "run", "--quiet", "--name", f"model{number}", "-S", setting)
        if number in FACTORS:
            rows.append(
                {
                    "models": number,
                    "seconds": seconds,
                    "megabytes": _size(folder / ".dvc" / "cache") / 1e6,
                    "show": _timed(clone, "dvc", "exp", "show", "--csv"),
                }
            )
            print(f"{number} models: {seconds:.0f} s", flush=True)
    return rows


def _attack_alone(clone: Clone, name: str) -> None:
    path = clone.folder / "params.yaml"
    attacks = parse_yaml(path.read_text(encoding="utf-8"))["attacks"]
    clone.change_params(attacks={name: attacks[name]})


def _attacks(folder: Path, count: int) -> dict[str, Any]:
    """DVC's own time to read a pipeline of so many attack stages and to find out what would run."""
    path = folder / "params.yaml"
    params = parse_yaml(path.read_text(encoding="utf-8"))
    for number in range(count - 6):
        name = f"more{number}"
        params["attacks"][name] = params["attacks"]["deepfool"]
        params["budgets"]["quick"]["attacks"][name] = params["budgets"]["quick"]["attacks"]["deepfool"]
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    seconds = _timed(Clone(folder), "dvc", "status", "--quiet", check=False)
    return {"attacks": count, "stages": count + 11, "status": seconds}


def _measure(clone: Clone, stage: str) -> dict[str, float]:
    """CPU seconds of the stage and its workers, its highest memory in MB (of one process), its outputs in MB."""
    before = _produced(clone.folder)
    name, _, argument = stage.partition("@")
    if name == "rho":
        _attack_alone(clone, "deepfool")
    command = [sys.executable, "-m", f"stages.{name}", *([argument] if argument else [])]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=clone.folder, env=environment(), stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{stage} ended with {process.returncode}")
    return {
        "seconds": usage.ru_utime + usage.ru_stime,
        "wall": time.perf_counter() - started,
        "megabytes": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        "disk": (_produced(clone.folder) - before) / 1e6,
    }


def _produced(folder: Path) -> float:
    return sum(_size(folder / top) for top in PRODUCED)


def _size(folder: Path) -> float:
    return float(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))


def _timed(clone: Clone, *command: str, check: bool = True) -> float:
    started = time.perf_counter()
    clone.run(*command, check=check)
    return time.perf_counter() - started


def _fit(runs: list[dict[str, Any]], stage: str, kind: str) -> dict[str, float]:
    return _line([run["clips"] for run in runs], [run["stages"][stage][kind] for run in runs])


def _line(counts: list[float], costs: list[float]) -> dict[str, float]:
    """Fixed cost and cost of one more, by least squares, and the largest miss as a share of the largest cost."""
    each, fixed = np.polyfit(counts, costs, 1)
    miss = np.abs(np.polyval([each, fixed], counts) - costs).max() / max(np.abs(costs).max(), 1e-9)
    return {"fixed": float(fixed), "each": float(each), "miss": float(miss)}


def _tables(result: dict[str, Any]) -> str:
    rows = []
    for stage, fit in result["fits"].items():
        longer = AUDIOSET_SECONDS / CLIP_SECONDS if stage in OF_AUDIO else 1.0
        wider = longer if stage in ("download", "augment") else 1.0
        hours, disk = "depends on the network", ""
        if stage in OF_AUDIO + OF_PICTURES:
            hours = f"{max(0.0, fit['seconds']['each']) * AUDIOSET_CLIPS * longer / 3600:,.0f}"
            disk = f"{max(0.0, fit['disk']['each']) * AUDIOSET_CLIPS * wider / 1000:,.0f}"
        rows.append(
            {
                "stage": stage,
                "fixed s": f"{fit['seconds']['fixed']:.1f}",
                "s per 1,000 clips": f"{1000 * fit['seconds']['each']:.1f}",
                "off the line": f"{100 * fit['seconds']['miss']:.0f} %",
                "MB at 8×": f"{result['by_clips'][-1]['stages'][stage]['megabytes']:.0f}",
                "MB per 1,000 clips": f"{1000 * fit['megabytes']['each']:.0f}",
                "disk MB per 1,000 clips": f"{1000 * fit['disk']['each']:.1f}",
                "AudioSet: CPU hours": hours,
                "AudioSet: disk GB": disk,
            }
        )
    commit, status = result["dvc_by_clips"]["commit"], result["dvc_by_clips"]["status"]
    by_folds = [
        {
            "folds": str(run["folds"]),
            "CPU s of `train`": f"{run['seconds']:.1f}",
            "MB": f"{run['megabytes']:.0f}",
        }
        for run in result["by_folds"]
    ]
    by_models = [
        {
            f"models ({CELL_CLIPS} clips, one attack)": str(run["models"]),
            "s in all": f"{run['seconds']:.0f}",
            "cache, MB": f"{run['megabytes']:.1f}",
            "`dvc exp show`, s": f"{run['show']:.1f}",
        }
        for run in result["by_models"]
    ]
    by_attacks = [
        {
            "attacks": str(run["attacks"]),
            "stages": str(run["stages"]),
            "`dvc status`, s": f"{run['status']:.1f}",
        }
        for run in result["by_attacks"]
    ]
    said = (
        f"DVC keeping the outputs: {commit['fixed']:.1f} s and {1000 * commit['each']:.1f} s per 1,000 clips. Looking "
        f"whether they changed: {status['fixed']:.1f} s and {1000 * status['each']:.2f} s per 1,000 clips.\n"
    )
    return "\n".join(
        [markdown_table(rows), said, *(markdown_table(table) for table in (by_folds, by_models, by_attacks))]
    )


def _plot(result: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(13, 8), layout="constrained")
    clips = [run["clips"] for run in result["by_clips"]]
    for kind, title, unit, axis in zip(
        ("seconds", "megabytes", "disk"),
        ("Work of a stage", "Largest process of a stage", "Outputs of a stage"),
        ("CPU seconds", "MB in memory", "MB on disk"),
        axes[0],
        strict=True,
    ):
        # The legend reads as the lines lie.
        order = sorted(STAGES, key=lambda stage: -result["by_clips"][-1]["stages"][stage][kind])
        for stage in order:
            number = STAGES.index(stage)
            colour, marker = plt.get_cmap("tab20")(2 * (number % 10) + number // 10), "osv^D"[number % 5]
            measured = [run["stages"][stage][kind] for run in result["by_clips"]]
            axis.plot(clips, measured, marker, color=colour, label=stage)
            axis.plot(clips, _on(result["fits"][stage][kind], clips), color=colour)
        axis.set(xlabel="clips", ylabel=unit, title=title, xticks=clips)
        axis.set_ylim(0, 1.55 * axis.get_ylim()[1])  # the legend's place
        axis.legend(fontsize=8, ncols=2, loc="upper left")
    panels: tuple[tuple[str, str, str, str], ...] = (
        ("folds", "seconds", "CPU seconds", f"`train`, {clips[-1]} clips"),
        ("models", "seconds", "seconds", f"Experiments, {CELL_CLIPS} clips, one attack"),
        ("attacks", "status", "seconds", "`dvc status`"),
    )
    for (counted, kind, unit, title), axis in zip(panels, axes[1], strict=True):
        counts = [run[counted] for run in result[f"by_{counted}"]]
        axis.plot(counts, [run[kind] for run in result[f"by_{counted}"]], "o", color="C0")
        axis.plot(counts, _on(result[f"{counted}_fits"][kind], counts), color="C0")
        axis.set(xlabel=counted, ylabel=unit, title=title, xticks=counts, ylim=(0, None))
    figure.suptitle("Points are measured, lines are fitted (fixed cost + cost of one more)")
    figure.savefig(path, dpi=110)


def _on(line: dict[str, float], counts: list[float]) -> list[float]:
    return [line["fixed"] + line["each"] * count for count in counts]


if __name__ == "__main__":
    typer.run(main)
