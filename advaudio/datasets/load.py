"""Bring a data set into a clip store: find it, check every file, decode, resample, and report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from advaudio.clips.clip_store import SAMPLE_RATE, ClipStoreWriter
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import relative_hint, write_json
from advaudio.core.parallel import map_ordered
from advaudio.core.progress import Progress, silent
from advaudio.datasets.archive import (
    READ_ERRORS,
    Container,
    Located,
    open_container,
)
from advaudio.datasets.audio import EXTENSIONS, Decoded, audio_names, decode_audio, resample
from advaudio.datasets.bad_audio import BadAudio
from advaudio.datasets.clip_table import check_classes, check_table, check_two_classes
from advaudio.datasets.digest import file_digest
from advaudio.datasets.download import fetch, working_alone
from advaudio.datasets.inventory import MEBIBYTE
from advaudio.datasets.report import build_report
from advaudio.datasets.source import Source, find_source

REPORT_FILE = "dataset.json"
FILES_PER_TASK = 16
BYTES_PER_TASK = 8 * MEBIBYTE
NAMED_IN_ERROR = 5
TABLES = (".csv", ".tsv", ".txt", ".xls", ".xlsx", ".ods", ".json")
NOT_THERE = "it is not there"


class BadFile(NamedTuple):
    """A file that cannot be a clip, and why."""

    file: str
    reason: str


def load(
    name: str,
    folder_out: Path,
    *,
    source: Mapping[str, Any],
    archive: Path | None,
    on_bad_file: str,
    seed: int,
    cache_folder: Path,
    sample_rate: int = SAMPLE_RATE,
    workers: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the clip store of a data set, and its report `dataset.json`, into `folder_out`.

    Parameters
    ----------
    name
        Name of the data set: a module of this package.
    folder_out
        Published as a whole at the end: `samples.npy`, `clips.csv`, `dataset.json`.
    source
        Settings of the data set's own (parameter `datasets.<name>.source`).
    archive
        An archive, or the folder it unpacks to, that is already here; None downloads it if need be. It may
        hold a part of the data set, as long as its table lists that part.
    on_bad_file
        "error": any bad file ends the work, and the message names it. "drop": bad files are left out and
        listed in the report.
    seed
        For data sets that are synthesised.
    cache_folder
        Where downloads are kept, and temporary files lie. A download that is there is not repeated.
    sample_rate
        Hz of the store.
    workers
        Processes, by default one per core; the store is bitwise the same whatever their number.
    progress
        Called with (done, total, description).

    Returns
    -------
    dict
        The report: licence, citation, archive, clips per class and fold, durations, rates, dropped files.

    Raises
    ------
    AdvaudioError
        For anything the user can correct. Nothing half-written is left at `folder_out`.
    """
    if on_bad_file not in ("error", "drop"):
        raise AdvaudioError(
            f"The parameter datasets.{name}.on_bad_file is {on_bad_file!r}; it must be error or drop."
        )
    found = find_source(name)
    unknown = sorted(set(source) - set(found.settings))
    if unknown:
        raise AdvaudioError(
            f"The parameter datasets.{name}.source has no {unknown[0]!r}; "
            + (f"it has {', '.join(found.settings)}." if found.settings else "it must be empty.")
        )
    if found.make_clips is not None:
        return _synthesise(name, found, folder_out, source, seed, sample_rate, progress)
    cache_folder = Path(cache_folder)
    path, published = _locate(name, found, source, archive, cache_folder, progress)
    scratch = cache_folder / f"{name}.unpacked"
    with (
        working_alone(cache_folder / f"{name}.lock", progress),
        open_container(path, scratch, progress, ours=published) as container,
    ):
        listed = found.list_clips(container, source) if found.list_clips else pd.DataFrame()
        table = check_table(listed, found, complete=published, name=f"The table of clips in {path.name}")
        bad = _match(container, listed, names_are_unique=found.remote is not None)
        if bad and on_bad_file == "error":
            raise _bad_files(name, bad, container)
        check_two_classes(table, f"The table of clips in {path.name}")
        wanted, table = table, table[table["file"].isin(container.files.keys())]
        rows: list[dict[str, Any]] = []
        with ClipStoreWriter(folder_out, sample_rate) as writer:
            clips = _decoded(container, table["file"].tolist(), sample_rate, workers, progress)
            for row, clip in zip(table.to_dict("records"), clips, strict=True):
                if isinstance(clip, str):
                    bad.append(BadFile(row["file"], clip))
                else:
                    rows.append(_append(writer, row, clip))
            if bad and on_bad_file == "error":
                raise _bad_files(name, bad, container)
            if not rows:
                raise AdvaudioError(
                    f"No clip of the data set {name} is left: {_named(bad)}. Do the names in the table of clips fit "
                    f"the files? They are relative to {container.path}."
                )
            kept = pd.DataFrame(rows)
            _check_no_class_is_lost(name, wanted, kept, bad)
            about = _about_archive(path, published, progress)
            report = build_report(name, found, kept, bad, about)
            write_json(writer.folder / REPORT_FILE, report)
    return report


