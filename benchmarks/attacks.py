"""The attacks beside Foolbox's, ART's and torchattacks', measured in one run.

    python -m benchmarks.attacks --model models/original.safetensors --pictures data/pictures/pictures.npy \
        --split data/split.csv --clips 500 --json peers.json
    python -m benchmarks.attacks --synthetic alexnet --size 128 --classes 50 --clips 500 --json peers.json
    python -m benchmarks.attacks --quick --json peers.json

Every attack runs on the same correctly classified clips with the same targets; labels and norms are
checked here, never taken from the attack; forward and backward passes are counted on the model itself.
`--slow-clips` limits the peers that go picture by picture, `--attacks` the attacks. `--quick` takes a small
network trained on synthetic pictures of 32 × 32 and small budgets: about two minutes on two cores.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import foolbox
import numpy as np
import torch
import typer
from torch import Tensor, nn

from advaudio.attack_interface.base import perturbation_norm
from advaudio.attack_interface.problem import Goal, Norm, Problem
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool
from advaudio.attacks.jsma import Jsma
from advaudio.attacks.pia import Pia, rows_of_one_pass
from advaudio.evaluation.attack_evaluation import draw_targets
from advaudio.evaluation.attacked_clips import AttackedClips, read_attacked_clips
from advaudio.evaluation.model_source import load
from advaudio.evaluation.preflight import predict
from advaudio.evaluation.starting_points import Candidates, starting_points
from benchmarks.attacks_peers import (
    CountingModel,
    Ours,
    of_art,
    of_foolbox,
    of_torchattacks,
    trained_on_blobs,
)
from benchmarks.measurements import Measurements, refuse_beside_quick, synchronise
from benchmarks.pia_peers import Case, Record, Stopped, published_partial_information

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
LIBRARIES = ("foolbox", "adversarial-robustness-toolbox", "torchattacks")
FAMILIES = ("bim", "deepfool", "cwa", "jsma", "pia")
UNITS: dict[Norm, str] = {"linf": "L∞", "l2": "L2", "l0": "changed pixels"}


class Bench:
    """A model and clips; measures one competitor at a time."""

    def __init__(
        self, model: nn.Module, pictures: Tensor, labels: Tensor, targets: Tensor, measured: Measurements
    ) -> None:
        self.model, self.pictures, self.labels, self.targets = model, pictures, labels, targets
        self.measured = measured

    def add(
        self,
        attack: str,
        library: str,
        norm: Norm,
        targeted: bool,
        run: Callable[..., Tensor],
        clips: int,
    ) -> Tensor | None:
        """Run a competitor on the first `clips` clips and record what it did."""
        counting = CountingModel(self.model).eval().requires_grad_(False)
        pictures = self.pictures[:clips]
        classes = (self.targets if targeted else self.labels)[:clips]
        cuda = pictures.device.type == "cuda"
        try:
            run(self.model, pictures[:2], classes[:2], targeted)
            synchronise(pictures.device)
            if cuda:
                torch.cuda.reset_peak_memory_stats(pictures.device)
            begun = time.perf_counter()
            adversarial = run(counting, pictures, classes, targeted)
        except (ImportError, RuntimeError, ValueError, TypeError, IndexError) as error:
            self.measured.fail(attack, library, error)
            print(f"{attack:12} {library:24} failed: {error}", flush=True)
            return None
        synchronise(pictures.device)
        seconds = time.perf_counter() - begun
        with torch.no_grad():
            predicted = torch.cat([self.model(part) for part in adversarial.split(512)]).argmax(1)
        fooled = predicted == classes if targeted else predicted != classes
        fooled &= ((adversarial >= 0) & (adversarial <= 1)).flatten(1).all(1)
        if isinstance(run, Ours):
            counting.backwards = int(run.counts[:, 1].sum())
        norms = {kind: perturbation_norm(adversarial - pictures, kind)[fooled].cpu() for kind in UNITS}
        rate = float(fooled.float().mean())
        figures: list[tuple[str, float, str]] = [
            ("clips", len(pictures), "clips"),
            ("fooling rate", rate, "of the clips"),
            ("forward passes per clip", counting.forwards / len(pictures), "passes"),
            ("backward passes per clip", counting.backwards / len(pictures), "passes"),
            ("time", seconds, "s"),
            ("speed", len(pictures) / seconds, "clips/s"),
        ]
        if bool(fooled.any()):
            for kind in dict.fromkeys((norm, "l2")):
                median = float(np.median(norms[kind]))
                figures.append((f"median {UNITS[kind]} of the fooled clips", median, "1"))
        if cuda:
            peak = torch.cuda.max_memory_allocated(pictures.device)
            figures.append(("peak memory", peak / 2**20, "MiB"))
        for metric, value, unit in figures:
            self.measured.add(attack, library, metric, value, unit)
        print(
            f"{attack:12} {library:24} fooled {rate:.3f}  {len(pictures) / seconds:.2f} clips/s", flush=True
        )
        return adversarial


@app.command()
def peers(
    context: typer.Context,
    model: Annotated[Path | None, typer.Option(help="model file")] = None,
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    synthetic: Annotated[str | None, typer.Option(help="architecture trained here on blobs instead")] = None,
    size: int = 128,
    classes: int = 50,
    clips: int = 500,
    slow_clips: int = 16,
    attacks: Annotated[str, typer.Option(help="comma-separated")] = ",".join(FAMILIES),
    epsilon: float = 4 / 255,
    steps: int = 50,
    cwa_search_steps: int = 9,
    cwa_iterations: int = 1000,
    pia_queries: int = 10000,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="small network, few clips")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file to write")] = None,
) -> None:
    """Ours against the peers' attacks on the same clips and targets."""
    if quick:
        refuse_beside_quick(context, "attacks", "device", "json_file")
        synthetic, size, classes, clips, slow_clips = "resnet18", 32, 10, 8, 2
        steps, cwa_search_steps, cwa_iterations, pia_queries = 10, 2, 20, 300
    chosen = attacks.split(",")
    for name in chosen:
        if name not in FAMILIES:
            raise typer.BadParameter(f"{name} is none of {', '.join(FAMILIES)}", param_hint="--attacks")
    if device == "cpu":
        torch.set_num_threads(1)
    measured = Measurements(LIBRARIES, device)
    if synthetic:
        network, whole, labels = trained_on_blobs(synthetic, size, classes, clips, device)
    elif model:
        test = read_attacked_clips(pictures, split, model, model)
        network, whole, labels = load(model, device), test.pictures, test.labels
    else:
        raise typer.BadParameter("give --model or --synthetic")
    logits = predict(network, whole, device)
    right = np.flatnonzero(logits.argmax(1) == labels)
    if not len(right):
        raise typer.BadParameter("the model classifies no clip correctly; there is nothing to attack")
    order = np.random.default_rng(0).permutation(len(right))[:clips]
    rows = right[order]
    everything = AttackedClips(whole, labels, np.arange(len(labels)))
    targets = draw_targets(everything, logits.shape[1], 0)
    starts = starting_points(network, whole[rows], targets[rows], Candidates(whole, labels), device=device)
    usable = ~np.isnan(starts[:, 0, 0])
    x = torch.as_tensor(whole[rows], device=device)[:, None]
    bench = Bench(
        network,
        x,
        torch.as_tensor(labels[rows], device=device),
        torch.as_tensor(targets[rows], device=device),
        measured,
    )
    print(f"{len(rows)} correctly classified clips of {whole.shape[1]} × {whole.shape[2]} on {device}")
    begin = torch.as_tensor(starts, device=device)[:, None]
    families: dict[str, Callable[[], None]] = {
        "bim": lambda: _bim(bench, epsilon, steps, clips),
        "deepfool": lambda: _deepfool(bench, clips, slow_clips),
        "cwa": lambda: _carlini_wagner(bench, clips, slow_clips, cwa_search_steps, cwa_iterations),
        "jsma": lambda: _jsma(bench, clips, slow_clips),
        "pia": lambda: _pia(bench, begin, usable, clips, slow_clips, pia_queries),
    }
    for name in chosen:
        families[name]()
    print(measured.table())
    if json_file is not None:
        measured.write(
            json_file,
            network=synthetic or Path(str(model)).name,
            size=list(whole.shape[1:]),
            classes=logits.shape[1],
            threads=torch.get_num_threads(),
            bim={"epsilon": epsilon, "steps": steps},
            cwa={"search_steps": cwa_search_steps, "iterations": cwa_iterations},
            pia={"queries": pia_queries},
        )


