"""The paper's tables over many cells."""
