"""No fault loses work: a clear message, no half-written output, and a rerun ends in the undisturbed bits.

Every test is a chain of faults on one stage, then one run to the end. The short form runs with the pipeline
tests; `make test-faults` runs every stage, with more faults each.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from tests.faults.arena import Arena, Ended, Stage
from tests.faults.damage import DAMAGES, MARKER, spoil
from tests.pipeline.tiny import STAGE_NAMES

SIGNALS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "terminate": signal.SIGTERM}
INTERRUPTED = 130
# Of the attacks two: what can fail in them is the same code.
HARMED = [
    name for name in STAGE_NAMES if name not in ("attack@bim_a", "attack@bim_b", "attack@jsma", "attack@cwa")
]
TRAINED = ["train", "attack@deepfool"]
FOLDERS = {
    "stft": "data/stft",
    "dwt": "data/dwt",
    "append": "data/pictures",
    "attack@deepfool": "outputs/attacks",
}
ONE_MESSAGE = "Error: "
OPENBLAS_ENDS = "OpenBLAS error: Memory allocation still failed after 10 retries, giving up."
"""Said by the library as it ends the process at once: as after SIGKILL, the next run clears up."""


def forms(short: list[str], full: list[str], faults_short: int, faults_full: int) -> Any:
    """Parameters `name` and `faults`: a few with the pipeline tests, all of them in the full suite."""
    few = [pytest.param(name, faults_short, marks=pytest.mark.pipeline) for name in short]
    many = [pytest.param(name, faults_full, marks=pytest.mark.faults, id=f"{name}-full") for name in full]
    return pytest.mark.parametrize(("name", "faults"), few + many)


def check_message(ended: Ended) -> None:
    """It failed, and said why in one paragraph."""
    assert ended.status == 1, ended.said
    assert "Traceback" not in ended.said, ended.said
    assert ended.said.count(ONE_MESSAGE) == 1, ended.said
    message = ended.said.split(ONE_MESSAGE)[1].strip()
    assert len(message) > 20
    assert "\n\n" not in message


def end_well(arena: Arena, stage: Stage, **how: Any) -> None:
    """A rerun ends in the hashes of the undisturbed run."""
    ended = arena.run(stage, **how)
    assert ended.status == 0, ended.said
    arena.check_same(stage)
    arena.count()


def children(pid: int) -> list[int]:
    """Process numbers of the direct children (Linux)."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@forms(["attack@deepfool"], HARMED, 2, 6)
def test_signals_at_random_moments(arena: Arena, name: str, faults: int) -> None:
    stage, generator = arena.stages[name], random.Random(f"signals {name} {faults}")
    arena.forget(stage)
    begun, lasts, done = arena.folder.parent / "begun", 8.0, 0
    while done < faults:
        kind = generator.choice(list(SIGNALS))
        begun.unlink(missing_ok=True)
        left_by_kill = arena.leftovers()
        process = arena.start(stage, workers=generator.choice([1, 2]), fault=f"tell:{begun}")
        # Before, there is no stage yet that could say or lose anything.
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        started = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            process.wait(generator.uniform(0.0, lasts))
        late = process.poll() is not None
        if late:
            lasts = time.monotonic() - started
        else:
            # Ctrl-C and a batch system's kill reach the whole group, `kill -9` of a stage the stage alone.
            signalled = os.kill if kind == "kill" else os.killpg
            signalled(process.pid, SIGNALS[kind])
        ended = arena.finish(process)
        if ended.status == 0:
            assert "Traceback" not in ended.said, ended.said
            arena.check_same(stage)
            arena.forget(stage)
            continue
        assert not late, ended.said
        done += 1
        arena.note(stage, kind)
        arena.check_whole(stage)
        if kind == "kill":
            assert ended.status == -signal.SIGKILL
        elif ended.status == -SIGNALS[kind] and "Interrupted." not in ended.said:
            assert "Traceback" not in ended.said, ended.said
            arena.check_same(stage)  # the work was done, and Python about to end
        else:
            assert ended.status in (INTERRUPTED, -signal.SIGINT), ended.said
            assert "Interrupted." in ended.said, ended
            assert "Traceback" not in ended.said, ended.said
            # What a killed run left may still lie there: this one can have ended before it came to it.
            assert arena.leftovers() <= left_by_kill
    end_well(arena, stage, workers=2)


