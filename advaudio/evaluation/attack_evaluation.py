"""Attack both models with as much budget as the threshold asks for: the work of one `attack` stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advaudio.attack_interface.base import Norm
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import ArrayWriter, write_csv
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.evaluation.chunk import (
    Chunk,
    ChunkResult,
    ModelSource,
    build_attack,
    model_digest,
    run_chunk,
)
from advaudio.evaluation.preflight import predict
from advaudio.evaluation.starting_points import Candidates, starting_points
from advaudio.robustness.clip_results import COLUMNS, MODELS
from advaudio.robustness.fooling_curve import Array

CHUNK_ON_CPU = 24
CHUNK_ON_GPU = 512


@dataclass(frozen=True)
class AttackEvaluation:
    """What `evaluate_attack` found.

    Parameters
    ----------
    name, norm
        Of the attack.
    table
        One row per model and clip; see `advaudio.robustness.clip_results`.
    ladder
        The budgets that were available, cheapest first.
    examples
        Sample numbers of the clips whose pictures are kept: the same for every attack on the same models.
    clean, adversarial
        Pictures (kept, height, width), and for each model the adversarial ones (the clean picture where the
        attack failed; the table tells).
    """

    name: str
    norm: Norm
    table: pd.DataFrame
    ladder: list[dict[str, Any]]
    examples: Array
    clean: Array
    adversarial: dict[str, Array]

    def write_examples(self, folder: Path) -> None:
        """Write `clean.npy`, `original.npy`, `robust.npy` (kept, height, width) and `examples.csv`.

        In `examples.csv` each model's rows are in the order of the pictures.
        """
        for name, pictures in {"clean": self.clean, **self.adversarial}.items():
            with ArrayWriter(folder / f"{name}.npy", pictures.shape, "float32") as array:
                array[:] = pictures
        rows = self.table.set_index("sample").loc[self.examples].reset_index()
        write_csv(folder / "examples.csv", rows[list(COLUMNS)])


@dataclass
class _Progressing:
    """One model's share of the evaluation."""

    source: ModelSource
    digest: str
    predicted: Array
    correct: Array
    remaining: Array
    starts: Array | None
    adversarial: Array
    found: Array
    labels: Array
    counts: Array
    rung: Array
    finished: bool = False


