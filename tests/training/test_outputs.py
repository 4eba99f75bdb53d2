"""Tables and metrics of a training, and the jobs that params.yaml describes."""

from pathlib import Path

import numpy as np
import pandas as pd

from advaudio.core.files import read_json, write_json
from advaudio.core.metrics_file import all_metrics
from advaudio.core.params import read_params
from advaudio.core.settings import TrainingSettings
from advaudio.training.accuracy import accuracy_over_folds, drop_ratio
from advaudio.training.job import TrainingJob, original_job, robust_job
from advaudio.training.outputs import TrainingFiles, confusion_rows, mean_curves, train_and_write

ROOT = Path(__file__).resolve().parents[2]


def test_mean_curves_stop_where_the_first_fold_stops() -> None:
    epochs = pd.DataFrame(
        {
            "repeat": [0] * 5,
            "fold": [0, 0, 0, 1, 1],
            "epoch": [1, 2, 3, 1, 2],
            "validation_accuracy": [0.1, 0.3, 0.9, 0.3, 0.5],
            "probe_accuracy": [None] * 5,
        }
    )
    means = mean_curves(epochs)
    assert means.columns.tolist() == ["epoch", "validation_accuracy"]
    assert means["epoch"].tolist() == [1, 2]
    np.testing.assert_allclose(means["validation_accuracy"], [0.2, 0.4])


def test_confusion_rows_count_back_to_the_matrix() -> None:
    matrix = np.array([[2, 1, 0], [0, 0, 0], [1, 0, 3]])
    rows = confusion_rows(matrix, ["a", "b", "c"])
    counted = pd.crosstab(rows["actual"], rows["predicted"]).reindex(index=list("abc"), columns=list("abc"))
    np.testing.assert_array_equal(counted.fillna(0).to_numpy(), matrix)


def test_accuracy_and_drop() -> None:
    folds = pd.DataFrame({"test_accuracy": [0.5, 0.7, 0.9]})
    metrics = accuracy_over_folds(folds)
    np.testing.assert_allclose(metrics["accuracy"], 0.7)
    np.testing.assert_allclose(metrics["accuracy_std"], np.sqrt(0.08 / 3))
    assert metrics["accuracy_best"] == 0.9
    np.testing.assert_allclose(drop_ratio(0.8, 0.6), 25.0)
    assert drop_ratio(0.0, 0.0) == 0.0


def test_both_jobs_differ_in_the_defence_and_the_published_fold(tmp_path: Path) -> None:
    params = read_params(ROOT / "params.yaml")
    data = (Path("pictures.npy"), Path("split.csv"), 10)
    original = original_job(params, *data)
    assert (original.defence, original.pick) == (None, None)
    assert (original.epochs, original.model, original.seed) == (5, "resnet56", 0)
    summary = tmp_path / "summary.json"
    write_json(summary, {"picked": {"repeat": 0, "fold": 3}})
    robust = robust_job(params, *data, summary)
    assert (robust.defence, robust.pick) == ("fgsm", (0, 3))
    assert robust.adversarial == params.adversarial_training
    without = robust_job(params.model_copy(update={"defence": "none"}), *data, summary)
    assert without.defence is None


def test_the_metrics_of_the_robust_model_are_held_against_the_original(data: Path) -> None:
    written = {}
    for name, defence in (("train", None), ("train_fgsm", "fgsm")):
        job = TrainingJob(
            pictures=data / "pictures.npy",
            split=data / "split.csv",
            model="tests.training.networks:Tiny",
            classes=3,
            epochs=2,
            defence=defence,
            training=TrainingSettings(batch_size=16, learning_rate=0.01),
        )
        files = TrainingFiles(
            data / f"{name}.safetensors", data / name, data / f"{name}.json", data / f".{name}"
        )
        original = data / "train" / "summary.json" if defence else None
        result = train_and_write(job, files, ["a", "b", "c"], device="cpu", original=original)
        written[name] = all_metrics(read_json(files.metrics))
        assert files.model.exists()
        assert len(pd.read_csv(files.tables / "epochs.csv")) == len(result.curves) == 6
        assert not list(files.checkpoints.iterdir())
    clean, robust = written["train"], written["train_fgsm"]
    assert "drop_ratio" not in clean
    np.testing.assert_allclose(robust["drop_ratio"], 100 * (1 - robust["accuracy"] / clean["accuracy"]))
    assert robust["collapsed_folds"] == 0
    assert clean["test_clips"] == robust["test_clips"]
