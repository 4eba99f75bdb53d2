"""What a data set must say of itself: one module in this package with an attribute `SOURCE`.

A new data set is one new file here and its section `datasets.<name>` in params.yaml: the name of the file is
the name of the data set.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advaudio.core.errors import AdvaudioError

if TYPE_CHECKING:
    import pandas as pd

    from advaudio.datasets.archive import Container


@dataclass(frozen=True)
class Clip:
    """One clip as a source makes it, before resampling.

    Attributes
    ----------
    audio
        Float, shape (samples,), one channel, any range.
    sample_rate
        Hz.
    clip
        Unique name.
    label, class_name
        Class number from 0, and its name.
    fold
        Official fold from 1; -1 if there is none.
    source
        The recording it was cut from: clips of one recording never lie on both sides of a split by source.
    """

    audio: NDArray[np.floating[Any]]
    sample_rate: int
    clip: str
    label: int
    class_name: str
    fold: int
    source: str


@dataclass(frozen=True)
class Remote:
    """An archive that can be downloaded.

    Attributes
    ----------
    file_name
        Name of the downloaded file.
    addresses
        http(s) addresses of the same file, tried in turn.
    size
        Its size in bytes, if published; otherwise an estimate for the check of the free space.
    hashes
        Published digests by hashlib name, e.g. {"md5": "9aa6…"}; may be empty.
    zip_comment
        Comment that the zip must carry: GitHub writes the commit there. Such archives are made on request and
        have no published digest; each file in them has its CRC-32, which is checked when it is read.
    """

    file_name: str
    addresses: tuple[str, ...]
    size: int
    hashes: Mapping[str, str] = field(default_factory=dict)
    zip_comment: str | None = None


@dataclass(frozen=True)
class Source:
    """A data set: its facts, and where its clips come from.

    Exactly one of `list_clips` and `make_clips` is given.

    Attributes
    ----------
    title, licence, citation, homepage
        Printed once and written beside the data.
    clips, classes, folds
        Published numbers; None where they depend on the settings.
    settings
        Names that the parameter `datasets.<name>.source` may have.
    remote
        The archive to download; None if there is nothing to download.
    list_clips
        Called with (opened container, settings); gives one row per clip with the columns `file` (name in the
        container), `clip`, `label`, `class_name`, `fold`, `source`, and optionally `wanted` (False for a
        clip that belongs to the archive and not to this data set).
    make_clips
        Called with (settings, seed); yields the clips, one at a time, in a fixed order.
    """

    title: str
    licence: str
    citation: str
    homepage: str
    clips: int | None = None
    classes: int | None = None
    folds: int | None = None
    settings: tuple[str, ...] = ()
    remote: Remote | None = None
    list_clips: Callable[[Container, Mapping[str, Any]], pd.DataFrame] | None = None
    make_clips: Callable[[Mapping[str, Any], int], Iterator[Clip]] | None = None


def source_names() -> list[str]:
    """Names of the data sets there are: the modules of this package that have a `SOURCE`."""
    import advaudio.datasets as package

    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in names if _module_source(name) is not None)


def find_source(name: str) -> Source:
    """Give the data set called `name`.

    Raises
    ------
    AdvaudioError
        If there is none.
    """
    source = _module_source(name) if name.isidentifier() else None
    if source is None:
        raise AdvaudioError(
            f"There is no data set {name!r} (parameter `dataset`). There are: {', '.join(source_names())}."
        )
    return source


def _module_source(name: str) -> Source | None:
    full = f"advaudio.datasets.{name}"
    if importlib.util.find_spec(full) is None:
        return None
    source = getattr(importlib.import_module(full), "SOURCE", None)
    return source if isinstance(source, Source) else None
