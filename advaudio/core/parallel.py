"""Ordered parallel map over worker processes, each with one numeric thread or one GPU.

Work is cut into tasks whose number and size never depend on the machine, and each task runs on one
numeric thread, so that results are bitwise the same whatever the number of cores.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from advaudio.core.determinism import one_numeric_thread
from advaudio.core.errors import AdvaudioError
from advaudio.core.progress import Progress, silent

Task = TypeVar("Task")
Result = TypeVar("Result")

LISTENER_SECONDS = 5.0
LOOK_SECONDS = 0.05

_device: str = "cpu"
_emit: Callable[[Any], None] | None = None


def device() -> str:
    """Torch name of the device that the running task should use."""
    return _device


def emit(event: Any) -> None:
    """Send a picklable `event` from inside a task to the caller's `on_event`."""
    if _emit is not None:
        _emit(event)


def worker_count() -> int:
    """Worker processes to use on the CPU: ADVAUDIO_WORKERS if set, else the cores this process may use.

    Raises
    ------
    AdvaudioError
        If ADVAUDIO_WORKERS is not a whole number above zero.
    """
    wanted = os.environ.get("ADVAUDIO_WORKERS")
    if wanted is not None:
        if not wanted.isdigit() or int(wanted) < 1:
            raise AdvaudioError(
                f"The environment variable ADVAUDIO_WORKERS is {wanted!r}; set it to a whole number above 0."
            )
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back from this thread, and for good from the processes that are started inside.

    Ctrl-C reaches the whole group of processes; the caller alone decides what then happens to the workers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(devices: Any, events: Any) -> None:
    global _device, _emit
    threading.Thread(target=_die_with_the_caller, daemon=True).start()
    _device = devices.get()
    _emit = events.put


def _die_with_the_caller() -> None:
    """End this worker when the process that started it is gone: killed, it could not end its workers."""
    caller = multiprocessing.parent_process()
    if caller is not None:
        multiprocessing.connection.wait([caller.sentinel])
        os._exit(1)


@contextmanager
def _in_this_process(task_device: str, on_event: Callable[[Any], None] | None) -> Iterator[None]:
    global _device, _emit
    before = _device, _emit
    _device, _emit = task_device, on_event
    try:
        yield
    finally:
        _device, _emit = before


def map_ordered(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    workers: int | None = None,
    devices: Sequence[str] = ("cpu",),
    progress: Progress = silent,
    description: str = "",
    on_event: Callable[[Any], None] | None = None,
) -> Iterator[Result]:
    """Yield `function(task)` for every task, in the order of the tasks.

    Parameters
    ----------
    function
        A picklable function of one task (a module's top-level function, or a `functools.partial` of one).
    tasks
        Picklable tasks. At most four per worker are in flight or waiting to be taken, which bounds memory.
    workers
        Processes; by default one per core for the CPU, one per device otherwise. With one worker or one
        task everything runs in the calling process.
    devices
        Torch device names, assigned to the workers in turn; a task asks with `device()`.
    progress
        Called after every finished task with (tasks done, tasks, `description`).
    on_event
        Called in this process with whatever a task gives to `emit`.

    Raises
    ------
    AdvaudioError
        If a worker process dies (most often: out of memory).
    Exception
        Whatever `function` or `on_event` raises.
    """
    tasks = list(tasks)
    if workers is None:
        workers = worker_count() if tuple(devices) == ("cpu",) else len(devices)
    workers = max(1, min(workers, len(tasks)))
    if workers == 1:
        with _in_this_process(devices[0], on_event):
            for done, task in enumerate(tasks, start=1):
                result = function(task)
                progress(done, len(tasks), description)
                yield result
        return

    context = multiprocessing.get_context("spawn")
    names = context.SimpleQueue()
    events = context.SimpleQueue()
    ended, failures = threading.Event(), list[BaseException]()
    for index in range(workers):
        names.put(devices[index % len(devices)])
    listener = threading.Thread(target=_listen, args=(events, on_event, ended, failures), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(names, events)
    )
    try:
        with one_numeric_thread():
            yield from _run(pool, function, tasks, workers, progress, description, failures)
        ended.set()
        listener.join()
        if failures:
            raise failures[0]
    except BrokenProcessPool as error:
        raise AdvaudioError(
            f"A worker process died ({description or 'parallel work'}); most often the machine ran out of "
            "memory. Close other programs, or set the environment variable ADVAUDIO_WORKERS to a smaller "
            "number of processes, and run the same command again."
        ) from error
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)
        ended.set()
        # A worker that was killed while it told something has left half of it, which is waited for in vain.
        listener.join(timeout=LISTENER_SECONDS)


def _run(
    pool: ProcessPoolExecutor,
    function: Callable[[Task], Result],
    tasks: list[Task],
    workers: int,
    progress: Progress,
    description: str,
    failures: Sequence[BaseException],
) -> Iterator[Result]:
    running: dict[int, Future[Result]] = {}
    submitted = finished = 0
    for wanted in range(len(tasks)):
        while True:
            while submitted < len(tasks) and submitted < wanted + 4 * workers:
                with _interrupts_held():  # it starts the workers
                    running[submitted] = pool.submit(function, tasks[submitted])
                submitted += 1
            if running[wanted].done():
                break
            pending = [future for future in running.values() if not future.done()]
            wait(pending, timeout=LISTENER_SECONDS, return_when=FIRST_COMPLETED)
            if failures:
                raise failures[0]
            done = wanted + sum(future.done() for future in running.values())
            if done > finished:
                finished = done
                progress(finished, len(tasks), description)
        result = running.pop(wanted).result()
        if wanted + 1 > finished:
            finished = wanted + 1
            progress(finished, len(tasks), description)
        yield result


def _listen(
    events: Any,
    on_event: Callable[[Any], None] | None,
    ended: threading.Event,
    failures: list[BaseException],
) -> None:
    """Hand on what the tasks tell; after an error go on taking it, or the workers would wait for ever."""
    while True:
        if events.empty():
            if ended.is_set():
                return
            ended.wait(LOOK_SECONDS)
            continue
        event = events.get()
        if on_event is not None and not failures:
            try:
                on_event(event)
            except BaseException as error:
                failures.append(error)
