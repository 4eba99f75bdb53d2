"""A clone of the repository in which one job runs."""

from __future__ import annotations

import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from dvc.config import Config
from filelock import FileLock

from experiments.sweep.git import git

SCRATCH = ".advaudio"
"""Where stages keep checkpoints, in every clone."""


@dataclass(frozen=True)
class Origin:
    """What a clone is made of.

    Parameters
    ----------
    url
        Of the Git repository: a folder or anything that `git clone` takes.
    baseline
        The commit.
    user
        Name and e-mail address for the experiment's commits.
    """

    url: str
    baseline: str
    user: tuple[str, str]


def prepare(workspace: Path, lock: Path, origin: Origin, *, cache: Path, downloads: Path) -> None:
    """Make a fresh clone at `workspace`, with the checkpoints of an earlier one there.

    Parameters
    ----------
    lock
        Held by whoever works in `workspace`; waited for.
    cache
        DVC's cache, which clones on one machine share.
    downloads
        Downloaded archives, shared likewise.

    Raises
    ------
    AdvaudioError
        If Git cannot clone `origin` or has no such commit.
    """
    workspace.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        fresh = workspace.with_name(f".{workspace.name}-{uuid.uuid4().hex[:8]}")
        kept = [folder for folder in _leftovers(workspace) if (folder / SCRATCH).is_dir()]
        if kept and not workspace.exists():
            kept[0].rename(workspace)
        try:
            git(workspace.parent, "clone", "--quiet", "--no-checkout", origin.url, str(fresh))
            git(fresh, "checkout", "--quiet", "--detach", origin.baseline)
            git(fresh, "config", "user.name", origin.user[0])
            git(fresh, "config", "user.email", origin.user[1])
            with Config(dvc_dir=str(fresh / ".dvc")).edit("local") as config:
                config["cache"]["dir"] = str(cache)
                config["core"]["site_cache_dir"] = str(workspace / ".dvc" / "tmp" / "site")
            if workspace.exists():
                # Aside at once: what cannot be removed on a shared disk must not stand in the way.
                old = workspace.with_name(f"{fresh.name}-old")
                workspace.rename(old)
                if (old / SCRATCH).is_dir():
                    (old / SCRATCH).rename(fresh / SCRATCH)
            _share(fresh / SCRATCH / "downloads", downloads)
            fresh.rename(workspace)
        finally:
            # Where something failed, the checkpoints wait in one of them for the next time.
            for left in _leftovers(workspace):
                if workspace.exists() or not (left / SCRATCH).is_dir():
                    shutil.rmtree(left, ignore_errors=True)


def _leftovers(workspace: Path) -> list[Path]:
    """Clones of this workspace that were not finished, or are to go."""
    name = re.compile(rf"\.{re.escape(workspace.name)}-[0-9a-f]{{8}}(-old)?")
    return sorted(path for path in workspace.parent.iterdir() if name.fullmatch(path.name))


def _share(link: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(folder, target_is_directory=True)
