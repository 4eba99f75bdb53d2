"""Which models the checks for hidden gradients and for collapsed training catch, and where they give false alarms.

    python -m benchmarks.masking --collapsed cells/dwt-resnet18 --clean cells/alexnet --clean cells/resnet18 \\
        --json results/masking/masking.json --markdown results/masking/masking.md
    python -m benchmarks.masking --clean . --clean-robust . --outside --json masking.json

A cell's folder holds models/original.safetensors, models/robust.safetensors, data/pictures/pictures.npy and
data/split.csv, as a run of the pipeline leaves them. A `--collapsed` cell is known to have a robust model that
withstands single steps alone, and gives that model. A `--clean` cell gives its original model, and five models that hide
its gradients by construction (`masked_models`). A `--clean-robust` cell gives a robust model that is known to be sound.

The checks (`evaluation.gradient_masking`) run on test clips, as in the stage `masking`. The rule for collapsed training
(`training.collapse`) runs on validation clips of the model's fold, as after training. A model that the checks refuse
to run on is caught. `--outside` adds Auto-PGD of the Adversarial Robustness Toolbox.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from advaudio.clips.split_table import read_split
from advaudio.core.determinism import exact_attack
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import atomic_path, open_array
from advaudio.evaluation.attacked_clips import AttackedClips, read_attacked_clips
from advaudio.evaluation.gradient_masking import CHECKS, OutsideAttack, masking_checks
from advaudio.models.model_file import load_model, read_metadata
from advaudio.training.collapse import COLLAPSE_CLIPS, single_step_gap
from benchmarks.attacks_peers import of_art
from benchmarks.markdown_table import markdown_table
from benchmarks.masked_models import MASKED
from benchmarks.measurements import Measurements

COLLAPSE = "has_not_collapsed"
REFUSED = "may_be_attacked"
COLUMNS = (REFUSED, *CHECKS, COLLAPSE)
BATCH = 256
Findings = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """A model with what is known of it: `kind` is clean, collapsed or a kind of masking."""

    title: str
    kind: str
    model: nn.Module
    test: AttackedClips
    validation: tuple[NDArray[np.float32], NDArray[np.int64]]

    @property
    def sound(self) -> bool:
        """Whether no check should fail."""
        return self.kind.startswith("clean")


def apgd_of_art(model: nn.Module, pictures: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Auto-PGD (Croce and Hein 2020), as an `outside` attack of `masking_checks`.

    Raises
    ------
    ImportError
        If adversarial-robustness-toolbox is not installed.
    """
    settings = {"norm": np.inf, "eps": epsilon, "eps_step": epsilon / 4, "max_iter": 50, "nb_random_init": 1}
    return of_art("AutoProjectedGradientDescent", **settings)(model, pictures, labels, False)


def cases_of(cell: Path, kind: str, *, robust: bool, masked: bool, device: str, seed: int) -> Iterator[Case]:
    """One model of a cell, and with `masked` those that hide its gradients.

    Raises
    ------
    AdvaudioError
        If a file is missing, damaged, or does not fit the others.
    """
    files = {name: cell / "models" / f"{name}.safetensors" for name in ("original", "robust")}
    file = files["robust" if robust else "original"]
    pictures, split = cell / "data" / "pictures" / "pictures.npy", cell / "data" / "split.csv"
    test = read_attacked_clips(pictures, split, files["original"], files["robust"])
    metadata = read_metadata(file)
    array = open_array(pictures)
    parts = read_split(split, metadata["classes"], len(array))
    rows = np.random.default_rng(seed).permutation(parts.folds[metadata["fold"]].validation)
    rows = np.sort(rows[:COLLAPSE_CLIPS])
    validation = np.asarray(array[rows], dtype=np.float32), np.asarray(parts.labels)[rows].astype(np.int64)
    model = load_model(file, device)
    title = f"{cell.resolve().name}, {metadata['model']}"
    yield Case(title, kind, model, test, validation)
    if masked:
        for name, around in MASKED.items():
            yield Case(title, name, around(model).eval(), test, validation)


def examine(
    case: Case, *, epsilon: float, clips: int, seed: int, device: str, outside: OutsideAttack | None
) -> Findings:
    """Every check of `COLUMNS` with `passed` (None: not run) and its numbers."""
    try:
        with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
            torch.manual_seed(seed)
            checks = masking_checks(
                case.model,
                case.test.pictures,
                case.test.labels,
                clips=clips,
                seed=seed,
                device=device,
                outside=outside,
            )
        refused: dict[str, Any] = {"passed": True}
    except AdvaudioError as error:
        checks = {name: {"passed": None} for name in CHECKS}
        refused = {"passed": False, "reason": str(error)}
    return {REFUSED: refused, **checks, COLLAPSE: _collapse(case, epsilon, device)}


