"""Cells in the history of a DVC repository: experiments, commits, branches, tags, and the working tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dvc.api import DVCFileSystem
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import RevError, resolve_rev
from dvc_data.index import DataIndexDirError

from advaudio.core.errors import AdvaudioError
from advaudio.report.cells.sources import Folder, Source

WORKSPACE = "workspace"


@dataclass(frozen=True)
class Revision:
    """An experiment or another revision: files that Git tracks, and outputs that DVC's cache holds."""

    repository: Path
    revision: str
    name: str
    _read: dict[str, bytes | None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _files(self) -> Any:
        return DVCFileSystem(str(self.repository), rev=self.revision)

    @property
    def provenance(self) -> dict[str, str]:
        """The commit."""
        return {"commit": self.revision}

    def read(self, path: str) -> bytes | None:
        """See `Source.read`; an output that the cache does not hold counts as missing."""
        if path not in self._read:
            try:
                self._read[path] = self._files.cat_file(path)
            except (FileNotFoundError, DataIndexDirError):
                self._read[path] = None
            except DvcException as error:
                raise AdvaudioError(
                    f"Could not read {path} of {self.name}: {error}. Is its dvc.yaml whole?"
                ) from error
        return self._read[path]

    def local(self, path: str) -> Path | None:
        """See `Source.local`: an output's file in DVC's cache."""
        try:
            digest = self._files.info(path)["dvc_info"]["md5"]
        except (FileNotFoundError, DataIndexDirError, KeyError):
            return None
        file = Path(self._files.repo.cache.local.oid_to_path(digest))
        return file if file.is_file() else None


def experiments(repository: Path) -> list[Source]:
    """All experiments of a repository, whatever commit they started from, by name; then the working tree.

    Raises
    ------
    AdvaudioError
        If the folder is no DVC repository.
    """
    with _open(repository) as repo:
        known = _known(repo)
    sources: list[Source] = [Revision(repository, known[name], name) for name in sorted(known)]
    return [*sources, Folder(repository, WORKSPACE)]


def named_source(repository: Path, name: str) -> Source:
    """A source by what the user calls it: `workspace`, a folder, an experiment or another Git revision.

    Raises
    ------
    AdvaudioError
        If there is no such thing.
    """
    if name == WORKSPACE:
        return Folder(repository, WORKSPACE)
    if Path(name).is_dir():
        return Folder(Path(name), name)
    with _open(repository) as repo:
        known = _known(repo)
        revision = known.get(name) or _commit(repo, name)
    if revision is None:
        names = ", ".join(sorted(known)) or "none"
        raise AdvaudioError(
            f"There is no experiment, revision, folder or result file {name!r}. Experiments here: {names}; "
            "see `dvc exp show`."
        )
    return Revision(repository, revision, name)


def _commit(repo: Any, name: str) -> str | None:
    try:
        return str(resolve_rev(repo.scm, name))
    except RevError:
        return None


@contextmanager
def _open(repository: Path) -> Iterator[Any]:
    try:
        repo = Repo(str(repository))
    except DvcException as error:
        raise AdvaudioError(
            f"{repository} is no DVC repository: {error}. Run from the repository's top folder."
        ) from error
    with repo:
        yield repo


def _known(repo: Any) -> dict[str, str]:
    """Every experiment's name and commit, whatever it started from.

    A name that several commits have is that of the present commit; the others carry theirs: `name@1a2b3c4`.
    """
    listed = repo.experiments.ls(all_commits=True)
    present = repo.scm.get_rev()
    known: dict[str, str] = {}
    for baseline in sorted(listed, key=lambda baseline: (baseline != present, baseline)):
        for name, revision in listed[baseline]:
            name = str(name)
            known[f"{name}@{baseline[:7]}" if name in known else name] = str(revision)
    return known
