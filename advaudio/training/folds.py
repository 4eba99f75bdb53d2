"""Training in folds: tasks dealt to processes or GPUs, the model that validation picks, all scores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from advaudio.clips.split_table import Split, read_split
from advaudio.core.determinism import exact_training
from advaudio.core.device import torch_devices
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import atomic_path, open_array, read_json, write_json
from advaudio.core.parallel import device as task_device
from advaudio.core.parallel import emit, map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.models.model_file import save_model
from advaudio.models.pretrained import Pretrained, find_weights, load_pretrained
from advaudio.models.registry import build_model, own_code, trial_model
from advaudio.training.checkpoints import FINISHED, Checkpoint, file_digest, open_run, run_digest
from advaudio.training.loop import Epoch, Plan, train
from advaudio.training.measures import pgd_accuracies, score
from advaudio.training.pictures import PictureBatches, picture_facts
from advaudio.training.settings import DEFENCES, AdversarialSettings, TrainingSettings
from advaudio.training.watch import Watch

PGD_STEPS = 20
_RESULT_KEYS = ("repeat", "fold", "validation_accuracy", "validation_loss", "confusion", "curves")


@dataclass(frozen=True)
class TrainingResult:
    """What `train_folds` found; nothing in it depends on the machine's cores, and nothing is a time.

    Parameters
    ----------
    folds
        One row per repeat and fold: `repeat`, `fold`, `epochs` (run), `best_epoch`, `validation_loss`,
        `validation_accuracy`, `validation_balanced_accuracy`, `test_loss`, `test_accuracy`,
        `test_balanced_accuracy`, `probe_accuracy` (the best epoch's) and `collapsed_epoch` (both empty where
        there is none).
    curves
        One row per epoch, as `Epoch`.
    confusion
        (classes, classes) counts of the picked model on its test clips; row = true class.
    picked_repeat, picked_fold
        Of the published model: the highest validation accuracy, then the lowest validation loss.
    pretrained
        Layers that came from pretrained weights, and layers that started random.
    test_clips
        Different clips in the test parts of all folds together: what the mean accuracy is of.
    """

    folds: pd.DataFrame
    curves: pd.DataFrame
    confusion: NDArray[np.int64]
    picked_repeat: int
    picked_fold: int
    pretrained: Pretrained
    test_clips: int

    def summary(self) -> dict[str, Any]:
        """Scores as JSON values: means over all folds, spreads, and the picked model's own."""
        table = self.folds
        picked = table[(table["repeat"] == self.picked_repeat) & (table["fold"] == self.picked_fold)].iloc[0]
        measures = [
            f"{part}_{kind}" for part in ("validation", "test") for kind in ("accuracy", "balanced_accuracy")
        ]
        collapsed = table["collapsed_epoch"].notna()
        out: dict[str, Any] = {name: float(table[name].mean()) for name in measures}
        out["test_accuracy_fold_spread"] = float(table["test_accuracy"].std(ddof=0))
        if table["repeat"].nunique() > 1:
            by_repeat = table.groupby("repeat")["test_accuracy"].mean()
            out["test_accuracy_repeat_spread"] = float(by_repeat.std(ddof=1))
        if table["probe_accuracy"].notna().any():
            out["probe_accuracy"] = float(table["probe_accuracy"].mean())
            out["collapsed_folds"] = int(collapsed.sum())
        out["picked"] = {
            "repeat": self.picked_repeat,
            "fold": self.picked_fold,
            "best_epoch": int(picked["best_epoch"]),
            **{name: float(picked[name]) for name in measures},
        }
        return out


@dataclass(frozen=True)
class _Task:
    pictures: Path
    split: Path
    model: str
    pretrained: str
    run: Path
    digest: str
    plan: Plan
    mean_and_std: tuple[float, float]
    pgd_epsilons: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"repeat{self.plan.repeat}-fold{self.plan.fold}"

    @property
    def result_file(self) -> Path:
        return self.run / f"{self.name}.json"

    @property
    def weights_file(self) -> Path:
        return self.run / f"{self.name}.safetensors"


