"""Tables of a training: means where every fold is present, the confusion matrix as rows."""

import numpy as np
import pandas as pd

from advaudio.training.accuracy import accuracy_over_folds, drop_ratio
from advaudio.training.outputs import confusion_rows, mean_curves


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
