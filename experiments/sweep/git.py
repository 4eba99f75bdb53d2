"""What a sweep asks of Git."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from advaudio.core.errors import AdvaudioError
from advaudio.core.yaml_files import parse_yaml


def git(folder: Path, *arguments: str) -> str:
    """Run Git in `folder` and return what it printed, without the last line's end.

    Raises
    ------
    AdvaudioError
        If Git is missing or ends with an error, which the message quotes.
    """
    try:
        result = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False, errors="replace"
        )
    except OSError as error:
        raise AdvaudioError(f"Could not run git: {error.strerror or error}. Install git.") from error
    if result.returncode != 0:
        said = " ".join(result.stderr.split()) or f"status {result.returncode}"
        raise AdvaudioError(f"git {' '.join(arguments)} failed in {folder}: {said}")
    return result.stdout.rstrip("\n")


def committed_head(folder: Path) -> str:
    """The commit that is checked out, of which every cell is a variant.

    Raises
    ------
    AdvaudioError
        If a tracked file differs from it: cells run on clones, which would not see the change.
    """
    baseline = git(folder, "rev-parse", "HEAD")
    changed = git(folder, "status", "--porcelain", "--untracked-files=no").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:5]) + (", …" if len(changed) > 5 else "")
        raise AdvaudioError(
            f"There are uncommitted changes ({names}). A sweep runs on the last commit, in clones that would "
            "not see them: commit them or put them aside with `git stash`, and run the same command again."
        )
    return baseline


def experiment_reference(baseline: str, name: str) -> str:
    """Where DVC keeps the experiment `name` of the commit `baseline`."""
    return f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"


def experiments(folder: Path, baseline: str) -> dict[str, str]:
    """Commit of every experiment of the commit `baseline`, by name."""
    prefix = experiment_reference(baseline, "")
    listed = git(folder, "for-each-ref", "--format=%(objectname) %(refname)", prefix)
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return {name.removeprefix(prefix): commit for commit, name in pairs}


def parameters_at(folder: Path, commit: str) -> Any:
    """params.yaml as `commit` has it, parsed."""
    return parse_yaml(git(folder, "show", f"{commit}:params.yaml"))
