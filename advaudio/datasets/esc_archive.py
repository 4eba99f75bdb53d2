"""The archive that ESC-50 and its part ESC-10 come in: where it is, and how its table reads."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advaudio.datasets.archive import Container
from advaudio.datasets.clip_table import read_metadata
from advaudio.datasets.layout import find_clips, find_table
from advaudio.datasets.source import Remote

METADATA = "meta/esc50.csv"
LAYOUT = "meta/esc50.csv beside audio/*.wav as on GitHub, or any other folders in which each clip is once"
COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
CITATION = (
    "K. J. Piczak. ESC: Dataset for Environmental Sound Classification. Proceedings of the 23rd ACM "
    "International Conference on Multimedia, Brisbane, 2015, pp. 1015-1018. doi:10.1145/2733373.2806390"
)
HOMEPAGE = "https://github.com/karolpiczak/ESC-50"
REMOTE = Remote(
    file_name=f"ESC-50-{COMMIT[:12]}.zip",
    addresses=(
        f"https://github.com/karolpiczak/ESC-50/archive/{COMMIT}.zip",
        f"https://codeload.github.com/karolpiczak/ESC-50/zip/{COMMIT}",
    ),
    size=645_832_161,
    hashes={"sha256": "661183a6f53ef04f12c9bd618fed0ddc1713280d6c94a5a5431e844ba6f6a21f"},
    zip_comment=COMMIT,
)


def list_esc_clips(container: Container, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of `meta/esc50.csv`, with the columns that `Source.list_clips` describes and `esc10` (bool)."""
    name, root = find_table(container, METADATA, LAYOUT)
    columns = {"filename": str, "fold": int, "target": int, "category": str, "esc10": bool, "src_file": str}
    rows = read_metadata(container.read(name), columns, name)
    return pd.DataFrame(
        {
            "file": find_clips(container, f"{root}audio/" + rows["filename"], LAYOUT),
            "clip": rows["filename"].str.replace(r"\.wav$", "", regex=True),
            "label": rows["target"],
            "class_name": rows["category"],
            "fold": rows["fold"],
            "source": rows["src_file"],
            "esc10": rows["esc10"],
        }
    )
