"""What the stages hand on about clips: the store of samples, the split, class names, the layout of pictures."""
