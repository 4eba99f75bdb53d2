"""Every attack beside the best known: AttackBench's optimality at equal passes and at each attack's own budget.

    python -m benchmarks.optimality --model models/original.safetensors --pictures data/pictures/pictures.npy \
        --split data/split.csv --clips 200 --title "ESC-50 AlexNet, original" --json results/optimality/original.json
    python -m benchmarks.optimality --synthetic resnet18 --size 16 --clips 8 --passes 200 --budgets quick --json tiny.json
    python -m benchmarks.optimality_grades table results/optimality/*.json     # the table in Markdown
    python -m benchmarks.optimality_grades write results/optimality/*.json     # the grades that the report shows

Our attacks run with each step of each budget in params.yaml, the references (adv-lib's, see `optimality_peers`) with
`--passes` forward and backward passes of a clip. All take the same correctly classified clips and targets; one box
(`optimality_box`) sees every pass and takes down the smallest norm of an adversarial picture that it was shown within
the first `--passes`. An attack that has finished by then counts with its own answer. PIA counts the iterations that
end within them; it sees the label and the score of the best class alone, the references see gradients.

The smallest norm of a clip over all attacks with the same norm and goal is the empirical optimum. Finished parts (an
attack on `--chunk` clips) stay in the JSON file: the same command goes on where an earlier one stopped, at its end or
after `--minutes`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import numpy as np
import torch
import typer
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack, column, perturbation_norm
from advaudio.attack_interface.problem import BACKWARDS, FORWARDS, Goal, Meter, Norm
from advaudio.attack_interface.registry import make_attack
from advaudio.attacks import deepfool
from advaudio.attacks.pia import Pia, Walk
from advaudio.core.determinism import exact_attack
from advaudio.core.params import Params, read_params
from advaudio.core.resume import code_digest
from advaudio.evaluation.attack_evaluation import draw_targets
from advaudio.evaluation.attacked_clips import AttackedClips, read_attacked_clips
from advaudio.evaluation.model_source import load, model_digest
from advaudio.evaluation.preflight import predict
from advaudio.evaluation.starting_points import Candidates, read_candidates, starting_points
from benchmarks.attacks_peers import trained_on_blobs
from benchmarks.measurements import Measurements, synchronise
from benchmarks.optimality_box import PASSES, Box
from benchmarks.optimality_grades import NORMS
from benchmarks.optimality_peers import REFERENCES
from benchmarks.optimality_score import scores

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
LIBRARIES = ("adv-lib", "foolbox")
NEVER = 1e12


@dataclass(frozen=True)
class Case:
    """A model (pictures to logits), clean pictures and starts (N, 1, height, width), labels and targets (N,)."""

    model: nn.Module
    clean: Tensor
    starts: Tensor
    labels: Tensor
    targets: Tensor

    def part(self, rows: slice) -> Case:
        """Some of the clips."""
        tensors = (self.clean, self.starts, self.labels, self.targets)
        return Case(self.model, *(tensor[rows] for tensor in tensors))

    def box(self, norm: Norm, targeted: bool, passes: int) -> Box:
        """A box with the targets, or with the labels to leave."""
        goal = Goal(self.targets if targeted else self.labels, targeted)
        return Box(self.model, self.clean, goal, norm, passes=passes).eval().requires_grad_(False)


@dataclass(frozen=True)
class Found:
    """What a run found: (N,) norms of its answers and of what was found within the passes, ∞: none; passes (N,)."""

    norm: Tensor
    norm_within: Tensor
    passes: Tensor


@dataclass(frozen=True)
class Variant:
    """What is run: printed name of the attack, what it is compared in, and for ours its budget and settings."""

    attack: str
    norm: Norm
    targeted: bool
    run: Callable[[Case, int, int], Found]
    budget: str | None = None
    settings: Mapping[str, Any] | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the JSON file says of it."""
        known = {"attack": self.attack, "norm": self.norm, "targeted": self.targeted, "budget": self.budget}
        if self.settings is None:
            return {**known, "settings": None}
        return {**known, "settings": dict(self.settings), "code": code_digest(Path(self.settings["code"]))}


def all_variants(params: Params, seed: int) -> dict[str, Variant]:
    """The references, then our attacks with every step of every budget (DeepFool in L2 too)."""
    found = {name: _reference(name) for name in REFERENCES}
    for name, settings in params.attacks.items():
        for budget, section in params.budgets.items():
            for number, step in enumerate(section.attacks.get(name, []), 1):
                merged = {**settings, **step}
                found[f"{name} {budget} {number}"] = _ours(name, merged, f"{budget} {number}", seed)
                if name == "deepfool":
                    in_l2 = {**merged, "ball": "l2"}
                    found[f"{name}_l2 {budget} {number}"] = _ours(name, in_l2, f"{budget} {number}", seed)
    return found


