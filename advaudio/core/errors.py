"""The one error type that users see, and what to say of a fault of the machine."""

NO_MEMORY = (
    "allocate memory",
    "can't start new thread",  # no memory for its stack
    "failed to map segment",  # the dynamic linker, when a library is loaded late
)


class AdvaudioError(Exception):
    """Something the user can fix: bad input, a bad parameter, a missing file, a full disk.

    The message is one paragraph that names the file or the parameter, says what was wrong,
    and says what to do. Stages print it without a traceback and exit with status 1.
    """


def machine_fault(error: BaseException) -> str | None:
    """One paragraph on an error that no input caused: memory ran out, or a GPU failed; None for any other."""
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "The GPU ran out of memory. End other programs on it, or set device: cpu; the same command goes on "
            "from the work that is finished."
        )
    # PyTorch has one type for a lost GPU from 2.8 on, and a plain RuntimeError before.
    if type(error).__name__ == "AcceleratorError" or text.startswith(("CUDA error", "cuDNN error")):
        return (
            f"The GPU failed ({text.splitlines()[0] if text else 'no reason given'}). Check `nvidia-smi`, and run "
            "the same command again: it goes on from the work that is finished. With device: cpu it needs no GPU."
        )
    if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        return (
            f"The machine ran out of memory ({text.splitlines()[0] if text else 'no size given'}). Close other "
            "programs, or set the environment variable ADVAUDIO_WORKERS to a smaller number of processes, and "
            "run the same command again."
        )
    return None