@forms(["append"], [name for name in HARMED if name != "download"], 3, 5)
def test_spoilt_inputs_are_refused(arena: Arena, name: str, faults: int) -> None:
    stage, generator = arena.stages[name], random.Random(f"inputs {name}")
    arena.forget(stage)
    for _ in range(faults):
        path = arena.folder / generator.choice(_read_inputs(arena, stage))
        kind = generator.choice(list(DAMAGES))
        content = spoil(path, kind, generator)
        ended = arena.run(stage)
        path.write_bytes(content)
        assert ended.status != 0, f"{path.name} ({kind}) was taken: {ended.said}"
        check_message(ended)
        assert path.name in ended.said or path.parent.name in ended.said, ended.said
        assert not (arena.folder / MARKER).exists()
        assert arena.found(stage) == {}
        arena.check_no_leftovers()
        arena.note(stage, f"input: {kind}")
    end_well(arena, stage)


def _read_inputs(arena: Arena, stage: Stage) -> list[str]:
    """Inputs that the stage reads: not the representation that is not selected, nor other files of a folder."""
    unread = {
        "append": ("data/stft/*",),
        "rho": ("*/examples/*",),
        # Sound is made of STFT pictures alone, and of the tables only what the details do not hold.
        "report": (
            "data/augmented/*",
            "outputs/attacks/*/clips.csv",
            "*/fooling_curves/*",
            "*/strongest_bounds/*",
        ),
    }.get(stage.name, ())
    return [name for name in stage.inputs if not any(fnmatch(name, pattern) for pattern in unread)]


@forms(["stft"], HARMED, 2, 3)
def test_writing_that_fails(arena: Arena, name: str, faults: int) -> None:
    """The largest file that may be written is limited, which fails as a full disk does, anywhere on the way."""
    stage, generator = arena.stages[name], random.Random(f"limit {name}")
    written = [path for path in arena.digests if any(path.startswith(output) for output in stage.outputs)]
    largest = max((arena.folder / path).stat().st_size for path in written)
    arena.forget(stage)
    for _ in range(faults):
        limit = generator.randrange(largest)
        ended = arena.run(stage, before=lambda size=limit: _limit_files(size))
        check_message(ended)
        assert "Could not write" in ended.said or "File too large" in ended.said, ended.said
        arena.check_whole(stage)
        arena.check_no_leftovers()
        arena.note(stage, "writing fails")
    arena.forget(stage)
    folder = (arena.folder / stage.outputs[0]).parent
    folder.mkdir(exist_ok=True, parents=True)
    folder.chmod(0o555)
    try:
        ended = arena.run(stage, before=_obey_permissions)
    finally:
        folder.chmod(0o755)
    check_message(ended)
    assert "Permission denied" in ended.said
    arena.check_no_leftovers()
    arena.note(stage, "read-only folder")
    end_well(arena, stage)


def _limit_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _may_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, check=False).returncode == 0


@forms([], list(FOLDERS), 2, 2)
def test_full_disk(arena: Arena, name: str, faults: int) -> None:
    """A file system of a few kilobytes is mounted where the stage writes."""
    if not _may_mount():
        pytest.skip("this machine lets no user mount a file system")
    stage, generator = arena.stages[name], random.Random(f"disk {name}")
    arena.forget(stage)
    folder = arena.folder / FOLDERS[name]
    folder.mkdir(exist_ok=True, parents=True)
    for _ in range(faults):
        pages = generator.randrange(2, 6)
        script = f'mount -t tmpfs -o size={4 * pages}k full {FOLDERS[name]} && exec "$@"'
        wrapper = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")
        ended = arena.run(stage, wrapper=wrapper)
        check_message(ended)
        assert "No space left on device" in ended.said
        arena.check_whole(stage)
        arena.check_no_leftovers()
        arena.note(stage, "full disk")
    end_well(arena, stage)


def _obey_permissions() -> None:
    """Drop root's right to write everywhere (CAP_DAC_OVERRIDE), where this is Linux and root."""
    if sys.platform == "linux" and os.geteuid() == 0:
        drop_from_bounding_set, dac_override = 24, 1
        ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0)


@forms([], ["download", "stft", "split", "train", "attack@pia", "report"], 1, 1)
def test_clock_that_jumps(arena: Arena, name: str, faults: int) -> None:
    stage = arena.stages[name]
    for seed in range(faults):
        arena.forget(stage)
        arena.note(stage, "clock jumps")
        end_well(arena, stage, fault=f"clock:{seed}")


