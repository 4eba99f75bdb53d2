"""Accuracy over the folds, and what adversarial training costs of it (Table I)."""

from __future__ import annotations

import pandas as pd

from advaudio.core.metric_names import PGD_ACCURACY_AT


def accuracy_over_folds(folds: pd.DataFrame) -> dict[str, float]:
    """Mean, spread and best of the test accuracies in `folds` (column `test_accuracy`, shares).

    The spread is the standard deviation over the folds that were trained (population form, so that one
    fold gives 0). The means of the columns `pgd_accuracy_at_…` follow under their names.
    """
    accuracy = folds["test_accuracy"]
    under_attack = [name for name in folds.columns if name.startswith(PGD_ACCURACY_AT)]
    return {
        "accuracy": float(accuracy.mean()),
        "accuracy_std": float(accuracy.std(ddof=0)),
        "accuracy_best": float(accuracy.max()),
        **{name: float(folds[name].mean()) for name in under_attack},
    }


def drop_ratio(clean_accuracy: float, robust_accuracy: float) -> float:
    """(clean − robust) / clean, in per cent (protocol, section 6); 0 if the clean model is never right."""
    if clean_accuracy == 0:
        return 0.0
    return 100 * (clean_accuracy - robust_accuracy) / clean_accuracy