def _bim(bench: Bench, epsilon: float, steps: int, clips: int) -> None:
    def fixed(model: nn.Module, pictures: Tensor, classes: Tensor, targeted: bool) -> Tensor:
        radius = pictures.new_full((len(pictures),), epsilon)
        attack = Bim(stop_early=False, steps=steps, relative_step=0.1)
        return attack.within(Problem.of(model, pictures, Goal(classes, targeted)), radius)[0]

    mine = bench.add("bim_b", "ours", "linf", True, fixed, clips)
    attack = foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.1, steps=steps)
    theirs = bench.add("bim_b", "foolbox", "linf", True, of_foolbox(attack, epsilon), clips)
    if mine is not None and theirs is not None:
        difference = float((mine - theirs).abs().max())
        bench.measured.add("bim_b", "ours", "largest L∞ difference from Foolbox's", difference, "1")
    alpha = epsilon / 10
    bench.add(
        "bim_b",
        "torchattacks",
        "linf",
        True,
        of_torchattacks("BIM", eps=epsilon, alpha=alpha, steps=steps),
        clips,
    )
    art = of_art("BasicIterativeMethod", eps=epsilon, eps_step=alpha, max_iter=steps, batch_size=512)
    bench.add("bim_b", "art", "linf", True, art, clips)
    bench.add("bim_a search", "ours", "linf", True, Ours(Bim(stop_early=True, steps=steps)), clips)


