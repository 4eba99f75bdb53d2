"""Adversarial training and robustness measurement for audio classifiers."""

__version__ = "0.1.0"
