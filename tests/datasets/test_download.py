"""Downloads from a real, misbehaving web server on loopback."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import multiprocessing
import shutil
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.datasets import archive
from advaudio.datasets.download import BLOCK, Patience, fetch, working_alone
from advaudio.datasets.source import Remote
from tests.datasets.http_server import Answer, serve

CONTENT = np.random.default_rng(0).bytes(3_000_017)
OTHER = np.random.default_rng(1).bytes(3_000_017)
CUT = int(0.37 * len(CONTENT))
GOOD = Answer(CONTENT)
IMPATIENT = Patience(stall=0.3, first_rests=(0.0, 0.0), rests=(0.0, 0.0, 0.0))


def remote(*addresses: str, content: bytes = CONTENT) -> Remote:
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return Remote("archive.tar.gz", addresses, len(content), {"md5": digest})


@dataclass(frozen=True)
class Scenario:
    """What a server does; the error that comes of it, or None; the bytes it sends, least and most."""

    name: str
    answers: list[Answer]
    error: str | None = None
    sent: tuple[int, int] | None = None
    patience: Patience = field(default_factory=lambda: IMPATIENT)


WHOLE = (len(CONTENT), len(CONTENT))
SCENARIOS = [
    Scenario("good", [GOOD], sent=WHOLE),
    Scenario("cut at 37 %, then resumed", [replace(GOOD, cut=CUT), GOOD], sent=(WHOLE[0], WHOLE[0] + BLOCK)),
    Scenario(
        "cut nine times",
        [*[replace(GOOD, cut=300_000)] * 9, GOOD],
        sent=(WHOLE[0], WHOLE[0] + 9 * BLOCK),
    ),
    Scenario("wrong hash", [Answer(OTHER)], error="not the published one: its md5 is"),
    Scenario("404", [Answer(status=404)], error="the server answers 404"),
    Scenario("403", [Answer(status=403)], error="the server answers 403"),
    Scenario("500 twice, then 200", [Answer(status=500), Answer(status=500), GOOD], sent=WHOLE),
    Scenario("503 for ever", [Answer(status=503)], error=r"the server answers 503 .*\(3 tries\)"),
    Scenario(
        "no Range: cut, then whole",
        [replace(GOOD, cut=CUT, ranges=False), replace(GOOD, ranges=False)],
        sent=(len(CONTENT) + CUT // 2, len(CONTENT) + CUT),
    ),
    Scenario(
        "stalls at 37 %, then resumed", [replace(GOOD, stall=CUT), GOOD], sent=(WHOLE[0], WHOLE[0] + BLOCK)
    ),
    Scenario("stalls for ever", [replace(GOOD, stall=0)], error="the server does not answer"),
    Scenario(
        "file changes while cut (ETag)",
        [replace(GOOD, content=OTHER, cut=CUT, etag='"v0"'), GOOD],
        sent=(len(CONTENT) + CUT // 2, len(CONTENT) + CUT),
    ),
    Scenario(
        "file changes, no ETag: digest tells, begun again",
        [replace(GOOD, content=OTHER, cut=CUT, etag=None), replace(GOOD, etag=None)],
        sent=(2 * len(CONTENT) - BLOCK, 2 * len(CONTENT) + BLOCK),
    ),
    Scenario(
        "file becomes shorter",
        [replace(GOOD, content=OTHER + OTHER, cut=len(OTHER) + 999_999, etag=None), replace(GOOD, etag=None)],
        sent=(2 * len(CONTENT), 3 * len(CONTENT)),
    ),
    Scenario("no length stated", [replace(GOOD, length=False)], sent=WHOLE),
    Scenario(
        "no length stated and cut: digest tells",
        [replace(GOOD, length=False, cut=CUT), GOOD],
        error="not the published one",
    ),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_outcome_and_rerun(scenario: Scenario, tmp_path: Path) -> None:
    with serve(scenario.answers) as (address, log):
        if scenario.error is None:
            path = fetch(remote(address), tmp_path, patience=scenario.patience)
            assert path.read_bytes() == CONTENT
            assert scenario.sent is not None
            assert scenario.sent[0] <= log.sent <= scenario.sent[1]
        else:
            with pytest.raises(AdvaudioError, match=scenario.error):
                fetch(remote(address), tmp_path, patience=scenario.patience)
            assert not (tmp_path / "archive.tar.gz").exists()
    with serve([GOOD]) as (address, log):
        path = fetch(remote(address), tmp_path, patience=IMPATIENT)
        assert path.read_bytes() == CONTENT
        assert len(log.ranges) == (0 if scenario.error is None else 1)
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix != ".lock") == ["archive.tar.gz"]


def test_later_run_resumes(tmp_path: Path) -> None:
    with serve([replace(GOOD, cut=CUT), replace(GOOD, status=404)]) as (address, log):
        with pytest.raises(AdvaudioError, match="goes on where the download stopped"):
            fetch(remote(address), tmp_path, patience=IMPATIENT)
        first = log.sent
    part = (tmp_path / "archive.tar.gz.part").stat().st_size
    assert first - BLOCK <= part <= first
    notes = json.loads((tmp_path / "archive.tar.gz.part.json").read_text())
    with serve([GOOD]) as (address, log):
        (tmp_path / "archive.tar.gz.part.json").write_text(json.dumps(notes | {"address": address}))
        assert fetch(remote(address), tmp_path, patience=IMPATIENT).read_bytes() == CONTENT
        assert log.ranges == [f"bytes={part}-"]
        assert log.sent == len(CONTENT) - part


def test_mirror_goes_on_with_what_is_here(tmp_path: Path) -> None:
    with (
        serve([replace(GOOD, cut=CUT), Answer(status=404)]) as (broken, _),
        serve([replace(GOOD, etag='"mirror"')]) as (mirror, log),
    ):
        assert fetch(remote(broken, mirror), tmp_path, patience=IMPATIENT).read_bytes() == CONTENT
        assert log.sent <= len(CONTENT) - CUT + BLOCK


def test_whole_part_needs_no_request(tmp_path: Path) -> None:
    with serve([Answer(status=404)]) as (address, log):
        (tmp_path / "archive.tar.gz.part").write_bytes(CONTENT)
        notes = {"address": address, "etag": None, "modified": None, "length": len(CONTENT)}
        (tmp_path / "archive.tar.gz.part.json").write_text(json.dumps(notes))
        assert fetch(remote(address), tmp_path, patience=IMPATIENT).read_bytes() == CONTENT
        assert log.ranges == []


@pytest.mark.parametrize("notes", ["", "[]", '{"etag": null}', "{}"])
def test_part_without_sound_notes_is_begun_anew(notes: str, tmp_path: Path) -> None:
    (tmp_path / "archive.tar.gz.part").write_bytes(OTHER[:1000])
    (tmp_path / "archive.tar.gz.part.json").write_text(notes)
    with serve([GOOD]) as (address, log):
        assert fetch(remote(address), tmp_path, patience=IMPATIENT).read_bytes() == CONTENT
        assert log.ranges == [None]


def test_refuses_to_start_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9, len(CONTENT) - 1)
    monkeypatch.setattr(archive.shutil, "disk_usage", lambda folder: usage)
    with serve([GOOD]) as (address, _):
        with pytest.raises(AdvaudioError, match="too full to download archive"):
            fetch(remote(address), tmp_path, patience=IMPATIENT)
        assert not (tmp_path / "archive.tar.gz.part").exists()
        monkeypatch.undo()
        assert fetch(remote(address), tmp_path, patience=IMPATIENT).read_bytes() == CONTENT


def test_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FullAt:
        """A file that takes one block."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> FullAt:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def seek(self, place: int) -> int:
            return int(self.file.seek(place))

        def write(self, block: bytes) -> int:
            if self.file.tell() >= BLOCK:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self.file.write(block))

    opened = Path.open

    def open_limited(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = opened(path, mode, *arguments, **options)
        return FullAt(file) if path.name.endswith(".part") and mode != "rb" else file

    with serve([GOOD]) as (address, _):
        monkeypatch.setattr(Path, "open", open_limited)
        with pytest.raises(AdvaudioError, match=r"No space left on device.*goes on where it stopped"):
            fetch(remote(address), tmp_path, patience=IMPATIENT)
        monkeypatch.undo()
        assert fetch(remote(address), tmp_path, patience=IMPATIENT).read_bytes() == CONTENT


def test_nobody_listens(tmp_path: Path) -> None:
    with serve([GOOD]) as (address, _):
        pass
    with pytest.raises(
        AdvaudioError, match=r"no connection, or it broke \(3 tries\).*`datasets.<name>.archive`"
    ):
        fetch(remote(address), tmp_path, patience=IMPATIENT)


def zip_with_comment(comment: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a", "content")
        made.comment = comment
    return buffer.getvalue()


@pytest.mark.parametrize(("comment", "accepted"), [(b"c0ffee", True), (b"beef", False)])
def test_commit_in_zip_comment_stands_in_for_digest(comment: bytes, accepted: bool, tmp_path: Path) -> None:
    made = Remote("a.zip", (), 100, {"sha256": "0" * 64}, zip_comment="c0ffee")
    with serve([Answer(zip_with_comment(comment))]) as (address, _):
        if accepted:
            assert fetch(replace(made, addresses=(address,)), tmp_path, patience=IMPATIENT).exists()
        else:
            with pytest.raises(AdvaudioError, match="not the published one"):
                fetch(replace(made, addresses=(address,)), tmp_path, patience=IMPATIENT)


def test_progress_tells_rate_and_time_left(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    with serve([GOOD]) as (address, _):
        fetch(remote(address), tmp_path, progress=lambda *step: seen.append(step))
    downloading = [step for step in seen if step[2].startswith("downloading archive.tar.gz")]
    assert all(0 <= done <= total == len(CONTENT) // 2**20 + 1 for done, total, _ in downloading)
    assert "MB/s, 0:00:00 left" in downloading[-1][2]


def test_rests_grow_and_are_kept(tmp_path: Path) -> None:
    rests: list[float] = []
    with serve([Answer(status=500)]) as (address, _), pytest.raises(AdvaudioError):
        fetch(remote(address), tmp_path, sleep=rests.append)
    assert rests == [1.0, 2.0, 4.0]


def _fetch_in_process(address: str, folder: Path, start: Any) -> None:
    start.wait()
    fetch(remote(address), folder)


def test_two_runs_at_once_download_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    with serve([GOOD]) as (address, log):
        runs = [context.Process(target=_fetch_in_process, args=(address, tmp_path, start)) for _ in range(2)]
        for run in runs:
            run.start()
        for run in runs:
            run.join(30)
        assert [run.exitcode for run in runs] == [0, 0]
        assert len(log.ranges) == 1
    assert (tmp_path / "archive.tar.gz").read_bytes() == CONTENT


def test_waits_for_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    inside = threading.Event()
    heard: list[str] = []

    def hold() -> None:
        with working_alone(lock):
            inside.set()
            time.sleep(1.3)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait()
    tell: Callable[[int, int, str], None] = lambda done, total, what: heard.append(what)  # noqa: E731
    with working_alone(lock, tell):
        assert not holder.is_alive() or heard
    holder.join()
    assert heard == ["waiting for another run that uses x"]
