"""A network with a slip in it."""

net = missing_name  # type: ignore[name-defined]  # noqa: F821