def _deepfool(bench: Bench, clips: int, slow: int) -> None:
    box = foolbox.attacks
    for norm, peer in (("linf", box.LinfDeepFoolAttack), ("l2", box.L2DeepFoolAttack)):
        name = f"deepfool {norm}"
        bench.add(name, "ours", norm, False, Ours(DeepFool(ball=norm)), clips)  # type: ignore[arg-type]
        bench.add(name, "foolbox, all classes", norm, False, of_foolbox(peer(candidates=None)), clips)  # type: ignore[arg-type]
        bench.add(name, "foolbox, 10 classes", norm, False, of_foolbox(peer()), clips)  # type: ignore[arg-type]
    bench.add(
        "deepfool l2", "art", "l2", False, of_art("DeepFool", max_iter=50, nb_grads=10, batch_size=slow), slow
    )
    bench.add("deepfool l2", "torchattacks", "l2", False, of_torchattacks("DeepFool"), slow)


def _carlini_wagner(bench: Bench, clips: int, slow: int, search: int, iterations: int) -> None:
    mine = CarliniWagner(search_steps=search, iterations=iterations)
    bench.add("cwa", "ours", "l2", True, Ours(mine), clips)
    peer = foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=search, steps=iterations)
    bench.add("cwa", "foolbox", "l2", True, of_foolbox(peer), clips)
    bench.add("cwa", "torchattacks, c = 1", "l2", True, of_torchattacks("CW", steps=iterations), clips)
    art = of_art(
        "CarliniL2Method", binary_search_steps=search, max_iter=min(iterations, 100), batch_size=slow
    )
    bench.add("cwa", "art, ≤ 100 iterations", "l2", True, art, slow)


