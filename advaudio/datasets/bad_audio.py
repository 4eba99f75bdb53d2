"""The error of a file that cannot be a clip."""


class BadAudio(Exception):
    """Why a file cannot be a clip; the message is a phrase such as "it is silent"."""
