"""Find the table and the clips of a published data set, however the archive was repacked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from advaudio.core.errors import AdvaudioError
from advaudio.datasets.archive import Container
from advaudio.datasets.audio import audio_names

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
SHOWN = 5


def find_table(container: Container, path: str, layout: str) -> tuple[str, str]:
    """Name of the table of clips, and the folder (with a slash, or empty) that the data set lies in.

    Parameters
    ----------
    container
        What was opened.
    path
        Where the publisher's archive has the table, e.g. "meta/esc50.csv". Anywhere else will do if only one
        file has its name, in letters of any case.
    layout
        What messages say is wanted.

    Raises
    ------
    AdvaudioError
        If there is none, or more than one.
    """
    names = [name for name in container.files if name == path or name.endswith(f"/{path}")]
    if len(names) == 1:
        return names[0], names[0].removesuffix(path)
    if not names:
        base = PurePosixPath(path).name.lower()
        others = [name for name in container.files if PurePosixPath(name).name.lower() == base]
        if len(others) == 1:
            return others[0], others[0][: -len(base)]
        names = others
    found = "no file" if not names else f"{len(names)} files"
    raise AdvaudioError(
        f"{container.path} has {found} {path}{_listed(names)}; exactly one is expected. Wanted: {layout}. "
        f"{_found(container)} Is it of another data set? Check the parameters `dataset` and `archive`."
    )


def find_clips(container: Container, published: Iterable[str], layout: str) -> list[str]:
    """Where each clip lies: at the publisher's place, or wherever the one file of its name is.

    A clip that was converted (`1-2-A-3.flac` for `1-2-A-3.wav`) is found, too.

    Parameters
    ----------
    container
        What was opened.
    published
        Names as in the publisher's archive. The names of the files must be unique without their folders, or
        with the innermost one (`fold1/…`).
    layout
        What messages say is wanted.

    Returns
    -------
    list of str
        The publisher's name for a clip that is nowhere.

    Raises
    ------
    AdvaudioError
        If a clip is there more than once, and none of them at the publisher's place; or if no clip is there.
    """
    by_name = defaultdict(list)
    for name in audio_names(container.files):
        by_name[PurePosixPath(name).name].append(name)
        by_name[PurePosixPath(name).stem].append(name)
    found = []
    for name in published:
        path = PurePosixPath(name)
        places = [name] if name in container.files else by_name.get(path.name, by_name.get(path.stem, []))
        if len(places) > 1:
            inner = str(PurePosixPath(*path.with_suffix("").parts[-2:]))
            ends = [f"/{PurePosixPath(place).with_suffix('')}".endswith(f"/{inner}") for place in places]
            places = [place for place, right in zip(places, ends, strict=True) if right] or places
        if len(places) > 1:
            raise AdvaudioError(
                f"{container.path} has the clip {path.name} {len(places)} times{_listed(places)}, "
                f"and it is not known which is meant. Wanted: {layout}. Leave one copy of each clip."
            )
        found.append(places[0] if places else name)
    if not any(name in container.files for name in found):
        raise AdvaudioError(
            f"{container.path} has the table of clips and none of its clips. Wanted: {layout}. {_found(container)}"
        )
    return found


def _listed(names: list[str]) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})"


def _found(container: Container) -> str:
    """What is in the container, in one sentence or two."""
    audio = Counter(str(PurePosixPath(name).parent) for name in audio_names(container.files))
    folders = [f"{number} audio files in {folder}/" for folder, number in audio.most_common(SHOWN)]
    tables = [name for name in container.files if name.lower().endswith(".csv")]
    inside = [name for name in container.files if name.lower().endswith(ARCHIVES)]
    found = [*folders, *tables[:SHOWN]] or [f"{len(container.files)} files, none of them audio"]
    text = f"Found: {', '.join(found)}{', …' if len(audio) > SHOWN else ''}."
    return text + (f" Unpack {inside[0]} first, and name its folder." if inside else "")
