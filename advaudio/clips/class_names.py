"""Names of the classes, in the order of their labels."""

from __future__ import annotations

from pathlib import Path

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import read_csv


def read_class_names(clips: Path) -> list[str]:
    """Read the class names from a table of clips (`clips.csv`); position = label.

    Raises
    ------
    AdvaudioError
        If the table cannot be read, or its labels are not 0, 1, 2, …
    """
    columns = {"label": int, "class_name": str}
    table = read_csv(clips, usecols=list(columns), dtype=columns, keep_default_na=False)
    names = table.drop_duplicates().sort_values("label")
    if names["label"].tolist() != list(range(len(names))):
        raise AdvaudioError(
            f"The labels in {clips} are not 0, 1, 2, … with one class name each. Run `dvc repro download`."
        )
    return [str(name) for name in names["class_name"]]