def _locate(
    name: str,
    source: Source,
    settings: Mapping[str, Any],
    archive: Path | None,
    cache_folder: Path,
    progress: Progress,
) -> tuple[Path, bool]:
    """Archive or folder to read, and whether it is the publisher's own, whole archive."""
    if archive is not None:
        return Path(archive), False
    if source.remote is not None:
        return fetch(source.remote, cache_folder, progress=progress), True
    path = settings.get("path")
    if not path:
        raise AdvaudioError(
            f"The parameter datasets.{name}.source.path is empty; give the folder with the audio files."
        )
    if Path(path).is_file() and Path(path).suffix.lower() in (*TABLES, *EXTENSIONS):
        raise AdvaudioError(
            f"The parameter datasets.{name}.source.path names the file {path}; give the folder with the audio files "
            f"there (such as {Path(path).parent}). The table of clips has a parameter of its own, "
            f"datasets.{name}.source.table."
        )
    if not Path(path).exists():
        raise AdvaudioError(
            f"The folder {path} (parameter datasets.{name}.source.path) is not there. Give the path of the folder "
            f"with the audio files.{relative_hint(path)}"
        )
    return Path(path), False


def _match(container: Container, listed: pd.DataFrame, *, names_are_unique: bool) -> list[BadFile]:
    """Rows without a file, and audio files without a row.

    In a published data set a second file of a clip's name is a copy of it, as in Kaggle's ESC-50 at other rates.
    """
    rows = set(listed["file"])
    copied = (
        {PurePosixPath(file).stem for file in rows & container.files.keys()} if names_are_unique else set()
    )
    audio = audio_names(container.files)
    alike: dict[str, list[str]] = defaultdict(list)
    for file in audio:
        for key in _keys(file):
            alike[key].append(file)
    missing = [
        BadFile(file, _why_missing(file, alike)) for file in listed["file"] if file not in container.files
    ]
    unlisted = [
        BadFile(file, "no row of the table of clips names it")
        for file in audio
        if file not in rows and PurePosixPath(file).stem not in copied
    ]
    return missing + unlisted


def _keys(file: str) -> tuple[str, str]:
    """What tells which file a wrong name may mean: its last part, and that without its extension."""
    name = PurePosixPath(file.lower())
    return f"name {name.name}", f"stem {name.stem}"


def _why_missing(file: str, alike: Mapping[str, list[str]]) -> str:
    """That a file is not there, and which one may be meant."""
    out = (
        ": the name leads out of the folder"
        if file.startswith(("/", "../")) or PureWindowsPath(file).drive
        else ""
    )
    meant = next((alike[key] for key in _keys(file) if key in alike), [])
    return f"{NOT_THERE}{out}, but {meant[0]} is" if len(meant) == 1 else f"{NOT_THERE}{out}"


def _bad_files(name: str, bad: Sequence[BadFile], container: Container) -> AdvaudioError:
    missing = any(reason.startswith(NOT_THERE) for _, reason in bad[:NAMED_IN_ERROR])
    place = f" These names are relative to {container.path}." if missing else ""
    return AdvaudioError(
        f"{len(bad)} bad file{'s' if len(bad) > 1 else ''} in the data set {name}: {_named(bad)}.{place} Correct the "
        f"files or the table, or set datasets.{name}.on_bad_file to drop to go on without them."
    )