def _ours(name: str, settings: Mapping[str, Any], budget: str, seed: int) -> Variant:
    attack = make_attack(name, default_seed=seed, **settings)
    if attack.needs_starting_points and not isinstance(attack, Pia):
        raise typer.BadParameter(f"{name} starts from other pictures; of these, only PIA can be watched")

    def run(case: Case, passes: int, seed: int) -> Found:
        box = case.box(attack.norm, not attack.untargeted_only, passes)
        return _walked(attack, box, case.starts) if isinstance(attack, Pia) else _watched(attack, box)

    return Variant(name, attack.norm, not attack.untargeted_only, run, budget, settings)


def _reference(name: str) -> Variant:
    printed, norm, targeted, attack = REFERENCES[name]

    def run(case: Case, passes: int, seed: int) -> Found:
        box = case.box(norm, targeted, passes)
        attack(box, passes, seed)
        return Found(box.best_within, box.best_within, box.spent)

    return Variant(printed, norm, targeted, run)


def _watched(attack: Attack, box: Box) -> Found:
    """An attack that follows gradients: the box sees each pass."""
    # The box sees a batch of backward passes as one, so DeepFool takes them one by one.
    with mock.patch.object(deepfool, "ROWS_OF_ONE_BACKWARD", 1):
        outcome = attack.search(box, box.pictures, box.goal)
    box.require_found()
    metered = outcome.counts[:, FORWARDS] + outcome.counts[:, BACKWARDS]
    if not torch.equal(metered, box.spent):
        raise RuntimeError(f"{type(attack).__name__} counts other passes than the model saw")
    size = perturbation_norm(box.plain(outcome.adversarial) - box.clean, box.norm)
    answer = torch.where(outcome.found, size, torch.inf)
    return Found(answer, torch.where(box.spent <= box.passes, answer, box.best_within), box.spent)


@torch.no_grad()
def _walked(attack: Pia, box: Box, starts: Tensor) -> Found:
    """PIA, whose own meter says after each iteration what it cost and what it has."""
    meter = Meter(len(box.clean), box.clean.device)
    walk = Walk(attack, box.network, box.clean, starts, box.goal.classes, (0.0, 1.0), meter)
    within = torch.full_like(walk.best_norm, math.inf)
    iteration = 0
    while True:
        counts = walk.best_norm <= attack.largest_epsilon
        known = torch.where(counts & (meter.counts[:, FORWARDS] <= box.passes), walk.best_norm, torch.inf)
        within = torch.minimum(within, known)
        if iteration == attack.iterations or not len(walk.live):
            break
        walk.advance(iteration)
        iteration += 1
    best = torch.where(column(counts), walk.best, box.clean)
    held = counts & box.goal.reached(box.network(best))
    answer = torch.where(held, perturbation_norm(best - box.clean, box.norm), torch.inf)
    return Found(answer, within, meter.counts[:, FORWARDS])


@app.command()
def measure(
    model: Annotated[Path | None, typer.Option(help="model file")] = None,
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    synthetic: Annotated[str | None, typer.Option(help="architecture trained here on blobs instead")] = None,
    size: int = 24,
    classes: int = 10,
    clips: int = 200,
    title: Annotated[str, typer.Option(help="what the model is, for tables and the report")] = "",
    passes: Annotated[int, typer.Option(help="forward and backward passes of a clip that count")] = PASSES,
    params: Annotated[Path, typer.Option(help="settings and budgets of our attacks")] = Path("params.yaml"),
    budgets: Annotated[str, typer.Option(help="comma-separated budgets of params.yaml; empty: all")] = "",
    variants: Annotated[str, typer.Option(help="comma-separated attacks or variants; empty: all")] = "",
    pia_clips: Annotated[int, typer.Option(help="clips for PIA, whose queries take longest")] = 50,
    chunk: Annotated[int, typer.Option(help="clips attacked at once")] = 200,
    minutes: Annotated[float, typer.Option(help="stop after so many")] = NEVER,
    seed: int = 0,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write and to go on from")] = Path(
        "optimality.json"
    ),
) -> None:
    """Measure the variants, finished parts first."""
    deadline = time.monotonic() + 60 * minutes
    known = all_variants(read_params(params), seed)
    chosen = _chosen(known, variants, budgets)
    case = _case(model, pictures, split, synthetic, size, classes, clips, seed, device)
    key = {
        "model": model_digest(case.model)[:16],
        "title": title or synthetic or str(model and model.stem),
        "clips": len(case.clean),
        "passes": passes,
        "chunk": chunk,
        "seed": seed,
    }
    parts, about = _earlier(json_file, key)
    measured = Measurements(LIBRARIES, device)
    for name in chosen:
        variant = known[name]
        if about.get(name, variant.about) != variant.about:
            # Its settings or its code have changed since: what was measured is of another attack.
            parts = {part: found for part, found in parts.items() if part.rpartition(" ")[0] != name}
        about[name] = variant.about
        attacked = pia_clips if variant.attack == "pia" else len(case.clean)
        for start in range(0, min(attacked, len(case.clean)), chunk):
            part = f"{name} {start}"
            if part in parts or time.monotonic() > deadline:
                continue
            some = case.part(slice(start, min(start + chunk, attacked)))
            begun = time.perf_counter()
            try:
                with exact_attack(case.clean.device):
                    found = variant.run(some, passes, seed)
                synchronise(case.clean.device)
            except (ImportError, RuntimeError) as error:
                measured.fail(name, variant.attack, error)
                print(f"{part} failed: {error}", flush=True)
                continue
            parts[part] = {"seconds": time.perf_counter() - begun, **_listed(found)}
            print(f"{part}: {_line(found, parts[part]['seconds'])}", flush=True)
            measured.write(json_file, key=key, variants=about, parts=parts)
    for score in scores({"key": key, "variants": about, "parts": parts}):
        goal = "targeted" if score.targeted else "untargeted"
        task = f"{NORMS[score.norm]}, {goal}"
        system = f"{score.attack}, {score.budget}"
        for metric, value, unit in (
            ("clips", score.clips, "clips"),
            ("passes", score.passes, "passes/clip"),
            ("fooled", score.fooled, "of the clips"),
            ("median norm over the best known", score.ratio, "1"),
            ("optimality", score.optimality, "1"),
        ):
            measured.add(task, system, metric, value, unit)
    measured.write(json_file, key=key, variants=about, parts=parts)
    print(measured.table())


