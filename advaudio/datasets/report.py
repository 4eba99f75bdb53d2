"""The report that lies beside a clip store: what was found in the data set, and under which licence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from advaudio.datasets.source import Source


def build_report(
    name: str,
    source: Source,
    found: pd.DataFrame,
    dropped: Iterable[tuple[str, str]],
    archive: dict[str, Any] | None,
) -> dict[str, Any]:
    """Summarise a data set; nothing in the summary depends on the machine or the time.

    Parameters
    ----------
    name, source
        Of the data set.
    found
        One row per clip kept: `label`, `class_name`, `fold`, `source`, `duration` (s),
        `original_sample_rate` (Hz), and for decoded files `channels` and `encoding`.
    dropped
        (file, reason) of the bad files left out.
    archive
        Name, bytes and sha256 of the archive, and whether it is the publisher's; None for a folder.
    """
    dropped = list(dropped)
    durations = found["duration"]
    folds = found["fold"][found["fold"] > 0]
    report: dict[str, Any] = {
        "data_set": name,
        "title": source.title,
        "licence": source.licence,
        "citation": source.citation,
        "homepage": source.homepage,
        "archive": archive,
        "clips": len(found),
        "published_clips": source.clips,
        "recordings": int(found["source"].nunique()),
        "clips_per_class": {
            str(class_name): len(clips) for (_, class_name), clips in found.groupby(["label", "class_name"])
        },
        "clips_per_fold": _counts(folds),
        "seconds": {
            "total": round(float(durations.sum()), 3),
            "shortest": round(float(durations.min()), 6),
            "median": round(float(durations.median()), 6),
            "longest": round(float(durations.max()), 6),
        },
        "clips_per_sample_rate": _counts(found["original_sample_rate"]),
    }
    for column in ("channels", "encoding"):
        if column in found.columns:
            report[f"clips_per_{column}"] = _counts(found[column])
    report["dropped_clips"] = len(dropped)
    report["dropped"] = [{"file": file, "reason": reason} for file, reason in dropped]
    return report


def _counts(values: pd.Series[Any]) -> dict[str, int]:
    return {str(value): int(count) for value, count in values.value_counts().sort_index().items()}
