"""Sources of clips, the clip store, and the split into folds (protocol, section 1)."""