def train_folds(
    pictures: Path,
    split: Path,
    model_file: Path,
    *,
    model: str,
    classes: int,
    epochs: int,
    defence: str | None = None,
    training: TrainingSettings | None = None,
    adversarial: AdversarialSettings | None = None,
    repeats: int = 1,
    pretrained: str = "none",
    seed: int = 0,
    device: str = "auto",
    checkpoint_folder: Path,
    pick: tuple[int, int] | None = None,
    pgd_epsilons: tuple[float, ...] = (),
    progress: Progress = silent,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train one network per fold and repeat, score each on its fold's test clips, and publish the picked one.

    Killed at any moment, the same call goes on from the last checkpoint, and ends in the same bits where training
    is deterministic: on the CPU, and on CUDA with `deterministic`. On
    the CPU folds run in worker processes of one thread each, on several GPUs in one process per GPU.

    Parameters
    ----------
    pictures
        float32 .npy (samples, height, width) in [0, 1].
    split
        `split.csv` (see `read_split`).
    model_file
        Where the picked model is written (`load_model` reads it).
    model
        A key of `ARCHITECTURES`, or `package.module:function`.
    classes
        Number of classes.
    epochs
        At most so many; the learning-rate schedule spans them.
    defence
        None, `fgsm`, `fgsm_rs` or `pgd` (adversarial training by Eq. 13).
    training, adversarial
        Settings; None: all defaults.
    repeats
        Trainings of every fold with different random numbers.
    pretrained
        `none`, `imagenet`, or a file or folder.
    seed
        Of all random numbers; the same seed gives clean and adversarial training the same start and order.
    device
        `auto`, `cpu` or `cuda`.
    checkpoint_folder
        Scratch, kept out of Git and DVC. Unfinished runs of other parameters stay there; finished ones go.
    pick
        (repeat, fold) to publish; None lets validation pick.
    pgd_epsilons
        Bounds (L∞) within which every fold's model is attacked with PGD-20 on its test clips (see
        `pgd_accuracies`); a column `pgd_accuracy_at_<255·ε>` each.
    progress
        Units are samples trained; the description ends in loss, accuracy and images/s.
    on_epoch
        Called with every `Epoch` in the calling process, from one thread, as they end; on resuming first with
        those of earlier calls.

    Raises
    ------
    AdvaudioError
        On bad parameters, pictures, split or weights, divergence, or too little memory.
    """
    training = (training or TrainingSettings()).for_model(model, pretrained != "none")
    adversarial = adversarial or AdversarialSettings()
    if defence is not None and defence not in DEFENCES:
        raise AdvaudioError(f"Parameter `defence` is {defence!r}; it must be {', '.join(DEFENCES)}, none.")
    if epochs < 1 or repeats < 1:
        raise AdvaudioError(f"Parameters `epochs` ({epochs}) and `repeats` ({repeats}) must be at least 1.")
    devices = torch_devices(device)
    facts = picture_facts(pictures)
    folds = read_split(split, classes, facts.shape[0]).folds
    if pick is not None and not (0 <= pick[0] < repeats and 0 <= pick[1] < len(folds)):
        raise AdvaudioError(
            f"There is no repeat and fold {pick} to publish: {repeats} repeats, {len(folds)} folds."
        )

    # Fails before any training where the model, its pretrained layers or the pictures do not fit.
    trial = trial_model(model, classes, facts.shape[1:])
    start = load_pretrained(trial, model, pretrained)
    del trial

    code = own_code(model)
    digest = run_digest(
        {
            "pictures": facts.digest,
            "split": file_digest(split),
            "model": model,
            "own_code": file_digest(code) if code else None,
            "classes": classes,
            "epochs": epochs,
            "defence": defence,
            "training": asdict(training),
            "adversarial": asdict(adversarial) if defence else None,
            "pretrained": _pretrained_digest(pretrained, model),
            "seed": seed,
            "pick": pick,
            "pgd_epsilons": pgd_epsilons,
            "device": devices[0].partition(":")[0],
        }
    )
    run = open_run(Path(checkpoint_folder), digest)
    tasks = [
        _Task(
            Path(pictures),
            Path(split),
            model,
            pretrained,
            run,
            digest,
            Plan(training, defence, adversarial, classes, epochs, seed, repeat, fold),
            facts.mean_and_std(folds[fold].train),
            pgd_epsilons,
        )
        for repeat in range(repeats)
        for fold in range(len(folds))
    ]
    sizes = {(task.plan.repeat, task.plan.fold): epochs * len(folds[task.plan.fold].train) for task in tasks}
    watch = Watch(sizes, progress, on_epoch, "Adversarial training" if defence else "Training")
    results: list[dict[str, Any]] = []
    leader = 0
    try:
        for position, result in enumerate(
            map_ordered(_train_task, tasks, devices=devices, on_event=watch.receive)
        ):
            results.append(result)
            watch.finish((result["repeat"], result["fold"]))
            if pick is not None:
                leader = min(position, pick[0] * len(folds) + pick[1])
            elif _rank(result) > _rank(results[leader]):
                leader = position
            for index in range(position + 1):
                if index != leader:
                    tasks[index].weights_file.unlink(missing_ok=True)
    finally:
        _samples_and_split.cache_clear()
    _publish(tasks[leader].weights_file, model_file)
    (run / FINISHED).touch()
    return _gather(results, leader, start, len(np.unique(np.concatenate([fold.test for fold in folds]))))


def _rank(result: dict[str, Any]) -> tuple[float, float]:
    return result["validation_accuracy"], -result["validation_loss"]


def _publish(weights_file: Path, model_file: Path) -> None:
    with atomic_path(model_file) as temporary:
        shutil.copyfile(weights_file, temporary)


def _gather(results: list[dict[str, Any]], leader: int, start: Pretrained, test_clips: int) -> TrainingResult:
    curves = pd.DataFrame([row for result in results for row in result["curves"]])
    curves["probe_accuracy"] = curves["probe_accuracy"].astype("Float64")
    folds = pd.DataFrame(
        [
            {key: value for key, value in result.items() if key not in ("confusion", "curves")}
            for result in results
        ]
    )
    folds["probe_accuracy"] = folds["probe_accuracy"].astype("Float64")
    folds["collapsed_epoch"] = folds["collapsed_epoch"].astype("Int64")
    picked = results[leader]
    confusion = np.array(picked["confusion"], np.int64)
    return TrainingResult(folds, curves, confusion, picked["repeat"], picked["fold"], start, test_clips)


def _pretrained_digest(pretrained: str, model: str) -> str:
    if pretrained in ("none", "imagenet"):
        return pretrained
    return file_digest(find_weights(Path(pretrained), model))


def _pgd_column(epsilon: float) -> str:
    return f"pgd_accuracy_at_{255 * epsilon:.3g}"


def _train_task(task: _Task) -> dict[str, Any]:
    if task.result_file.exists():
        finished: dict[str, Any] = read_json(task.result_file, *_RESULT_KEYS)
        for row in finished["curves"]:
            emit(Epoch(**row))
        return finished
    device = torch.device(task_device())
    try:
        with exact_training(device, task.plan.settings.deterministic):
            return _train_fold(task, device)
    except torch.OutOfMemoryError as error:
        raise AdvaudioError(
            f"The GPU ran out of memory training fold {task.plan.fold} of {task.model}: lower "
            f"`training.batch_size` (now {task.plan.settings.batch_size}), or end other programs on it. "
            "Finished epochs are kept."
        ) from error


@lru_cache(maxsize=1)
def _samples_and_split(
    pictures: Path, split: Path, classes: int, device: torch.device
) -> tuple[PictureBatches, Split]:
    """All folds of a process share the pictures on its device, until `train_folds` ends."""
    array = open_array(pictures)
    parts = read_split(split, classes, len(array))
    return PictureBatches(array, parts.labels, device), parts


def _train_fold(task: _Task, device: torch.device) -> dict[str, Any]:
    plan = task.plan
    samples, split = _samples_and_split(task.pictures, task.split, plan.classes, device)
    fold = split.folds[plan.fold]
    mean, std = task.mean_and_std
    size = (samples.pictures.shape[1], samples.pictures.shape[2])
    network = build_model(task.model, plan.classes, size, mean=mean, std=std, seed=plan.seed_of(0))
    load_pretrained(network, task.model, task.pretrained)
    checkpoint = Checkpoint(task.run / f"{task.name}.pt", task.digest)
    trained = train(network, samples, fold, plan, checkpoint, emit)

    validation = score(network, samples, fold.validation, plan.classes)
    test = score(network, samples, fold.test, plan.classes)
    under_pgd = pgd_accuracies(network, samples, fold.test, task.pgd_epsilons, PGD_STEPS)
    best = trained.epochs[trained.best_epoch - 1]
    result = {
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
        "probe_accuracy": best.probe_accuracy,
        "collapsed_epoch": trained.collapsed_epoch,
        **dict(zip(map(_pgd_column, task.pgd_epsilons), under_pgd, strict=True)),
        "confusion": test.confusion.tolist(),
        "curves": [asdict(epoch) for epoch in trained.epochs],
    }
    metadata = {
        "model": task.model,
        "classes": plan.classes,
        "defence": plan.defence,
        "repeat": plan.repeat,
        "fold": plan.fold,
        "seed": plan.seed,
    }
    save_model(network, task.weights_file, metadata)
    write_json(task.result_file, result)
    checkpoint.path.unlink(missing_ok=True)
    return result
