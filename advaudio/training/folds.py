"""Training in folds, spread over processes or GPUs; the model that validation picks is published."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from advaudio.clips.split_table import Fold, read_split
from advaudio.core.device import torch_devices
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import atomic_path
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.core.resume import code_of, digest_of, file_digest
from advaudio.models.pretrained import Pretrained, find_weights, load_pretrained
from advaudio.models.registry import own_code, trial_model
from advaudio.training.checkpoints import FINISHED, open_run
from advaudio.training.fold_task import FoldTask, forget_pictures, train_fold
from advaudio.training.job import TrainingJob
from advaudio.training.loop import Epoch, Plan
from advaudio.training.pictures import PictureFacts, picture_facts
from advaudio.training.result import FoldResult, TrainingResult, gather
from advaudio.training.watch import Watch


@dataclass(frozen=True)
class _Run:
    """A checked job with its tasks: all folds of the first repeat, then those of the next."""

    job: TrainingJob
    folder: Path
    folds: tuple[Fold, ...]
    tasks: list[FoldTask]
    start: Pretrained


def train_folds(
    job: TrainingJob,
    model_file: Path,
    *,
    checkpoint_folder: Path,
    device: str = "auto",
    progress: Progress = silent,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train one network per fold and repeat, score each on its fold's test clips, and publish the picked one.

    Killed at any moment, the same call goes on from the last checkpoint, and ends in the same bits where
    training is deterministic: on the CPU, and on CUDA with `deterministic`. On the CPU folds run in worker
    processes of one thread each, on several GPUs in one process per GPU.

    Parameters
    ----------
    job
        What to train.
    model_file
        Where the picked model is written (`load_model` reads it).
    checkpoint_folder
        Scratch, kept out of Git and DVC. Unfinished runs of other jobs stay there; finished ones go.
    device
        `auto`, `cpu` or `cuda`.
    progress
        Units are pictures trained on; the description ends in loss, accuracy and images/s.
    on_epoch
        Called with every `Epoch` in the calling process, from one thread, as they end; on resuming first with
        those of earlier calls.

    Raises
    ------
    AdvaudioError
        On bad parameters, pictures, split or weights, divergence, or too little memory.
    """
    devices = torch_devices(device)
    run = _prepare(job, devices[0].partition(":")[0], Path(checkpoint_folder))
    results, leader = _train_all(run, devices, progress, on_epoch)
    with atomic_path(model_file) as temporary:
        shutil.copyfile(run.tasks[leader].weights_file, temporary)
    (run.folder / FINISHED).touch()
    test_clips = len(np.unique(np.concatenate([fold.test for fold in run.folds])))
    return gather(results, results[leader], run.start, test_clips)


def _prepare(job: TrainingJob, device: str, checkpoint_folder: Path) -> _Run:
    """Fail before any training where settings, data or network do not fit; then plan every fold."""
    settings = job.training.for_model(job.model, job.pretrained != "none")
    facts = picture_facts(job.pictures)
    folds = read_split(job.split, job.classes, facts.shape[0]).folds
    pick = job.pick
    if pick is not None and not (0 <= pick[0] < job.repeats and 0 <= pick[1] < len(folds)):
        raise AdvaudioError(
            f"There is no repeat and fold {pick} to publish: {job.repeats} repeats, {len(folds)} folds."
        )
    start = load_pretrained(trial_model(job.model, job.classes, facts.shape[1:]), job.model, job.pretrained)
    plans = [
        Plan(settings, job.defence, job.adversarial, job.classes, job.epochs, job.seed, repeat, fold)
        for repeat in range(job.repeats)
        for fold in range(len(folds))
    ]
    digest = _digest(job, facts, plans[0], device)
    run = open_run(checkpoint_folder, digest)
    tasks = [FoldTask(job, plan, run, digest, facts.mean_and_std(folds[plan.fold].train)) for plan in plans]
    return _Run(job, run, folds, tasks, start)


def _digest(job: TrainingJob, facts: PictureFacts, plan: Plan, device: str) -> str:
    code = own_code(job.model)
    weights = job.pretrained
    if weights not in ("none", "imagenet"):
        weights = file_digest(find_weights(Path(weights), job.model))
    return digest_of(
        {
            "pictures": facts.digest,
            "split": file_digest(job.split),
            "model": job.model,
            "own_code": file_digest(code) if code else None,
            "classes": job.classes,
            "epochs": job.epochs,
            "defence": job.defence,
            "training": plan.settings.model_dump(),
            "adversarial": job.adversarial.model_dump() if job.defence else None,
            "pretrained": weights,
            "seed": job.seed,
            "pick": job.pick,
            "pgd_epsilons": job.pgd_epsilons,
            "device": device,
            "torch": torch.__version__,
        },
        code=code_of("models", "training"),
    )


def _train_all(
    run: _Run, devices: tuple[str, ...], progress: Progress, on_epoch: Callable[[Epoch], None] | None
) -> tuple[list[FoldResult], int]:
    """Results of all tasks, and which task's model is published; the others' weights are removed on the way."""
    job, tasks = run.job, run.tasks
    sizes = {
        (task.plan.repeat, task.plan.fold): job.epochs * len(run.folds[task.plan.fold].train)
        for task in tasks
    }
    watch = Watch(sizes, progress, on_epoch, "Adversarial training" if job.defence else "Training")
    results: list[FoldResult] = []
    leader = 0
    try:
        for position, result in enumerate(
            map_ordered(train_fold, tasks, devices=devices, on_event=watch.receive)
        ):
            results.append(result)
            watch.finish((result["repeat"], result["fold"]))
            if job.pick is not None:
                leader = min(position, job.pick[0] * len(run.folds) + job.pick[1])
            elif _rank(result) > _rank(results[leader]):
                leader = position
            for index in range(position + 1):
                if index != leader:
                    tasks[index].weights_file.unlink(missing_ok=True)
    finally:
        forget_pictures()
    return results, leader


def _rank(result: FoldResult) -> tuple[float, float]:
    return result["validation_accuracy"], -result["validation_loss"]
