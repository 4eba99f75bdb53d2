"""A job runs its commands one after the other, and none after one that did not end well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from advaudio.core.errors import AdvaudioError
from experiments.sweep import workspace
from experiments.sweep.git import git
from experiments.sweep.worker import Job, Place, run
from experiments.sweep.workspace import Origin


@pytest.fixture
def job_of(tmp_path: Path) -> Callable[..., Job]:
    source = tmp_path / "source"
    (source / ".dvc").mkdir(parents=True)
    (source / ".dvc" / "config").touch()
    git(source, "init", "--quiet")
    git(source, "config", "user.name", "Tester")
    git(source, "config", "user.email", "tester@example.org")
    git(source, "add", "--all")
    git(source, "commit", "--quiet", "--message", "first")
    place = Place(*(str(tmp_path / name) for name in ("work", "cache", "downloads")))
    origin = Origin(str(source), git(source, "rev-parse", "HEAD").strip(), ("Tester", "tester@example.org"))
    return lambda *commands: Job("job", origin, place, tuple(("bash", "-c", command) for command in commands))


@pytest.mark.parametrize(
    ("first", "state"), [("true", "done"), ("exit 3", "failed"), ("kill -9 $PPID; sleep 1", "failed")]
)
def test_nothing_runs_after_a_command_that_failed_or_lost_its_guard(
    job_of: Callable[..., Job], tmp_path: Path, first: str, state: str
) -> None:
    reached = tmp_path / "reached"
    outcome = run(job_of(first, f"touch {reached}"), lambda: False)
    assert outcome.state == state
    assert reached.exists() == (state == "done")


def test_checkpoints_outlive_a_workspace_that_could_not_be_made(
    job_of: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = "test -f .advaudio/state || (mkdir -p .advaudio && touch .advaudio/state && exit 3)"
    assert run(job_of(kept), lambda: False).state == "failed"

    def broken(link: Path, folder: Path) -> None:
        raise AdvaudioError("the disk went away")

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "_share", broken)
        assert run(job_of(kept), lambda: False).state == "failed"
    assert run(job_of(kept), lambda: False).state == "done"
    assert not any((tmp_path / "work" / "clones").iterdir())