def _collapse(case: Case, epsilon: float, device: str) -> dict[str, Any]:
    x, y = (torch.as_tensor(part, device=device) for part in case.validation)
    batches = zip(x[:, None].split(BATCH), y.split(BATCH), strict=True)
    with exact_attack(torch.device(device)):
        gap = single_step_gap(case.model, batches, [epsilon / 2, epsilon])
    return {
        "passed": None if gap.collapsed is None else not gap.collapsed,
        "epsilon": gap.epsilon,
        "clips": gap.clips,
        "fooled_by_one_step": gap.single_step,
        "fooled_by_iterations": gap.iterated,
    }


def verdict(sound: bool, findings: Mapping[str, Mapping[str, Any]]) -> str:
    """What the failed checks amount to, given what is known of the model."""
    failed = any(check["passed"] is False for check in findings.values())
    if sound:
        return "false alarm" if failed else "passed"
    return "caught" if failed else "missed"


def result_table(found: list[tuple[str, str, bool, Findings]]) -> str:
    """Markdown: a line for each model, a column for each check, and whether it was caught or is a false alarm.

    Parameters
    ----------
    found
        Title, kind, whether the model is sound, and its findings.
    """
    words = {None: "not run", True: "passed", False: "**failed**"}
    return markdown_table(
        [
            {
                "model": title,
                "kind": kind,
                **{name.replace("_", " "): words[findings[name]["passed"]] for name in COLUMNS},
                "one step / ten steps": _rates(findings[COLLAPSE]),
                "verdict": verdict(sound, findings),
            }
            for title, kind, sound, findings in found
        ]
    )


def _rates(collapse: Mapping[str, Any]) -> str:
    rates = collapse["fooled_by_one_step"], collapse["fooled_by_iterations"]
    return " / ".join("–" if rate is None else f"{rate:.0%}" for rate in rates)


def main(
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write")],
    collapsed: Annotated[list[Path], typer.Option(help="cell whose robust model has collapsed")] = [],  # noqa: B006
    clean: Annotated[list[Path], typer.Option(help="cell whose original model is sound")] = [],  # noqa: B006
    clean_robust: Annotated[list[Path], typer.Option(help="cell whose robust model is sound")] = [],  # noqa: B006
    markdown: Annotated[Path | None, typer.Option(help="Markdown file to write too")] = None,
    epsilon: Annotated[float, typer.Option(help="adversarial_training.epsilon of the cells")] = 8 / 255,
    clips: Annotated[int, typer.Option(help="test clips to attack")] = 200,
    outside: Annotated[bool, typer.Option("--outside", help="run Auto-PGD of ART too")] = False,
    seed: int = 0,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Check all models, print the table, and write."""
    if not (collapsed or clean or clean_robust):
        raise typer.BadParameter("name at least one cell: --collapsed, --clean or --clean-robust")
    measurements = Measurements(["adversarial-robustness-toolbox"] if outside else [], device)
    wanted = [
        *((cell, "collapsed", True, False) for cell in collapsed),
        *((cell, "clean", False, True) for cell in clean),
        *((cell, "clean robust", True, False) for cell in clean_robust),
    ]
    found: list[tuple[str, str, bool, Findings]] = []
    for cell, kind, robust, masked in wanted:
        for case in cases_of(cell, kind, robust=robust, masked=masked, device=device, seed=seed):
            started = time.perf_counter()
            findings = examine(
                case,
                epsilon=epsilon,
                clips=clips,
                seed=seed,
                device=device,
                outside=apgd_of_art if outside else None,
            )
            found.append((case.title, case.kind, case.sound, findings))
            for name in COLUMNS:
                if findings[name]["passed"] is not None:
                    measurements.add(case.title, case.kind, name, float(findings[name]["passed"]), "passed")
            outcome = verdict(case.sound, findings)
            as_it_is = float(outcome in ("caught", "passed"))
            measurements.add(case.title, case.kind, "told as it is", as_it_is, "yes")
            print(f"{case.title}, {case.kind}: {outcome}, {time.perf_counter() - started:.1f} s", flush=True)
    table = result_table(found)
    print(table)
    if markdown is not None:
        with atomic_path(markdown) as temporary:
            temporary.write_text(table, encoding="utf-8")
    details = [
        {"model": title, "kind": kind, "verdict": verdict(sound, findings), "checks": findings}
        for title, kind, sound, findings in found
    ]
    settings = {"epsilon": epsilon, "clips": clips, "validation_clips": COLLAPSE_CLIPS, "seed": seed}
    measurements.write(json_file, settings=settings, details=details)


if __name__ == "__main__":
    typer.run(main)
