"""Training in folds, and FGSM adversarial training (protocol, section 4)."""
