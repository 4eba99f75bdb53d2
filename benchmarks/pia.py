"""PIA, change by change, beside its peers at equal queries: success within a bound against queries.

    python -m benchmarks.pia --model models/original.safetensors --pictures data/pictures/pictures.npy \
        --split data/split.csv --clips 300 --queries 50000 --json pia.json
    CUDA_VISIBLE_DEVICES=1 python -m benchmarks.pia … --variants published,sign_flip,hop_skip_jump --json peers.json
    python -m benchmarks.pia --synthetic resnet18 --size 24 --classes 10 --clips 8 --queries 600 --json tiny.json

All take the same correctly classified clips, targets and starts. The norm and the label of what counts are
checked on the model's own answers. Finished parts (a variant on `--chunk` clips) stay in the JSON file: the same
command goes on where an earlier one stopped, at its end or after `--minutes`.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from advaudio.attack_interface.problem import Meter
from advaudio.attacks.pia import Pia, Walk
from advaudio.core.determinism import exact_attack
from advaudio.evaluation.attack_evaluation import draw_targets
from advaudio.evaluation.attacked_clips import AttackedClips, read_attacked_clips
from advaudio.evaluation.model_source import load, model_digest
from advaudio.evaluation.preflight import predict
from advaudio.evaluation.starting_points import Candidates, read_candidates, starting_points
from benchmarks.attacks_peers import trained_on_blobs
from benchmarks.measurements import Measurements, synchronise
from benchmarks.pia_peers import (
    Case,
    Record,
    Stopped,
    hop_skip_jump,
    published_partial_information,
    sign_flip,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
BOUNDS = (0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
MARKS = (500, 1000, 2000, 5000, 10000, 15000, 20000, 30000, 40000, 50000, 100000, 200000)
NEVER = 1e12


class LostLeftOut(Walk):
    """A query that loses the target counts nothing, the others by their scores."""

    halvings_of_start = 0

    def weights(self, scores: Tensor) -> Tensor:
        kept = scores.isfinite()
        mean = scores.masked_fill(~kept, 0.0).sum(1, keepdim=True) / kept.sum(1, keepdim=True).clamp_min(1)
        return torch.where(kept, scores - mean, 0.0)


class LostIsWorst(Walk):
    """A query that loses the target counts as the lowest score returned."""

    halvings_of_start = 0

    def weights(self, scores: Tensor) -> Tensor:
        kept = scores.isfinite()
        lowest = scores.masked_fill(~kept, torch.inf).amin(1, keepdim=True)
        filled = torch.where(kept, scores, lowest)
        return torch.where(kept.any(1, keepdim=True), filled - filled.mean(1, keepdim=True), 0.0)


class LostIsWorstNear(LostIsWorst):
    """The same, from the projected start."""

    halvings_of_start = Walk.halvings_of_start


class Ranks(Walk):
    """The normal scores of the ranks, from the start as it is."""

    halvings_of_start = 0


@dataclasses.dataclass(frozen=True)
class Ours:
    """A way to walk, its settings beside the shipped ones, and whether all parts of the data give starts."""

    walk: type[Walk] = Walk
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    all_starts: bool = True

    def __call__(self, case: Case, record: Record, seed: int) -> None:
        settings = Pia(**{"patience": 10**9, **self.settings, "seed": seed})
        meter = Meter(len(case.clean), case.clean.device)
        walk = self.walk(settings, case.model, case.clean, case.starts, case.targets, (0.0, 1.0), meter)
        iteration = 0
        while len(walk.live):
            record.note(meter.counts[:, 2], walk.best_norm)
            walk.keep(~record.done.to(walk.live.device)[walk.live])
            walk.advance(iteration)
            iteration += 1
        record.note(meter.counts[:, 2], walk.best_norm)


OLD = {"learning_rate": 0.25, "smoothing": 0}
SMALL = {"learning_rate": 0.02, "smoothing": 0}
FALLING = {"learning_rate": 0.2, "slowing": 10.0}
VARIANTS: dict[str, tuple[str, Ours | Callable[[Case, Record, int], None]]] = {
    "shipped": ("PIA as it is", Ours()),
    "old": ("PIA as it was: large steps, lost queries left out", Ours(LostLeftOut, OLD, all_starts=False)),
    "old_starts": ("the same, starts from all parts", Ours(LostLeftOut, OLD)),
    "small_steps": ("and steps of 0.02 of ε", Ours(LostLeftOut, SMALL)),
    "lost_is_worst": ("and a lost query is the worst", Ours(LostIsWorst, SMALL)),
    "ranks": ("and ranks in place of scores", Ours(Ranks, SMALL)),
    "nearer_start": ("and the start projected", Ours(Walk, SMALL)),
    "falling_steps": ("and steps that fall from 0.2 of ε", Ours(settings=FALLING | {"smoothing": 0})),
    "scores": ("PIA as it is, scores in place of ranks", Ours(LostIsWorstNear)),
    "smoother": ("PIA as it is, noise smoothed twice", Ours(settings={"smoothing": 2})),
    "few_samples": ("PIA as it is, 50 samples", Ours(settings={"samples": 50})),
    "own_starts": ("PIA as it is, starts from the attacked clips", Ours(all_starts=False)),
    "published": ("published (Ilyas et al. 2018)", published_partial_information),
    "sign_flip": ("SignFlip (Chen et al. 2020)", sign_flip),
    "hop_skip_jump": ("HopSkipJump (Foolbox)", hop_skip_jump),
}


@app.command()
def measure(
    model: Annotated[Path | None, typer.Option(help="model file")] = None,
    pictures: Path = Path("data/pictures/pictures.npy"),
    split: Path = Path("data/split.csv"),
    synthetic: Annotated[str | None, typer.Option(help="architecture trained here on blobs instead")] = None,
    size: int = 24,
    classes: int = 10,
    clips: int = 300,
    queries: int = 50000,
    bound: Annotated[float, typer.Option(help="norm below which a clip needs no more queries")] = 0.05,
    variants: Annotated[str, typer.Option(help=f"comma-separated, of {', '.join(VARIANTS)}")] = "",
    chunk: Annotated[int, typer.Option(help="clips attacked at once")] = 100,
    minutes: Annotated[float, typer.Option(help="stop after so many")] = NEVER,
    seed: int = 0,
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    json_file: Annotated[Path, typer.Option("--json", help="JSON file to write and to go on from")] = Path(
        "pia.json"
    ),
) -> None:
    """Measure the variants, finished parts first."""
    deadline = time.monotonic() + 60 * minutes
    chosen = variants.split(",") if variants else list(VARIANTS)
    for name in chosen:
        if name not in VARIANTS:
            raise typer.BadParameter(f"{name} is none of {', '.join(VARIANTS)}", param_hint="--variants")
    network, case, own = _cases(model, pictures, split, synthetic, size, classes, clips, seed, device)
    key = {
        "model": model_digest(network)[:16],
        "network": synthetic or str(model and model.name),
        "clips": len(case.clean),
        "queries": queries,
        "bound": bound,
        "chunk": chunk,
        "seed": seed,
    }
    parts = _earlier(json_file, key)
    measured = Measurements(("foolbox",), device)
    for name in chosen:
        for start in range(0, len(case.clean), chunk):
            part = f"{name} {start}"
            if part in parts or time.monotonic() > deadline:
                continue
            rows = slice(start, start + chunk)
            run = VARIANTS[name][1]
            starts = own if isinstance(run, Ours) and not run.all_starts else case.starts
            some = Case(network, case.clean[rows], starts[rows], case.targets[rows])
            found = _run(run, some, queries, bound, seed, deadline)
            if found is not None:
                parts[part] = found
                print(f"{part}: {_line(found, bound)}", flush=True)
            _write(measured, json_file, key, parts, partial=True)
    measured = _write(Measurements(("foolbox",), device), json_file, key, parts, partial=False)
    print(measured.table())


def _cases(
    model: Path | None,
    pictures: Path,
    split: Path,
    synthetic: str | None,
    size: int,
    classes: int,
    clips: int,
    seed: int,
    device: str,
) -> tuple[nn.Module, Case, Tensor]:
    """The model, the clips with starts from all parts of the data, and the starts from the attacked clips."""
    if device == "cpu":
        torch.set_num_threads(1)
    if synthetic:
        network, whole, labels = trained_on_blobs(synthetic, size, classes, clips, device)
        candidates = Candidates(whole, labels)
    elif model:
        test = read_attacked_clips(pictures, split, model, model)
        network, whole, labels = load(model, device), test.pictures, test.labels
        candidates = read_candidates(pictures, split, model)
    else:
        raise typer.BadParameter("give --model or --synthetic")
    logits = predict(network, whole, device)
    right = np.flatnonzero(logits.argmax(1) == labels)
    if not len(right):
        raise typer.BadParameter("the model classifies no clip correctly; there is nothing to attack")
    rows = right[np.random.default_rng(seed).permutation(len(right))[:clips]]
    clean = np.asarray(whole[rows], dtype=np.float32)
    targets = draw_targets(AttackedClips(clean, labels[rows], rows), logits.shape[1], seed)
    starts, own = (
        torch.as_tensor(starting_points(network, clean, targets, among, device=device), device=device)
        for among in (candidates, Candidates(clean, labels[rows]))
    )
    lost = [int(part.isnan().flatten(1).any(1).sum()) for part in (starts, own)]
    print(f"{len(rows)} clips on {device}; without a start: {lost[0]}, from the attacked clips {lost[1]}")
    case = Case(
        network,
        torch.as_tensor(clean, device=device)[:, None],
        starts[:, None],
        torch.as_tensor(targets, device=device),
    )
    return network, case, own[:, None]


def _run(
    run: Callable[[Case, Record, int], None],
    case: Case,
    queries: int,
    bound: float,
    seed: int,
    deadline: float,
) -> dict[str, Any] | None:
    """Attack the clips that have a start; None if the time was over first."""
    usable = ~case.starts.isnan().flatten(1).any(1)
    rows = usable.nonzero().squeeze(1).cpu()
    record = Record(
        len(rows),
        budget=queries,
        bounds=[limit for limit in BOUNDS if limit >= bound],
        marks=[mark for mark in MARKS if mark <= queries],
        deadline=deadline,
        enough=bound,
    )
    begun = time.perf_counter()
    with torch.no_grad(), exact_attack(case.clean.device):
        try:
            run(Case(case.model, case.clean[usable], case.starts[usable], case.targets[usable]), record, seed)
        except Stopped:
            if record.out_of_time:
                return None
        except AssertionError as error:
            # Foolbox asserts that rounding changes no label; what was reached until then counts.
            print(f"stopped early: {error!r}")
    synchronise(case.clean.device)

    def whole(values: Tensor, missing: float) -> list[Any]:
        spread = torch.full((len(case.clean),), missing, dtype=values.dtype)
        spread[rows] = values
        return [None if value == np.inf else value for value in spread.tolist()]

    return {
        "seconds": time.perf_counter() - begun,
        "queries": whole(record.queries, 0),
        "smallest_norm": whole(record.best, np.inf),
        "queries_to_reach": {f"{limit:g}": whole(first, -1) for limit, first in record.reached.items()},
        "smallest_norm_at": {str(mark): whole(norms, np.inf) for mark, norms in record.at.items()},
    }


def _line(found: dict[str, Any], bound: float) -> str:
    first = np.array(found["queries_to_reach"][f"{bound:g}"])
    won = first[first >= 0]
    middle = int(np.median(won)) if len(won) else -1
    share = len(won) / len(first)
    return f"{share:.3f} within {bound:g}, median {middle} queries of these, {found['seconds']:.0f} s"


def _earlier(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    if content.get("key") != key:
        raise typer.BadParameter(
            f"{path} holds other measurements ({content.get('key')}, not {key}); name another file",
            param_hint="--json",
        )
    return dict(content["parts"])


def _write(
    measured: Measurements, path: Path, key: dict[str, Any], parts: dict[str, Any], *, partial: bool
) -> Measurements:
    """Write what there is; the table once at the end, for the variants that are complete."""
    if not partial:
        for name, (system, _) in VARIANTS.items():
            starts = range(0, key["clips"], key["chunk"])
            own = [parts[f"{name} {start}"] for start in starts if f"{name} {start}" in parts]
            if len(own) == len(starts):
                _summarise(measured, system, own, key)
    measured.write(path, key=key, parts=parts)
    return measured


def _summarise(measured: Measurements, system: str, parts: list[dict[str, Any]], key: dict[str, Any]) -> None:
    task = f"{key['network']}, {key['clips']} clips"
    for limit in parts[0]["queries_to_reach"]:
        first = np.concatenate([part["queries_to_reach"][limit] for part in parts])
        for mark in sorted({mark for mark in MARKS if mark < key["queries"]} | {key["queries"]}):
            share = float(((first >= 0) & (first <= mark)).mean())
            metric = f"success within {limit} at {mark:,} queries"
            measured.add(task, system, metric, share, "of the clips")
        if (first >= 0).mean() > 0.5:
            middle = float(np.median(np.where(first >= 0, first, np.inf)))
            measured.add(task, system, f"median queries to {limit}", middle, "queries")
    for mark in parts[0]["smallest_norm_at"]:
        norms = np.array(
            [np.inf if n is None else n for part in parts for n in part["smallest_norm_at"][mark]]
        )
        if np.isfinite(np.median(norms)):
            metric = f"median L∞ at {int(mark):,} queries, at least {key['bound']}"
            measured.add(task, system, metric, float(np.median(norms)), "1")
    seconds = sum(part["seconds"] for part in parts)
    measured.add(task, system, "time", seconds, "s")
    spent = sum(sum(part["queries"]) for part in parts)
    measured.add(task, system, "queries per second", spent / seconds, "queries/s")


if __name__ == "__main__":
    app()
