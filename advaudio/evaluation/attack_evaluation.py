"""Attack both models with as much budget as the threshold asks for: the work of one `attack` stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from advaudio.attack_interface.clip_results import COLUMNS, MODELS, AttackResults
from advaudio.clips.picture_layout import Layout
from advaudio.core.files import ArrayWriter, write_csv
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.evaluation.attacked_clips import AttackedClips
from advaudio.evaluation.budget_schedule import BudgetSchedule
from advaudio.evaluation.chunk import Chunk, ChunkResult, run_chunk
from advaudio.evaluation.clip_table import clip_table
from advaudio.evaluation.model_source import ModelSource, model_digest
from advaudio.evaluation.preflight import predict
from advaudio.evaluation.starting_points import Candidates, starting_points

Array = NDArray[Any]
CHUNK_ON_CPU = 24
CHUNK_ON_GPU = 512
EXAMPLES = "examples"


@dataclass(frozen=True)
class Resources:
    """What an evaluation may use.

    Parameters
    ----------
    devices
        Torch devices; clips are shared out among them.
    workers
        See `advaudio.core.parallel.map_ordered`.
    checkpoints
        Folder where finished chunks are kept, so that a killed run goes on where it was; the caller removes it.
    progress
        Called with (chunks done, chunks, what is done).
    """

    devices: Sequence[str] = ("cpu",)
    workers: int | None = None
    checkpoints: Path | None = None
    progress: Progress = silent

    @property
    def chunk_size(self) -> int:
        """Clips of one task; it never depends on the number of workers, and so the results do not either."""
        return CHUNK_ON_CPU if tuple(self.devices) == ("cpu",) else CHUNK_ON_GPU


@dataclass(frozen=True)
class AttackEvaluation:
    """What `evaluate_attack` found.

    Attributes
    ----------
    name
        Of the attack.
    results
        One row per model and clip, and what the statistics need to know beside it.
    examples
        Sample numbers of the clips whose pictures are kept: the same for every attack on the same models.
    clean, adversarial
        Pictures (kept, height, width), and for each model the adversarial ones (the clean picture where the
        attack failed, as the table says).
    """

    name: str
    results: AttackResults
    examples: Array
    clean: Array
    adversarial: Mapping[str, Array]

    def write(self, folder: Path) -> None:
        """Write what cost work: the results (see `AttackResults`), and `examples/`.

        There lie `clean.npy`, `original.npy`, `robust.npy` (kept, height, width) and `examples.csv`, in which each
        model's rows are in the order of the pictures.
        """
        self.results.write(folder)
        for name, pictures in {"clean": self.clean, **self.adversarial}.items():
            with ArrayWriter(folder / EXAMPLES / f"{name}.npy", pictures.shape, "float32") as array:
                array[:] = pictures
        rows = self.results.table.set_index("sample").loc[self.examples].reset_index()
        write_csv(folder / EXAMPLES / "examples.csv", rows[list(COLUMNS)])


@dataclass
class _State:
    """How far the attack on one model is: a `ModelResults`, and what the next step needs."""

    source: ModelSource
    digest: str
    predicted: Array
    correct: Array
    starts: Array | None
    adversarial: Array
    found: Array
    labels: Array
    counts: Array
    budget_step: Array

    def finished(self, threshold: float) -> bool:
        """Whether the fooling rate has reached the threshold, or there is nothing to fool."""
        attacked = self.correct.sum()
        return attacked == 0 or bool(self.found.sum() / attacked >= threshold - 1e-9)

    def take(self, rows: Array, result: ChunkResult, step: int) -> None:
        """Take what a chunk found on the clips `rows`."""
        self.counts[rows] += result.counts
        self.budget_step[rows] = step
        won = rows[result.found]
        self.adversarial[won] = result.adversarial[result.found]
        self.labels[won] = result.labels[result.found]
        self.found[won] = True


def evaluate_attack(
    schedule: BudgetSchedule,
    clips: AttackedClips,
    models: Mapping[str, ModelSource],
    *,
    threshold: float = 0.9,
    examples: int = 8,
    layout: Layout | None = None,
    candidates: Candidates | None = None,
    resources: Resources | None = None,
) -> AttackEvaluation:
    """Find for every correctly classified clip the smallest perturbation that fools each of two models.

    All clips are attacked with the first budget of the schedule; those not yet fooled with the next, until the
    model's fooling rate reaches the threshold or the schedule ends, for each model on its own. Fooled means:
    taken for the target class, or, for an attack without a target, for any wrong class.

    Targets and noise depend on the seed and the sample number alone, and clips are attacked in chunks of a
    fixed size, each on one thread, so the results are the same whatever the number of workers.

    Parameters
    ----------
    models
        `original` and `robust`: files or modules, from pictures (N, 1, height, width) in [0, 1] to logits.
    threshold
        Fooling rate (0 to 1) at which a model needs no larger budget.
    examples
        How many clips to keep pictures of.
    layout
        Of the pictures; None leaves the decibel columns empty.
    candidates
        What an attack that walks from a picture of its target class may start from; by default the attacked
        clips.

    Raises
    ------
    AdvaudioError
        If the pictures or a model are not fit to be attacked.
    """
    resources = resources or Resources()
    logits = {model: predict(models[model], clips.pictures, resources.devices[0]) for model in MODELS}
    attack = schedule.attacks[0]
    targets = np.full(len(clips.labels), -1)
    if not attack.untargeted_only:
        targets = draw_targets(clips, logits["original"].shape[1], schedule.seed)
    states = {}
    for model in MODELS:
        state = _begin(models[model], clips, logits[model].argmax(1))
        if attack.needs_starting_points:
            among = candidates or Candidates(clips.pictures, clips.labels)
            state.starts = starting_points(
                models[model], clips.pictures, targets, among, device=resources.devices[0]
            )
        states[model] = state
    for step in range(len(schedule.attacks)):
        unfinished = [state for state in states.values() if not state.finished(threshold)]
        if unfinished:
            _run_step(step, schedule, unfinished, clips, targets, resources)
    tables = [
        clip_table(model, state, clips, targets, norm=attack.norm, layout=layout)
        for model, state in states.items()
    ]
    kept = _choose_examples(clips.labels, states["original"].correct & states["robust"].correct, examples)
    return AttackEvaluation(
        name=schedule.name,
        results=AttackResults(
            pd.concat(tables, ignore_index=True), attack.norm, schedule.budgets, schedule.code
        ),
        examples=clips.samples[kept],
        clean=np.asarray(clips.pictures[kept], dtype=np.float32),
        adversarial={model: state.adversarial[kept] for model, state in states.items()},
    )


def _begin(source: ModelSource, clips: AttackedClips, predicted: Array) -> _State:
    number = len(clips.labels)
    return _State(
        source=source,
        digest=model_digest(source),
        predicted=predicted,
        correct=predicted == clips.labels,
        starts=None,
        adversarial=np.array(clips.pictures, dtype=np.float32),
        found=np.zeros(number, dtype=bool),
        labels=np.full(number, -1),
        counts=np.zeros((number, 4), dtype=np.int64),
        budget_step=np.zeros(number, dtype=np.int64),
    )


def _run_step(
    step: int,
    schedule: BudgetSchedule,
    states: Sequence[_State],
    clips: AttackedClips,
    targets: Array,
    resources: Resources,
) -> None:
    """Attack the clips that are not fooled yet with the budget number `step`, from 0."""
    chunks = []
    for state in states:
        remaining = np.flatnonzero(state.correct & ~state.found)
        for start in range(0, len(remaining), resources.chunk_size):
            chunks.append((state, remaining[start : start + resources.chunk_size]))
    tasks = [
        Chunk(
            attack=schedule.attacks[step],
            model=state.source,
            depends_on=(schedule.digests[step], state.digest),
            pictures=np.asarray(clips.pictures[rows], dtype=np.float32),
            labels=clips.labels[rows],
            targets=targets[rows],
            starting_points=None if state.starts is None else state.starts[rows],
            checkpoint=resources.checkpoints,
        )
        for state, rows in chunks
    ]
    results = map_ordered(
        run_chunk,
        tasks,
        workers=resources.workers,
        devices=resources.devices,
        progress=resources.progress,
        description=f"attack {schedule.name}, budget {step + 1} of {len(schedule.attacks)}",
    )
    for (state, rows), result in zip(chunks, results, strict=True):
        state.take(rows, result, step + 1)


def draw_targets(clips: AttackedClips, classes: int, seed: int) -> Array:
    """Draw a wrong class for each clip, each from its own stream (seed, sample number): (N,) int."""
    drawn = [
        int(np.random.default_rng([seed, int(sample)]).integers(classes - 1)) for sample in clips.samples
    ]
    wrong = np.array(drawn, dtype=np.int64)
    return wrong + (wrong >= clips.labels)


def _choose_examples(labels: Array, usable: Array, count: int) -> Array:
    """Rows of the first usable clip of each class, then of the second, and so on."""
    rows = np.flatnonzero(usable)
    turn = pd.Series(labels[rows]).groupby(labels[rows]).cumcount().to_numpy()
    return rows[np.lexsort((rows, labels[rows], turn))][:count]
