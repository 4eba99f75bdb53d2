"""The training of one fold as a task of its own: its network, its scores, and the files that it leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from advaudio.clips.split_table import Fold, Split, read_split
from advaudio.core.determinism import exact_training
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array, read_json, write_json
from advaudio.core.metric_names import pgd_accuracy_at
from advaudio.core.parallel import device as task_device
from advaudio.core.parallel import emit
from advaudio.models.classifier import Classifier
from advaudio.models.model_file import save_model
from advaudio.models.pretrained import load_pretrained
from advaudio.models.registry import build_model
from advaudio.training.checkpoints import Checkpoint
from advaudio.training.collapse import COLLAPSE_CLIPS, SingleStepGap, single_step_gap
from advaudio.training.job import TrainingJob
from advaudio.training.loop import Epoch, Plan, train
from advaudio.training.measures import EVALUATION_BATCH, pgd_accuracies, score
from advaudio.training.pictures import PictureBatches, cut
from advaudio.training.result import FoldResult

PGD_STEPS = 20
_RESULT_KEYS = ("repeat", "fold", "validation_accuracy", "validation_loss", "confusion", "curves")


@dataclass(frozen=True)
class FoldTask:
    """One fold to train.

    Parameters
    ----------
    job
        What all folds share.
    plan
        What this fold is trained by.
    run
        Folder of the run's checkpoints and results.
    digest
        The run's digest, which its checkpoints carry.
    mean_and_std
        Mean and standard deviation of the fold's training pictures.
    """

    job: TrainingJob
    plan: Plan
    run: Path
    digest: str
    mean_and_std: tuple[float, float]

    @property
    def name(self) -> str:
        """Name of the fold's files."""
        return f"repeat{self.plan.repeat}-fold{self.plan.fold}"

    @property
    def result_file(self) -> Path:
        """What the finished fold found."""
        return self.run / f"{self.name}.json"

    @property
    def weights_file(self) -> Path:
        """The finished fold's model, kept while it may be the one to publish."""
        return self.run / f"{self.name}.safetensors"


def train_fold(task: FoldTask) -> FoldResult:
    """Train and score a fold on the worker's device, or read what an earlier run found.

    Raises
    ------
    AdvaudioError
        On divergence, too little memory, or a checkpoint that is refused.
    """
    if task.result_file.exists():
        finished: FoldResult = read_json(task.result_file, *_RESULT_KEYS)
        for row in finished["curves"]:
            emit(Epoch(**row))
        return finished
    device = torch.device(task_device())
    settings = task.plan.settings
    try:
        with exact_training(device, settings.deterministic):
            return _train(task, device)
    except torch.OutOfMemoryError as error:
        raise AdvaudioError(
            f"The GPU ran out of memory training fold {task.plan.fold} of {task.job.model}: lower "
            f"`training.batch_size` (now {settings.batch_size}), or end other programs on it. "
            "Finished epochs are kept."
        ) from error


def forget_pictures() -> None:
    """Let go of the pictures that the folds of this process share."""
    _pictures_and_split.cache_clear()


@lru_cache(maxsize=1)
def _pictures_and_split(
    pictures: Path, split: Path, classes: int, device: torch.device
) -> tuple[PictureBatches, Split]:
    """All folds of a process share the pictures on its device, until `forget_pictures`."""
    array = open_array(pictures)
    parts = read_split(split, classes, len(array))
    return PictureBatches(array, parts.labels, device), parts


def _train(task: FoldTask, device: torch.device) -> FoldResult:
    job, plan = task.job, task.plan
    pictures, split = _pictures_and_split(job.pictures, job.split, job.classes, device)
    fold = split.folds[plan.fold]
    mean, std = task.mean_and_std
    _, height, width = pictures.array.shape
    network = build_model(job.model, job.classes, (height, width), mean=mean, std=std, seed=plan.seed_of(0))
    load_pretrained(network, job.model, job.pretrained)
    checkpoint = Checkpoint(task.run / f"{task.name}.pt", task.digest)
    trained = train(network, pictures, fold, plan, checkpoint, emit)

    validation = score(network, pictures, fold.validation, job.classes)
    test = score(network, pictures, fold.test, job.classes)
    under_pgd = pgd_accuracies(network, pictures, fold.test, job.pgd_epsilons, PGD_STEPS)
    gap = _gap_of_kept_epoch(network, pictures, fold, plan)
    result: dict[str, Any] = {
        "repeat": plan.repeat,
        "fold": plan.fold,
        "epochs": len(trained.epochs),
        "best_epoch": trained.best_epoch,
        "validation_loss": validation.loss,
        "validation_accuracy": validation.accuracy,
        "validation_balanced_accuracy": validation.balanced_accuracy,
        "test_loss": test.loss,
        "test_accuracy": test.accuracy,
        "test_balanced_accuracy": test.balanced_accuracy,
        "probe_accuracy": trained.epochs[trained.best_epoch - 1].probe_accuracy,
        "collapsed_epoch": trained.collapsed_epoch,
        "collapsed": gap and gap.collapsed,
        "collapse_epsilon": gap and gap.epsilon,
        "collapse_clips": gap and gap.clips,
        "fooled_by_one_step": gap and gap.single_step,
        "fooled_by_iterations": gap and gap.iterated,
        **dict(zip(map(pgd_accuracy_at, job.pgd_epsilons), under_pgd, strict=True)),
        "confusion": test.confusion.tolist(),
        "curves": [asdict(epoch) for epoch in trained.epochs],
    }
    metadata = {
        "model": job.model,
        "classes": job.classes,
        "defence": job.defence,
        "repeat": plan.repeat,
        "fold": plan.fold,
        "seed": job.seed,
    }
    save_model(network, task.weights_file, metadata)
    write_json(task.result_file, result)
    checkpoint.path.unlink(missing_ok=True)
    return result


def _gap_of_kept_epoch(
    network: Classifier, pictures: PictureBatches, fold: Fold, plan: Plan
) -> SingleStepGap | None:
    """What tells of catastrophic overfitting, on validation clips drawn with the seed; None for clean training."""
    if plan.defence is None:
        return None
    generator = np.random.default_rng([plan.seed, plan.repeat, plan.fold])
    rows = np.sort(generator.permutation(fold.validation)[:COLLAPSE_CLIPS])
    epsilon = plan.adversarial.epsilon
    return single_step_gap(network, pictures.batches(cut(rows, EVALUATION_BATCH)), [epsilon / 2, epsilon])
