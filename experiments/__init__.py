"""What knows DVC, Git and dask: sweeps over cells, tables and comparisons of experiments."""
