"""The one error type that users see."""


class AdvaudioError(Exception):
    """Something the user can mend: bad input, a bad parameter, a missing file, a full disk.

    The message is one paragraph that names the file or the parameter, says what was wrong,
    and says what to do. Stages print it without a traceback and exit with status 1.
    """
