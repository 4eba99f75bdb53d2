"""Many cells of the grid, each a DVC experiment, over several GPUs or machines."""
