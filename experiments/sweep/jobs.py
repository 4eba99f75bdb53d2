"""The commands of a sweep: shared stages and cells, on this machine or on others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo

from advaudio.core.errors import AdvaudioError
from experiments.sweep.cells import Cell
from experiments.sweep.git import experiment_reference, git
from experiments.sweep.plan import Shared
from experiments.sweep.worker import Job, Place
from experiments.sweep.workspace import Origin

FOLDER = Path(".advaudio") / "sweep"
"""Of clones, logs and records, below the repository's top folder."""

GIT_REMOTE = "origin"


@dataclass(frozen=True)
class Site:
    """How jobs reach the repository and DVC's cache.

    Parameters
    ----------
    origin, place
        What clones are made of, and where.
    remote
        Whether workers share nothing with this machine but the Git remote and the DVC remote.
    cores
        Processes of a stage while other jobs run beside it; None for all.
    """

    origin: Origin
    place: Place
    remote: bool
    cores: int | None = None

    def shared(self, stages: Shared, *, alone: bool) -> Job:
        """The job that runs stages which several cells have in common."""
        run: tuple[str, ...] = ("dvc", "repro", *stages.stages)
        commands: tuple[tuple[str, ...], ...] = (run,)
        if self.remote:
            run = ("dvc", "repro", "--pull", *stages.stages)
            commands = (run, ("dvc", "push", "--run-cache", *stages.stages))
        cores = None if alone else self.cores
        return Job(stages.name, self.origin, self.place, commands, params=stages.text, cores=cores)

    def cell(self, cell: Cell) -> Job:
        """The job that runs one experiment and hands it in."""
        settings = tuple(word for setting in cell.settings for word in ("--set-param", setting))
        pull = ("--pull",) if self.remote else ()
        run = ("dvc", "exp", "run", *pull, "--name", cell.name, *settings)
        reference = experiment_reference(self.origin.baseline, cell.name)
        # Forced: the same cell from a worker that was thought lost is the same experiment in another commit.
        hand_in: tuple[str, ...] = (
            "git",
            "push",
            "--quiet",
            "--force",
            GIT_REMOTE,
            f"{reference}:{reference}",
        )
        if self.remote:
            hand_in = ("dvc", "exp", "push", "--run-cache", "--force", GIT_REMOTE, cell.name)
        return Job(cell.name, self.origin, self.place, (run, hand_in), cores=self.cores)


def local_site(repository: Path, baseline: str, cores: int) -> Site:
    """Clones of the folder `repository`, within it, over its own DVC cache."""
    with Repo(str(repository)) as repo:
        cache = repo.cache.local_cache_dir
    place = Place(
        folder=str(repository / FOLDER / baseline[:12]),
        cache=str(cache),
        downloads=str(repository / ".advaudio" / "downloads"),
    )
    origin = Origin(str(repository), baseline, _user(repository))
    return Site(origin, place, remote=False, cores=cores)


def remote_site(repository: Path, baseline: str, folder: str) -> Site:
    """Clones of the Git remote `origin`, in `folder` of each worker, with the DVC remote between them.

    Raises
    ------
    AdvaudioError
        If there is no Git remote `origin` that has `baseline`, or no default DVC remote in the commit's
        .dvc/config.
    """
    if GIT_REMOTE not in git(repository, "remote").splitlines():
        raise AdvaudioError(
            "Workers elsewhere clone the Git remote `origin`, and there is none: add it with "
            "`git remote add origin URL` and push."
        )
    git(repository, "fetch", "--quiet", GIT_REMOTE)
    if not git(repository, "branch", "--remotes", "--list", f"{GIT_REMOTE}/*", "--contains", baseline):
        raise AdvaudioError(
            f"The Git remote `origin` does not have the commit {baseline[:12]}, which workers elsewhere "
            "are to clone: `git push`, then run the same command again."
        )
    with Repo(str(repository), rev=baseline) as committed:
        config = committed.config.load_one("repo")
    if not config["core"].get("remote"):
        raise AdvaudioError(
            "Workers elsewhere exchange results through the DVC remote, and the committed .dvc/config has no "
            "default one: `dvc remote add --default storage URL`, commit .dvc/config and push."
        )
    origin = Origin(git(repository, "remote", "get-url", GIT_REMOTE), baseline, _user(repository))
    place = Place(f"{folder}/{baseline[:12]}", cache=f"{folder}/cache", downloads=f"{folder}/downloads")
    return Site(origin, place, remote=True)


def _user(repository: Path) -> tuple[str, str]:
    name = git(repository, "config", "--default", "advaudio", "user.name")
    return name, git(repository, "config", "--default", "advaudio@localhost", "user.email")