def _check_no_class_is_lost(
    name: str, wanted: pd.DataFrame, kept: pd.DataFrame, bad: Sequence[BadFile]
) -> None:
    lost = wanted[~wanted["label"].isin(kept["label"])]
    if lost.empty:
        return
    first = lost["class_name"].iloc[0]
    files = set(lost["file"][lost["class_name"] == first])
    others = lost["class_name"].nunique() - 1
    raise AdvaudioError(
        f"No clip of the class {first!r}{f' (and of {others} more)' if others else ''} of the data set {name} is left, "
        f"since all its files are bad: {_named([entry for entry in bad if entry.file in files])}. Correct them, or "
        "take the class out of the table of clips."
    )


def _named(bad: Sequence[BadFile]) -> str:
    first = "; ".join(f"{file}: {reason}" for file, reason in bad[:NAMED_IN_ERROR])
    return first + (f"; and {len(bad) - NAMED_IN_ERROR} more" if len(bad) > NAMED_IN_ERROR else "")


def _decoded(
    container: Container, files: list[str], sample_rate: int, workers: int | None, progress: Progress
) -> Iterator[Decoded | str]:
    tasks = _tasks([container.files[file] for file in files])
    decode = partial(_decode_task, sample_rate=sample_rate)
    starts = np.cumsum([0, *map(len, tasks)])

    def clips_done(done: int, total: int, description: str) -> None:
        progress(int(starts[done]), len(files), description)

    results = map_ordered(decode, tasks, workers=workers, progress=clips_done, description="decoding clips")
    for chunk in results:
        yield from chunk


def _tasks(files: Sequence[Located]) -> list[list[Located]]:
    """Cut into runs of few files and few bytes, so that what is in flight stays small."""
    tasks: list[list[Located]] = []
    size = 0
    for file in files:
        if not tasks or len(tasks[-1]) == FILES_PER_TASK or size + file.size > BYTES_PER_TASK:
            tasks.append([])
            size = 0
        tasks[-1].append(file)
        size += file.size
    return tasks


def _decode_task(files: list[Located], *, sample_rate: int) -> list[Decoded | str]:
    return [_decode_file(file, sample_rate) for file in files]


def _decode_file(file: Located, sample_rate: int) -> Decoded | str:
    try:
        return decode_audio(file.read(), sample_rate)
    except BadAudio as error:
        return str(error)
    except READ_ERRORS as error:
        # The text of a system error holds the path of this machine.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        return f"it cannot be read ({reason or type(error).__name__})"


def _append(writer: ClipStoreWriter, row: Mapping[Any, Any], clip: Decoded) -> dict[str, Any]:
    about: dict[str, Any] = {
        "clip": row["clip"],
        "label": int(row["label"]),
        "class_name": row["class_name"],
        "fold": int(row["fold"]),
        "source": row["source"],
        "original_sample_rate": clip.original_sample_rate,
        "duration": clip.duration,
    }
    writer.append_encoded(clip.samples, clip.gain, **about)
    return about | {"channels": clip.channels, "encoding": clip.encoding}


def _about_archive(path: Path, published: bool, progress: Progress) -> dict[str, Any] | None:
    if path.is_dir():
        return None
    digest = file_digest(path, "sha256", progress)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest, "downloaded": published}


def _synthesise(
    name: str,
    source: Source,
    folder_out: Path,
    settings: Mapping[str, Any],
    seed: int,
    sample_rate: int,
    progress: Progress,
) -> dict[str, Any]:
    if source.make_clips is None:
        raise ValueError(f"{name} is not synthesised")
    rows: list[dict[str, Any]] = []
    with ClipStoreWriter(folder_out, sample_rate) as writer:
        for clip in source.make_clips(settings, seed):
            about: dict[str, Any] = {
                "clip": clip.clip,
                "label": clip.label,
                "class_name": clip.class_name,
                "fold": clip.fold,
                "source": clip.source,
                "original_sample_rate": clip.sample_rate,
                "duration": len(clip.audio) / clip.sample_rate,
            }
            writer.append(resample(clip.audio, clip.sample_rate, sample_rate), **about)
            rows.append(about)
            progress(len(rows), source.clips or 0, "synthesising clips")
        table = pd.DataFrame(rows)
        check_classes(table, f"The data set {name}")
        report = build_report(name, source, table, [], None)
        write_json(writer.folder / REPORT_FILE, report)
    return report
