"""A temporary clone of this repository in which real DVC runs, for studies and tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from advaudio.core.yaml_files import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
TINY_NETWORK = ROOT / "studies" / "tiny_network.py"
"""For `networks/` of a clone: a network of 445 parameters (ten classes)."""


@dataclass(frozen=True)
class Clone:
    """A clone with its own cache; commands run with this interpreter's programs first on the path."""

    folder: Path

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 1800,
        workers: int = 1,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the clone and return its result with standard output and error as text.

        With one worker a stage starts no processes of its own, which is faster where there is little to do.
        `variables` are added to the environment.
        """
        result = subprocess.run(
            command,
            cwd=self.folder,
            env={**environment(), "ADVAUDIO_WORKERS": str(workers), **(variables or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and result.returncode != 0:
            raise AssertionError(
                f"{' '.join(command)} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
            )
        return result

    def change_params(self, **changes: Any) -> None:
        """Set parameters by dotted key (`__` stands for the dot) in params.yaml."""
        path = self.folder / "params.yaml"
        params = parse_yaml(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            *parents, last = key.split("__")
            section = params
            for parent in parents:
                section = section[parent]
            if last not in section:
                raise KeyError(key)
            section[last] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def lock(self) -> dict[str, Any]:
        """The stages of dvc.lock."""
        stages: dict[str, Any] = yaml.safe_load((self.folder / "dvc.lock").read_text(encoding="utf-8"))[
            "stages"
        ]
        return stages

    def output_hashes(self) -> dict[str, str]:
        """MD5 of every output, by path."""
        return {out["path"]: out["md5"] for stage in self.lock().values() for out in stage["outs"]}

    def commit(self, message: str) -> None:
        """Commit everything that Git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


def environment() -> dict[str, str]:
    """The environment of commands in a clone: this interpreter first, no settings of the host's Git or DVC."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
    variables["GIT_CONFIG_GLOBAL"] = os.devnull
    variables["DVC_NO_ANALYTICS"] = "true"
    variables.pop("PYTHONPATH", None)
    return variables


def make_clone(folder: Path) -> Clone:
    """Copy what Git tracks or would track here, as it stands in the working tree, into a fresh repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source = ROOT / name
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    clone = Clone(folder)
    clone.run("git", "init", "--quiet", "--initial-branch=main")
    clone.run("git", "config", "user.name", "advaudio")
    clone.run("git", "config", "user.email", "advaudio@example.org")
    return clone


def clone_for_study(folder: Path, params: Path) -> Clone:
    """A clone with the parameters of a study and its tiny network, without results, committed.

    Parameters
    ----------
    params
        A whole params.yaml; its model may be `networks.tiny_network:build`.
    """
    clone = make_clone(folder)
    shutil.copy2(params, folder / "params.yaml")
    shutil.copy2(TINY_NETWORK, folder / "networks")
    (folder / "dvc.lock").unlink(missing_ok=True)
    clone.commit("parameters of the study")
    return clone
