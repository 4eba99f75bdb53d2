"""Training in folds: the same bits however it runs, stops and resumes, and what users see when it cannot."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from advaudio.core.errors import AdvaudioError
from advaudio.core.settings import TrainingSettings
from advaudio.models.model_file import load_model, read_metadata
from advaudio.training import fold_task
from advaudio.training.checkpoints import FINISHED, open_run, remove_finished
from advaudio.training.folds import train_folds
from advaudio.training.job import TrainingJob
from advaudio.training.loop import Epoch
from advaudio.training.pictures import PictureBatches
from advaudio.training.result import TrainingResult

TINY = "tests.training.networks:Tiny"
SETTINGS = TrainingSettings(batch_size=16, learning_rate=0.01)


def run(
    folder: Path, name: str = "model", *, device: str = "cpu", on_epoch: Any = None, **options: Any
) -> TrainingResult:
    """Train on the fixture `data`; checkpoints and the model are named after `name`."""
    chosen: dict[str, Any] = {"model": TINY, "classes": 3, "epochs": 3, "training": SETTINGS, **options}
    job = TrainingJob(pictures=folder / "pictures.npy", split=folder / "split.csv", **chosen)
    return train_folds(
        job,
        folder / f"{name}.safetensors",
        checkpoint_folder=folder / f"{name}-checkpoints",
        device=device,
        on_epoch=on_epoch,
    )


def same(one: TrainingResult, other: TrainingResult) -> None:
    pd.testing.assert_frame_equal(one.folds, other.folds, check_exact=True)
    pd.testing.assert_frame_equal(one.curves, other.curves, check_exact=True)
    np.testing.assert_array_equal(one.confusion, other.confusion)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "1")


def test_training_learns_and_reports_what_the_published_model_does(data: Path) -> None:
    epochs: list[Epoch] = []
    result = run(data, epochs=6, on_epoch=epochs.append)
    assert result.folds["test_accuracy"].mean() > 0.9
    assert list(result.folds["fold"]) == [0, 1, 2]
    assert len(result.curves) == len(epochs) == 18
    best = result.folds["validation_accuracy"].max()
    picked = result.folds.iloc[result.picked_fold]
    assert picked["validation_accuracy"] == best

    split = pd.read_csv(data / "split.csv")
    test = split[split[f"fold_{result.picked_fold}"] == "test"]
    pictures = torch.from_numpy(np.load(data / "pictures.npy")[test["sample"]])[:, None]
    predicted = load_model(data / "model.safetensors")(pictures).argmax(1).numpy()
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (test["label"].to_numpy(), predicted), 1)
    np.testing.assert_array_equal(result.confusion, expected)
    assert picked["test_accuracy"] == pytest.approx((predicted == test["label"]).mean())
    per_class = [(predicted == test["label"])[test["label"] == label].mean() for label in range(3)]
    assert picked["test_balanced_accuracy"] == pytest.approx(np.mean(per_class))
    assert read_metadata(data / "model.safetensors")["fold"] == result.picked_fold


def test_the_folds_of_a_process_share_the_pictures(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[PictureBatches] = []

    def counted(*arguments: Any) -> PictureBatches:
        made.append(PictureBatches(*arguments))
        return made[-1]

    monkeypatch.setattr(fold_task, "PictureBatches", counted)
    run(data, epochs=1)
    assert len(made) == 1
    pictures = np.load(data / "pictures.npy")
    np.save(data / "pictures.npy", 1 - pictures)
    run(data, epochs=1)
    assert len(made) == 2  # the next training looks at its own pictures, though the path is the same
    np.testing.assert_array_equal(made[1].array, 1 - pictures)


@pytest.mark.parametrize("defence", [None, "fgsm", "fgsm_rs", "pgd"])
def test_worker_processes_and_threads_do_not_change_a_bit(
    defence: str | None, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = run(data, "alone", defence=defence)
    monkeypatch.setenv("ADVAUDIO_WORKERS", "2" if defence == "fgsm" else "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        together = run(data, "together", defence=defence)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    same(alone, together)
    assert (data / "alone.safetensors").read_bytes() == (data / "together.safetensors").read_bytes()


def test_clean_and_adversarial_training_start_alike_and_end_apart(data: Path) -> None:
    results = {defence: run(data, str(defence), defence=defence) for defence in (None, "fgsm", "fgsm_rs")}
    assert results[None].curves["probe_accuracy"].isna().all()
    assert results["fgsm"].curves["probe_accuracy"].notna().all()
    files = {defence: (data / f"{defence}.safetensors").read_bytes() for defence in results}
    assert len(set(files.values())) == 3


def test_seed_and_repeats(data: Path) -> None:
    twice = run(data, "twice", repeats=2)
    once = run(data, "once")
    other = run(data, "other", seed=1)
    first = twice.folds[twice.folds["repeat"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, once.folds, check_exact=True)
    assert not np.allclose(other.folds["validation_loss"], once.folds["validation_loss"])
    second = twice.folds[twice.folds["repeat"] == 1]
    assert not np.allclose(second["validation_loss"], once.folds["validation_loss"])
    summary = twice.summary()
    means = [first["test_accuracy"].mean(), second["test_accuracy"].mean()]
    assert summary["test_accuracy"] == pytest.approx(np.mean(means))
    assert summary["test_accuracy_repeat_spread"] == pytest.approx(np.std(means, ddof=1))


def test_accuracy_under_pgd_is_reported_for_every_fold(data: Path) -> None:
    result = run(data, epochs=6, pgd_epsilons=(0.1 / 255, 64 / 255))
    weak, strong = result.folds["pgd_accuracy_at_0.1"], result.folds["pgd_accuracy_at_64"]
    np.testing.assert_allclose(weak, result.folds["test_accuracy"], atol=0.05)
    assert strong.max() < 0.2


def test_a_fold_can_be_named_to_be_published(data: Path) -> None:
    result = run(data, pick=(0, 2))
    assert (result.picked_repeat, result.picked_fold) == (0, 2)
    assert read_metadata(data / "model.safetensors")["fold"] == 2
    with pytest.raises(AdvaudioError, match="no repeat and fold"):
        run(data, pick=(0, 3))


class Killed(Exception):
    """Stands for the end of the process."""


def test_every_epoch_is_a_place_to_go_on_from(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advaudio.training.checkpoints.Checkpoint.OVERHEAD", 1e9)
    whole = run(data, "whole", defence="fgsm")
    for stop in range(1, 9):
        seen: list[Epoch] = []

        def interrupt(epoch: Epoch, stop: int = stop, seen: list[Epoch] = seen) -> None:
            seen.append(epoch)
            if len(seen) == stop:
                raise Killed

        with pytest.raises(Killed):
            run(data, f"cut{stop}", defence="fgsm", on_epoch=interrupt)
        again: list[Epoch] = []
        same(whole, run(data, f"cut{stop}", defence="fgsm", on_epoch=again.append))
        assert (data / f"cut{stop}.safetensors").read_bytes() == (data / "whole.safetensors").read_bytes()
        assert [(row.fold, row.epoch) for row in again] == [
            (fold, epoch) for fold in range(3) for epoch in (1, 2, 3)
        ]


def _train_in_a_process(folder: Path, name: str, epochs: int) -> None:
    torch.set_num_threads(1)
    run(folder, name, epochs=epochs, defence="fgsm")


def test_killed_ten_times_it_ends_in_the_same_bits(data: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    # Optimisers import dynamo, which takes seconds.
    context.set_forkserver_preload(["torch._dynamo", "safetensors.torch", "tests.training.test_folds"])

    def start(name: str) -> Any:
        process = context.Process(target=_train_in_a_process, args=(data, name, 20))
        process.start()
        return process

    warm = start("warm")
    warm.join()
    started = time.monotonic()
    whole = start("whole")
    whole.join()
    duration = time.monotonic() - started
    assert whole.exitcode == 0

    generator = np.random.default_rng(0)
    kills = 0
    while kills < 10:
        process = start("cut")
        process.join(generator.uniform(0.02, 0.15) * duration)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        kills += 1
    last = start("cut")
    last.join()
    assert last.exitcode == 0
    assert kills >= 5
    assert (data / "cut.safetensors").read_bytes() == (data / "whole.safetensors").read_bytes()
    assert not list(data.glob(".*.partial"))


def test_a_finished_run_is_not_trained_again_and_gives_way_to_the_next(data: Path) -> None:
    first = run(data)
    model = (data / "model.safetensors").read_bytes()
    (data / "model.safetensors").unlink()
    started = time.monotonic()
    same(first, run(data))
    assert time.monotonic() - started < 5
    assert (data / "model.safetensors").read_bytes() == model
    assert len(list((data / "model-checkpoints").iterdir())) == 1
    run(data, seed=5)
    assert len(list((data / "model-checkpoints").iterdir())) == 1


def test_a_checkpoint_of_another_run_is_refused(data: Path) -> None:
    def interrupt(epoch: Epoch) -> None:
        raise Killed

    for name, seed in (("one", 0), ("two", 1)):
        with pytest.raises(Killed):
            run(data, name, seed=seed, on_epoch=lambda epoch: interrupt(epoch) if epoch.epoch == 2 else None)
    (source,) = (data / "one-checkpoints").glob("*/repeat0-fold0.pt")
    (target,) = (data / "two-checkpoints").glob("*/repeat0-fold0.pt")
    target.write_bytes(source.read_bytes())
    with pytest.raises(AdvaudioError, match="belongs to other parameters, data or code"):
        run(data, "two", seed=1)
    target.write_bytes(source.read_bytes()[:200])
    with pytest.raises(AdvaudioError, match="cannot be read"):
        run(data, "two", seed=1)


def test_early_stopping_keeps_the_best_epoch(data: Path) -> None:
    result = run(data, epochs=30, training=TrainingSettings(batch_size=16, learning_rate=0.01, patience=2))
    for _, row in result.folds.iterrows():
        curve = result.curves[result.curves["fold"] == row["fold"]]
        ranked = curve.sort_values(["validation_accuracy", "validation_loss"], ascending=[False, True])
        assert row["best_epoch"] == ranked["epoch"].iloc[0]
        assert row["validation_accuracy"] == curve["validation_accuracy"].max()
        assert row["epochs"] == min(30, row["best_epoch"] + 2)
    assert result.folds["epochs"].max() < 30


def relabel(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[table["label"] == 2, ["fold_0", "fold_1", "fold_2"]] = "test"
    return table


def one_clip(table: pd.DataFrame) -> pd.DataFrame:
    clips = table[table["label"] == 2].index
    table = table.drop(clips[1:])
    table.loc[clips[0], ["fold_0", "fold_1", "fold_2"]] = ["train", "validation", "train"]
    return table


def no_validation(table: pd.DataFrame) -> pd.DataFrame:
    table["fold_1"] = table["fold_1"].replace("validation", "train")
    return table


def wrong_rows(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[0, "sample"] = 90
    return table


def wrong_label(table: pd.DataFrame) -> pd.DataFrame:
    table.loc[0, "label"] = 3
    return table


def wrong_part(table: pd.DataFrame) -> pd.DataFrame:
    table["fold_2"] = table["fold_2"].replace("test", "holdout")
    return table


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (relabel, r"nothing to train the classes with labels \[2\] on in fold_0"),
        (one_clip, r"nothing to train the classes with labels \[2\] on in fold_1.*too few clips"),
        (no_validation, "no validation samples in fold_1"),
        (wrong_rows, "does not fit the pictures"),
        (wrong_label, "labels from 0 to 3, but 3 classes"),
        (wrong_part, "the part 'holdout' in fold_2"),
        (lambda table: table.drop(columns="label"), "lacks the columns label"),
    ],
)
def test_a_wrong_split_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], message: str, data: Path
) -> None:
    change(pd.read_csv(data / "split.csv")).to_csv(data / "split.csv", index=False)
    with pytest.raises(AdvaudioError, match=message):
        run(data)
    assert not (data / "model.safetensors").exists()


def test_wrong_pictures_are_refused(data: Path) -> None:
    pictures = np.load(data / "pictures.npy")
    pictures[70, 3, 3] = np.nan
    np.save(data / "pictures.npy", pictures)
    with pytest.raises(AdvaudioError, match="picture 70 has others or NaN"):
        run(data)
    np.save(data / "pictures.npy", np.zeros((90, 16, 16), np.float32))
    with pytest.raises(AdvaudioError, match="all one grey"):
        run(data)
    np.save(data / "pictures.npy", pictures.astype(np.float64))
    with pytest.raises(AdvaudioError, match="must hold float32 pictures"):
        run(data)
    (data / "pictures.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(AdvaudioError, match="Could not read the array"):
        run(data)


def test_divergence_names_the_learning_rate(data: Path) -> None:
    with pytest.raises(AdvaudioError, match=r"loss is nan in epoch 1 of fold 0.*learning_rate"):
        run(data, model="tests.training.networks:Exploding")
    assert not (data / "model.safetensors").exists()


def test_gpu_memory_running_out_names_the_batch_size(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("advaudio.training.fold_task.train", train)
    with pytest.raises(
        AdvaudioError, match=r"out of memory training fold 0.*`training.batch_size` \(now 16\)"
    ):
        run(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "parameter device is 'gpu'; it must be auto, cpu or cuda"),
        ({"defence": "fast"}, "`defence` is 'fast'"),
        ({"epochs": 0}, "at least 1"),
        ({"pretrained": "missing.pt"}, "no file or folder missing.pt"),
        ({"model": "resnet57"}, "no model 'resnet57'"),
        ({"model": "resnet56", "training": TrainingSettings(optimiser="sgd")}, "training.learning_rate"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str, data: Path) -> None:
    with pytest.raises(AdvaudioError, match=message):
        run(data, **options)


def test_finished_runs_are_removed_and_unfinished_ones_stay(tmp_path: Path) -> None:
    finished, unfinished = open_run(tmp_path, "a" * 64), open_run(tmp_path, "b" * 64)
    (finished / FINISHED).touch()
    remove_finished(tmp_path)
    assert list(tmp_path.iterdir()) == [unfinished]
