"""Python loads this at its start when its folder is on PYTHONPATH: notes what a stage opens and reads.

One file per process is appended to in $RECORD_FOLDER/<stage>/: `file <path>` for every file below the working
folder that is opened for reading, `parameter <key>` for every parameter whose value is asked for. Worker
processes inherit the stage's name. Safetensors opens files without telling Python, so its own `safe_open`, which
everything in it that reads a file calls, tells it instead.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

KEY = "RECORDED_STAGE"


def _stage() -> str | None:
    words = sys.orig_argv
    if "-m" in words and words[words.index("-m") + 1].startswith("stages."):
        name, *arguments = words[words.index("-m") + 1 :]
        return "@".join([name.removeprefix("stages."), *arguments])
    return os.environ.get(KEY)


class Notes:
    """Distinct lines, written at once so that a killed process leaves what it saw."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / str(os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._seen: set[str] = set()

    def add(self, line: str) -> None:
        if line not in self._seen:
            self._seen.add(line)
            os.write(self._file, (line + "\n").encode())


def _note_files(notes: Notes, top: str) -> Callable[[str, tuple[Any, ...]], None]:
    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
            return
        flags = arguments[2] if isinstance(arguments[2], int) else 0
        if flags & os.O_ACCMODE == os.O_RDONLY:
            _note_file(arguments[0], notes, top)

    return hook


def _note_file(file: str | bytes | os.PathLike[str], notes: Notes, top: str) -> None:
    path = os.path.normpath(Path.cwd() / os.fsdecode(file))
    if path.startswith(top):
        if path.endswith(".pyc"):
            path = importlib.util.source_from_cache(path)
        notes.add(f"file {path.removeprefix(top)}")


def _note_models(module: Any, notes: Notes, top: str) -> None:
    safe_open = module.safe_open

    def noting_safe_open(filename: Any, *arguments: Any, **keywords: Any) -> Any:
        _note_file(filename, notes, top)
        return safe_open(filename, *arguments, **keywords)

    module.safe_open = noting_safe_open


class NotingDict(dict[str, Any]):
    """A dictionary of sections that notes which of its entries are asked for; `*` for all their names."""

    def __init__(self, content: dict[str, Any], path: str, notes: Notes) -> None:
        super().__init__(content)
        self._path, self._notes = path, notes

    def __getitem__(self, key: str) -> Any:
        value = super().__getitem__(key)
        if not hasattr(value, "model_fields"):
            self._notes.add(f"parameter {self._path}.{key}")
        return value

    def __contains__(self, key: object) -> bool:
        self._notes.add(f"parameter {self._path}.{key}")
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._notes.add(f"parameter {self._path}.*")
        return super().__iter__()

    keys = values = items = __iter__  # type: ignore[assignment]


def _note_parameters(module: Any, notes: Notes) -> None:
    """Let `advaudio.core.params.read_params` give sections that note every value asked of them."""
    paths: dict[int, str] = {}
    section = module.Section
    read, look_up, dump = module.read_params, section.__getattribute__, section.model_dump

    def prepare(value: Any, path: str) -> Any:
        if isinstance(value, section):
            for name, inner in list(vars(value).items()):
                vars(value)[name] = prepare(inner, f"{path}.{name}".lstrip("."))
            paths[id(value)] = path
        elif isinstance(value, dict) and any(
            isinstance(inner, (section, dict, list)) for inner in value.values()
        ):
            content = {key: prepare(inner, f"{path}.{key}") for key, inner in value.items()}
            return NotingDict(content, path, notes)
        return value

    def looked_up(self: Any, name: str) -> Any:
        value = look_up(self, name)
        if (
            id(self) in paths
            and name in type(self).model_fields
            and not isinstance(value, (section, NotingDict))
        ):
            notes.add(f"parameter {paths[id(self)]}.{name}".replace(" .", " "))
        return value

    def dumped(self: Any) -> Any:
        if id(self) in paths:  # a section of the file, not one that was made from it
            notes.add(f"parameter {paths[id(self)]}.*")
        return dump(self)

    def noting_read(*arguments: Any) -> Any:
        kept.append(read(*arguments))
        return prepare(kept[-1], "")

    kept: list[Any] = []  # so that no other object gets the id of a section
    section.__getattribute__, section.model_dump, module.read_params = looked_up, dumped, noting_read


class Finder(importlib.abc.MetaPathFinder):
    """Finds a module as Python would, and hands it to `prepare` once it has run."""

    def __init__(self, name: str, prepare: Callable[[ModuleType], None]) -> None:
        self._name, self._prepare = name, prepare

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_prepare(module: ModuleType) -> None:
                execute(module)
                self._prepare(module)

            spec.loader.exec_module = execute_and_prepare  # type: ignore[method-assign]
        return spec


if (_name := _stage()) and "RECORD_FOLDER" in os.environ:
    os.environ[KEY] = _name
    _notes = Notes(Path(os.environ["RECORD_FOLDER"]) / _name)
    _top = f"{Path.cwd()}{os.sep}"
    sys.meta_path.insert(0, Finder("advaudio.core.params", lambda module: _note_parameters(module, _notes)))
    sys.meta_path.insert(0, Finder("safetensors", lambda module: _note_models(module, _notes, _top)))
    sys.addaudithook(_note_files(_notes, _top))