def _chosen(known: Mapping[str, Variant], variants: str, budgets: str) -> list[str]:
    wanted = variants.split(",") if variants else list(known)
    allowed = budgets.split(",") if budgets else []
    for word in wanted:
        if not any(word in (name, name.split()[0]) for name in known):
            names = ", ".join(dict.fromkeys(name.split()[0] for name in known))
            raise typer.BadParameter(f"{word} is none of {names}", param_hint="--variants")
    return [
        name
        for name, variant in known.items()
        if {name, name.split()[0]} & set(wanted)
        and (variant.budget is None or not allowed or variant.budget.split()[0] in allowed)
    ]


def _case(
    model: Path | None,
    pictures: Path,
    split: Path,
    synthetic: str | None,
    size: int,
    classes: int,
    clips: int,
    seed: int,
    device: str,
) -> Case:
    """The correctly classified clips, drawn with the seed; targets and starts as the evaluation chooses them."""
    if device == "cpu":
        torch.set_num_threads(1)
    if synthetic:
        network, whole, labels = trained_on_blobs(synthetic, size, classes, clips, device)
        samples, candidates = np.arange(len(labels)), Candidates(whole, labels)
    elif model:
        test = read_attacked_clips(pictures, split, model, model)
        network, whole, labels, samples = load(model, device), test.pictures, test.labels, test.samples
        candidates = read_candidates(pictures, split, model)
    else:
        raise typer.BadParameter("give --model or --synthetic")
    logits = predict(network, whole, device)
    right = np.flatnonzero(logits.argmax(1) == labels)
    if not len(right):
        raise typer.BadParameter("the model classifies no clip correctly; there is nothing to attack")
    rows = right[np.random.default_rng(seed).permutation(len(right))[:clips]]
    clean = np.asarray(whole[rows], dtype=np.float32)
    targets = draw_targets(AttackedClips(clean, labels[rows], samples[rows]), logits.shape[1], seed)
    starts = starting_points(network, clean, targets, candidates, device=device)
    print(f"{len(rows)} correctly classified clips of {clean.shape[1]} × {clean.shape[2]} on {device}")
    return Case(
        network,
        torch.as_tensor(clean, device=device)[:, None],
        torch.as_tensor(starts, device=device)[:, None],
        torch.as_tensor(labels[rows], device=device),
        torch.as_tensor(targets, device=device),
    )


def _listed(found: Found) -> dict[str, list[float | None]]:
    return {
        "norm": [None if math.isinf(value) else value for value in found.norm.tolist()],
        "norm_within": [None if math.isinf(value) else value for value in found.norm_within.tolist()],
        "passes": found.passes.tolist(),
    }


def _line(found: Found, seconds: float) -> str:
    fooled = float(found.norm.isfinite().float().mean())
    middle = float(np.median(found.norm.cpu()))
    spent = float(found.passes.double().mean())
    return f"fooled {fooled:.3f}, median norm {middle:.4g}, {spent:,.0f} passes a clip, {seconds:.1f} s"


def _earlier(path: Path, key: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    if not path.exists():
        return {}, {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("key") != key:
        raise typer.BadParameter(
            f"{path} holds other measurements ({content.get('key')}, not {key}); name another file",
            param_hint="--json",
        )
    return dict(content["parts"]), dict(content["variants"])


if __name__ == "__main__":
    app()
