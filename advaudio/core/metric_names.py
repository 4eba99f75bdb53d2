"""Names of metrics that one room writes and another reads."""

PGD_ACCURACY_AT = "pgd_accuracy_at_"
"""Accuracy under PGD-20; the L∞ bound in 255ths follows, as in `pgd_accuracy_at_4`."""


def pgd_accuracy_at(epsilon: float) -> str:
    """Name of the accuracy under PGD-20 within the L∞ bound `epsilon`, on pictures in [0, 1]."""
    return f"{PGD_ACCURACY_AT}{255 * epsilon:.3g}"