def _jsma(bench: Bench, clips: int, slow: int) -> None:
    for gamma in (0.02, 0.1):
        mine = Jsma(theta=1.0, gamma=gamma, direction="raise", iterations=10**6)
        bench.add(f"jsma γ={gamma}", "ours, raise", "l0", True, Ours(mine), clips)
        bench.add(f"jsma γ={gamma}", "ours, raise, few clips", "l0", True, Ours(mine), slow)
        both = Jsma(theta=1.0, gamma=gamma, iterations=10**6)
        bench.add(f"jsma γ={gamma}", "ours, both", "l0", True, Ours(both), clips)
        art = of_art("SaliencyMapMethod", theta=1.0, gamma=gamma, batch_size=slow)
        bench.add(f"jsma γ={gamma}", "art", "l0", True, art, slow)


def _pia(bench: Bench, starts: Tensor, usable: Any, clips: int, slow: int, queries: int) -> None:
    samples = 100
    attack = Pia(iterations=max(1, queries // (samples + 2)), samples=samples, patience=10**6)
    bench.add("pia", "ours", "linf", True, Ours(attack, starts), clips)
    few = np.flatnonzero(usable)[:slow]
    if not len(few):
        bench.measured.fail("pia with the same queries", "ours", ValueError("no clip has a starting point"))
        return
    outcome = attack.search(
        bench.model, bench.pictures[few], Goal(bench.targets[few], True), starting_points=starts[few]
    )
    own = perturbation_norm(outcome.adversarial - bench.pictures[few], "linf")
    own = torch.where(outcome.found, own, torch.inf).cpu()
    spent = outcome.counts[:, 2].double().mean().item()
    record = Record(len(few), budget=int(spent), bounds=(), marks=())
    case = Case(bench.model, bench.pictures[few], starts[few], bench.targets[few])
    with torch.no_grad(), contextlib.suppress(Stopped):
        published_partial_information(case, record, 0)
    theirs = record.best
    task = f"pia with the same queries, {len(few)} clips"
    used = float(record.queries.double().mean())
    for system, count, found in (("ours", spent, own), ("published", used, theirs)):
        bench.measured.add(task, system, "queries per clip", count, "queries")
        median = float(np.median(found))
        bench.measured.add(task, system, "median L∞, not fooled counted as ∞", median, "1")
        for limit in (0.02, 0.05, 0.1, 0.2):
            within = float((found <= limit).float().mean())
            bench.measured.add(task, system, f"fooling rate within {limit:g}", within, "of the clips")
    _query_rate(bench, starts)


def _query_rate(bench: Bench, starts: Tensor) -> None:
    """Queries per second inside PIA, and the model's plain inference at the same batch size."""
    rows = rows_of_one_pass(bench.pictures)
    batch = bench.pictures.repeat(-(-rows // len(bench.pictures)), 1, 1, 1)[:rows].clone()

    def timed(work: Callable[[], int]) -> float:
        work()
        synchronise(batch.device)
        begun = time.perf_counter()
        count = work()
        synchronise(batch.device)
        return count / (time.perf_counter() - begun)

    @torch.no_grad()
    def plain() -> int:
        for _ in range(10):
            bench.model(batch)
        return 10 * rows

    attack = Pia(iterations=5, samples=100, standard_deviations=(0.01,), patience=10**6)
    goal = Goal(bench.targets, True)

    def queries() -> int:
        outcome = attack.search(bench.model, bench.pictures, goal, starting_points=starts)
        return int(outcome.counts[:, 2].sum())

    speeds = {"plain inference": timed(plain), "ours": timed(queries)}
    for system, speed in speeds.items():
        bench.measured.add("queries of pia", system, "speed", speed, "pictures/s")
    share = speeds["ours"] / speeds["plain inference"]
    bench.measured.add("queries of pia", "ours", "speed over plain inference", share, "1")


if __name__ == "__main__":
    app()
