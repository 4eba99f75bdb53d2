"""The six classifiers of the paper, their pretrained weights and standardisation (protocol, section 3)."""