@forms([], ["augment", "dwt", "tonnetz", "train", "attack@deepfool"], 1, 2)
def test_worker_killed_for_memory(arena: Arena, name: str, faults: int) -> None:
    """What the kernel does to the largest process when memory ends."""
    stage, generator = arena.stages[name], random.Random(f"worker {name}")
    arena.forget(stage)
    done = 0
    for _ in range(4 * faults):
        process = arena.start(stage, workers=2)
        while process.poll() is None and len(children(process.pid)) < 3:  # two workers, one resource tracker
            time.sleep(0.02)
        time.sleep(generator.uniform(0.0, 2.0))
        workers = children(process.pid)[1:] if process.poll() is None else []
        if workers:
            os.kill(generator.choice(workers), signal.SIGKILL)
        ended = arena.finish(process)
        if ended.status == 0:
            arena.check_same(stage)
            arena.forget(stage)
            continue
        check_message(ended)
        assert "A worker process died" in ended.said
        arena.check_whole(stage)
        arena.check_no_leftovers()
        done += 1
        arena.note(stage, "worker killed")
        if done == faults:
            break
    assert done
    end_well(arena, stage, workers=2)


@forms([], ["augment", "dwt", "train", "attack@deepfool"], 1, 3)
def test_memory_that_ends(arena: Arena, name: str, faults: int) -> None:
    stage, generator = arena.stages[name], random.Random(f"memory {name}")
    arena.forget(stage)
    for _ in range(faults):
        ended = arena.run(stage, fault=f"memory:{generator.randrange(4, 24)}")
        arena.check_whole(stage)
        if ended.status != 0:
            arena.note(stage, "memory ends")
            if OPENBLAS_ENDS in ended.said:
                continue
            check_message(ended)
            assert "memory" in ended.said
        arena.check_no_leftovers()
    end_well(arena, stage)


@forms(["train"], TRAINED, 1, 3)
def test_lost_gpu(arena: Arena, name: str, faults: int) -> None:
    """The error of a lost GPU comes out of a layer in the middle of the work."""
    stage, generator = arena.stages[name], random.Random(f"gpu {name}")
    arena.forget(stage)
    for _ in range(faults):
        ended = arena.run(stage, fault=f"gpu:{generator.randrange(5, 120)}")
        check_message(ended)
        assert "The GPU failed" in ended.said
        arena.note(stage, "GPU lost")
        arena.check_whole(stage)
        arena.check_no_leftovers()
    end_well(arena, stage)


@forms([], ["train"], 1, 4)
def test_spoilt_checkpoints(arena: Arena, name: str, faults: int) -> None:
    stage, generator = arena.stages[name], random.Random(f"checkpoint {name}")
    _spoil_scratch(arena, stage, generator, faults, ".pt")


@forms([], ["train"], 1, 3)
def test_spoilt_results_of_finished_folds(arena: Arena, name: str, faults: int) -> None:
    stage, generator = arena.stages[name], random.Random(f"results {name}")
    _spoil_scratch(arena, stage, generator, faults, ".json")


def _spoil_scratch(arena: Arena, stage: Stage, generator: random.Random, faults: int, suffix: str) -> None:
    """Stop the stage when such a file is there, spoil it, and follow the message's advice to delete it."""
    arena.forget(stage)
    for _ in range(faults):
        file = _stop_at_file(arena, stage, suffix)
        kind = generator.choice(list(DAMAGES))
        spoil(file, kind, generator)
        ended = arena.run(stage)
        check_message(ended)
        assert file.name in ended.said, kind
        assert "elete" in ended.said
        assert not (arena.folder / MARKER).exists()
        arena.check_whole(stage)
        arena.note(stage, f"scratch: {kind}")
        file.unlink()
    end_well(arena, stage)


def _stop_at_file(arena: Arena, stage: Stage, suffix: str) -> Path:
    def files() -> list[Path]:
        found = (arena.folder / ".advaudio").rglob(f"*{suffix}")
        return sorted(path for path in found if not path.name.startswith("."))

    while not files():
        process = arena.start(stage)
        while process.poll() is None and not files():
            time.sleep(0.005)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        if arena.finish(process).status == 0:
            arena.forget(stage)
    return files()[0]


@forms([], ["attack@deepfool"], 1, 3)
def test_spoilt_chunks_are_made_anew(arena: Arena, name: str, faults: int) -> None:
    stage, generator = arena.stages[name], random.Random(f"chunks {name}")
    arena.forget(stage)
    for _ in range(faults):
        kind = generator.choice(list(DAMAGES))
        spoil(_stop_at_file(arena, stage, ".safetensors"), kind, generator)
        arena.note(stage, f"scratch: {kind}")
        end_well(arena, stage)
        assert not (arena.folder / MARKER).exists()
        arena.forget(stage)