def evaluate_attack(
    name: str,
    *,
    original: ModelSource,
    robust: ModelSource,
    pictures: Array,
    labels: Array,
    ladder: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any] | None = None,
    samples: Array | None = None,
    threshold: float = 0.9,
    seed: int = 0,
    devices: Sequence[str] = ("cpu",),
    workers: int | None = None,
    examples: int = 8,
    decibels_per_unit: float | None = None,
    spectrogram_rows: tuple[int, int] | None = None,
    candidates: Candidates | None = None,
    checkpoint_folder: Path | None = None,
    progress: Progress = silent,
) -> AttackEvaluation:
    """Find for every correctly classified clip the smallest perturbation that fools each of two models.

    All clips are attacked with the first budget of the ladder; those not yet fooled with the next, until the
    model's fooling rate reaches the threshold or the ladder ends. Each model climbs on its own. Fooled means:
    taken for the target class, or, for an attack without a target, for any wrong class.

    Targets and noise depend on the seed and the sample number alone, and clips are attacked in chunks of a
    fixed size, each on one thread, so the results are the same whatever the number of workers.

    Parameters
    ----------
    name
        See `advaudio.attack_interface.registry`.
    original, robust
        Files or modules: pictures (N, 1, height, width) in [0, 1] to logits.
    pictures
        (N, height, width) float32 in [0, 1]: the test pictures.
    labels
        (N,) int.
    ladder
        Budgets, cheapest first; each overrides `settings`.
    settings
        What defines the attack; with a budget, the keywords of its class.
    samples
        (N,) number of each picture, by which targets are drawn; by default 0 to N − 1.
    threshold
        Fooling rate (0 to 1) at which a model needs no larger budget.
    devices
        Torch devices; clips are dealt to them.
    workers
        See `advaudio.core.parallel.map_ordered`.
    examples
        How many clips to keep pictures of.
    decibels_per_unit
        dB of one unit of a picture; None leaves the decibel columns empty.
    spectrogram_rows
        First row and end of the rows that are in dB; None: all.
    candidates
        What an attack that walks from a picture of its target class may start from; by default the test
        pictures.
    checkpoint_folder
        Where finished chunks are kept, so that a killed run goes on where it was; the caller removes it.

    Raises
    ------
    AdvaudioError
        If the attack, its settings, the ladder, the pictures or the labels are wrong.
    """
    settings = dict(settings or {})
    steps = [dict(step) for step in ladder]
    samples = np.arange(len(labels)) if samples is None else np.asarray(samples)
    labels = np.asarray(labels)
    _check(name, settings, steps, seed, pictures, labels, samples)
    attack = build_attack(name, {**settings, **steps[0]}, seed)
    sources = dict(zip(MODELS, (original, robust), strict=True))
    logits = {model: predict(source, pictures, devices[0]) for model, source in sources.items()}
    classes = logits["original"].shape[1]
    if attack.untargeted_only:
        targets = np.full(len(labels), -1)
    else:
        targets = draw_targets(labels, samples, classes, seed)
    states = {}
    for model, source in sources.items():
        predicted = logits[model].argmax(1)
        correct = predicted == labels
        states[model] = _Progressing(
            source=source,
            digest=model_digest(source),
            predicted=predicted,
            correct=correct,
            remaining=np.flatnonzero(correct),
            starts=starting_points(
                source, pictures, targets, candidates or Candidates(pictures, labels), device=devices[0]
            )
            if attack.needs_starting_points
            else None,
            adversarial=np.array(pictures, dtype=np.float32),
            found=np.zeros(len(labels), dtype=bool),
            labels=np.full(len(labels), -1),
            counts=np.zeros((len(labels), 4), dtype=np.int64),
            rung=np.zeros(len(labels), dtype=np.int64),
            finished=not correct.any(),
        )
    for number, step in enumerate(steps, start=1):
        climbing = [state for state in states.values() if not state.finished]
        if not climbing:
            break
        chunks = [
            (state, rows) for state in climbing for rows in _split(state.remaining, _chunk_size(devices))
        ]
        tasks = [
            Chunk(
                attack=name,
                settings={**settings, **step},
                seed=seed,
                model=state.source,
                model_digest=state.digest,
                pictures=np.asarray(pictures[rows], dtype=np.float32),
                labels=labels[rows],
                targets=targets[rows],
                starting_points=None if state.starts is None else state.starts[rows],
                checkpoint=checkpoint_folder,
            )
            for state, rows in chunks
        ]
        results = map_ordered(
            run_chunk,
            tasks,
            workers=workers,
            devices=devices,
            progress=progress,
            description=f"attack {name}, budget {number} of {len(steps)}",
        )
        for (state, rows), result in zip(chunks, results, strict=True):
            _take(state, rows, result, number)
        for state in climbing:
            state.remaining = np.flatnonzero(state.correct & ~state.found)
            rate = state.found.sum() / state.correct.sum()
            state.finished = rate >= threshold - 1e-9
    table = pd.concat(
        [
            _table(
                model,
                state,
                pictures,
                labels,
                samples,
                targets,
                attack.norm,
                decibels_per_unit,
                spectrogram_rows,
            )
            for model, state in states.items()
        ],
        ignore_index=True,
    )
    kept = _choose_examples(labels, states["original"].correct & states["robust"].correct, examples)
    return AttackEvaluation(
        name=name,
        norm=attack.norm,
        table=table,
        ladder=steps,
        examples=samples[kept],
        clean=np.asarray(pictures[kept], dtype=np.float32),
        adversarial={model: state.adversarial[kept] for model, state in states.items()},
    )


