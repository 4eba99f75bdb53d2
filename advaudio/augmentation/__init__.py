"""Augmentation in the time domain (protocol, section 1)."""
