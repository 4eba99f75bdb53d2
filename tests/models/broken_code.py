"""A network with a slip in it."""

net = missing_name  # noqa: F821
