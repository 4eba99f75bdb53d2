"""A network whose own import is missing."""

import no_such_library

net = no_such_library.net