def draw_targets(labels: Array, samples: Array, classes: int, seed: int) -> Array:
    """Draw a wrong class for each clip, each from its own stream (seed, sample number): (N,) int."""
    drawn = [int(np.random.default_rng([seed, int(sample)]).integers(classes - 1)) for sample in samples]
    wrong = np.array(drawn, dtype=np.int64)
    return wrong + (wrong >= labels)


def _take(state: _Progressing, rows: Array, result: ChunkResult, rung: int) -> None:
    state.counts[rows] += result.counts
    state.rung[rows] = rung
    won = rows[result.found]
    state.adversarial[won] = result.adversarial[result.found]
    state.labels[won] = result.labels[result.found]
    state.found[won] = True


def _table(
    model: str,
    state: _Progressing,
    pictures: Array,
    labels: Array,
    samples: Array,
    targets: Array,
    norm: Norm,
    decibels_per_unit: float | None,
    spectrogram_rows: tuple[int, int] | None,
) -> pd.DataFrame:
    difference = state.adversarial.astype(np.float64) - np.asarray(pictures, dtype=np.float64)
    flat = difference.reshape(len(labels), -1)
    norms = {
        "linf": np.abs(flat).max(1),
        "l2": np.sqrt(np.square(flat).sum(1)),
        "l0": (flat != 0).sum(1).astype(float),
    }
    missing = np.where(state.found, 0.0, np.nan)
    own = np.where(state.found, norms[norm], np.where(state.correct, np.inf, np.nan))
    rows = difference[:, slice(*spectrogram_rows) if spectrogram_rows else slice(None)].reshape(
        len(labels), -1
    )
    decibels = np.nan if decibels_per_unit is None else decibels_per_unit
    columns: dict[str, Any] = {
        "model": np.full(len(labels), model, dtype=object),
        "sample": samples,
        "label": labels,
        "predicted": state.predicted,
        "target": targets,
        "perturbation": own,
        **{name: values + missing for name, values in norms.items()},
        "decibels_peak": np.abs(rows).max(1) * decibels + missing,
        "decibels_rms": np.sqrt(np.square(rows).mean(1)) * decibels + missing,
        "adversarial_label": state.labels,
        "rung": state.rung,
    }
    for column, name in enumerate(("forwards", "backwards", "queries", "iterations")):
        columns[name] = state.counts[:, column]
    return pd.DataFrame(columns)[list(COLUMNS)]


def _choose_examples(labels: Array, usable: Array, count: int) -> Array:
    """Rows of the first usable clip of each class, then of the second, and so on."""
    rows = np.flatnonzero(usable)
    turn = pd.Series(labels[rows]).groupby(labels[rows]).cumcount().to_numpy()
    return rows[np.lexsort((rows, labels[rows], turn))][:count]


def _split(rows: Array, size: int) -> list[Array]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _chunk_size(devices: Sequence[str]) -> int:
    return CHUNK_ON_CPU if tuple(devices) == ("cpu",) else CHUNK_ON_GPU


def _check(
    name: str,
    settings: Mapping[str, Any],
    ladder: Sequence[Mapping[str, Any]],
    seed: int,
    pictures: Array,
    labels: Array,
    samples: Array,
) -> None:
    if not ladder:
        raise AdvaudioError(
            f"The attack {name} has no budget; give its ladder at least one step ({{}} will do)."
        )
    for step in ladder:
        build_attack(name, {**settings, **step}, seed)
    if pictures.ndim != 3 or len(pictures) != len(labels) or len(labels) != len(samples) or not len(labels):
        raise AdvaudioError(
            f"The attack {name} needs test pictures (clips, height, width) and one label and number each, "
            f"got shapes {pictures.shape}, {labels.shape} and {samples.shape}."
        )
    if len(np.unique(samples)) != len(samples):
        raise AdvaudioError(f"The attack {name} got two pictures with the same sample number.")
