"""Python loads this at its start when its folder is on PYTHONPATH: harms the process as $FAULT says.

`memory:<MiB>` allows so much more memory from the moment when the parameters are read; `gpu:<n>` lets the n-th
layer's forward pass fail as a lost GPU does; `clock:<seed>` lets the clock jump at every look. `tell:<file>`
harms nothing, and makes the file as soon as code of the stages runs.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

JUMPS = (-86_400.0 * 400, -3_600.0, 0.0, 0.5, 86_400.0 * 30)


def limit_memory(mebibytes: int) -> None:
    import resource

    # What is loaded late is loaded now: Python can lose the MemoryError of an import ("SystemError: error return
    # without exception set"), and then nothing tells it from a bug.
    for late in ("torch.fx.experimental.symbolic_shapes", "dulwich.client", "dvc.repo", "dvclive"):
        importlib.import_module(late)

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def lose_gpu(forward_pass: int) -> None:
    from torch import nn

    call = nn.Module.__call__
    passes = iter(range(1, forward_pass + 1))

    def failing(self: nn.Module, *arguments: object, **keywords: object) -> object:
        if next(passes, forward_pass) == forward_pass:
            raise RuntimeError("CUDA error: unspecified launch failure")
        return call(self, *arguments, **keywords)

    nn.Module.__call__ = failing  # type: ignore[method-assign]


def let_clock_jump(seed: int) -> None:
    generator = random.Random(seed)
    now = time.time

    def jumping() -> float:
        return now() + generator.choice(JUMPS)

    time.time = jumping
    time.time_ns = lambda: int(jumping() * 1e9)


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


def harm_when_parameters_are_read(harm: Callable[[int], None], amount: int) -> None:
    def prepare(module: ModuleType) -> None:
        read = module.__dict__["read_params"]

        def harming_read(*arguments: object) -> object:
            harm(amount)
            return read(*arguments)

        module.__dict__["read_params"] = harming_read

    sys.meta_path.insert(0, Finder("advaudio.core.params", prepare))


if "FAULT" in os.environ:
    _kind, _amount = os.environ["FAULT"].split(":")
    if _kind == "clock":
        let_clock_jump(int(_amount))
    elif _kind == "tell":
        sys.meta_path.insert(0, Finder("stages", lambda module: Path(_amount).touch()))
    else:
        harm_when_parameters_are_read({"memory": limit_memory, "gpu": lose_gpu}[_kind], int(_amount))
