"""Reading the results of one cell."""
