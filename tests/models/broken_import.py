"""A network whose own import is missing."""

import no_such_library  # type: ignore[import-not-found]

net = no_such_library.net
