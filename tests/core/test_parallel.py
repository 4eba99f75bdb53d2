"""Order, errors and lost workers of the parallel map."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.interrupts import INTERRUPTED
from advaudio.core.parallel import device, emit, map_ordered, worker_count


def slow_first(number: int) -> int:
    """Finish out of order: the first task takes longest."""
    time.sleep(0.3 if number == 0 else 0.0)
    emit(("seen", number))
    return number * number


def die(number: int) -> int:
    """Kill the worker as the kernel does when memory runs out."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(number: int) -> int:
    """Raise on one task."""
    if number == 2:
        raise AdvaudioError("task two is bad")
    return number


def numeric_threads(_: int) -> tuple[str | None, str]:
    """What a worker knows of its threads and device."""
    return os.environ.get("OMP_NUM_THREADS"), device()


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_task_order_with_every_event(workers: int) -> None:
    events: list[tuple[str, int]] = []
    counts: list[int] = []
    results = list(
        map_ordered(
            slow_first,
            range(9),
            workers=workers,
            on_event=events.append,
            progress=lambda done, total, text: counts.append(done),
        )
    )
    assert results == [number * number for number in range(9)]
    assert sorted(events) == [("seen", number) for number in range(9)]
    assert counts == sorted(counts)
    assert counts[-1] == 9


def test_killed_worker_is_reported_not_waited_for() -> None:
    with pytest.raises(AdvaudioError, match="ran out of memory"):
        list(map_ordered(die, range(6), workers=2, description="squaring"))


def test_error_of_a_task_reaches_the_caller() -> None:
    with pytest.raises(AdvaudioError, match="task two is bad"):
        list(map_ordered(fail, range(6), workers=2))


def test_workers_get_one_thread_each_and_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen = set(map_ordered(numeric_threads, range(4), workers=2, devices=("cuda:0", "cuda:1")))
    assert {threads for threads, _ in seen} == {"1"}
    assert {name for _, name in seen} <= {"cuda:0", "cuda:1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_number_of_workers_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVAUDIO_WORKERS", "3")
    assert worker_count() == 3
    monkeypatch.setenv("ADVAUDIO_WORKERS", "many")
    with pytest.raises(AdvaudioError, match="ADVAUDIO_WORKERS is 'many'"):
        worker_count()


def talk(number: int) -> int:
    """Tell more than a pipe holds."""
    for _ in range(3000):
        emit("x" * 100)
    return number


def test_an_error_where_events_are_taken_ends_the_map() -> None:
    def refuse(event: str) -> None:
        raise AdvaudioError("the disk is full")

    with pytest.raises(AdvaudioError, match="the disk is full"):
        list(map_ordered(talk, range(4), workers=2, on_event=refuse))


STARTING = """
import os
import time
import stages
from advaudio.core.parallel import map_ordered

def same(number):
    return number

if __name__ == "__main__":
    list(map_ordered(same, range(4), workers=2))
else:
    os.write(1, b"worker\\n")  # in one piece, whatever the other worker writes
    time.sleep(2)
"""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_group_while_workers_start_is_told_once(tmp_path: Path, kind: signal.Signals) -> None:
    script = tmp_path / "starting.py"
    script.write_text(STARTING, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline() == "worker\n"
    os.killpg(process.pid, kind)
    said = process.communicate(timeout=30)[1]
    assert said == f"{INTERRUPTED}\n"
    assert process.returncode in (130, -signal.SIGINT)
