"""Names of the classes, in the order of their labels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from advaudio.errors import AdvaudioError


def read_class_names(clips: Path) -> list[str]:
    """Read the class names from a table of clips (`clips.csv`); position = label.

    Raises
    ------
    AdvaudioError
        If the table cannot be read, or its labels are not 0, 1, 2, …
    """
    try:
        table = pd.read_csv(
            clips, usecols=["label", "class_name"], dtype={"class_name": str}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise AdvaudioError(
            f"Could not read the table of clips {clips}: {error}. Run `dvc repro download`."
        ) from error
    names = table.drop_duplicates().sort_values("label")
    if names["label"].tolist() != list(range(len(names))):
        raise AdvaudioError(
            f"The labels in {clips} are not 0, 1, 2, … with one class name each. Run `dvc repro download`."
        )
    return [str(name) for name in names["class_name"]]
