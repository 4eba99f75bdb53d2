"""UrbanSound8K: 8,732 excerpts of at most 4 s in ten classes and ten folds (Salamon et al. 2014)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from advaudio.datasets.archive import Container
from advaudio.datasets.clip_table import read_metadata
from advaudio.datasets.layout import find_clips, find_table
from advaudio.datasets.source import Remote, Source

METADATA = "metadata/UrbanSound8K.csv"
LAYOUT = (
    "metadata/UrbanSound8K.csv beside audio/fold1/ to audio/fold10/ as published, or any other folders in which "
    "each clip is once"
)


def list_clips(container: Container, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of `metadata/UrbanSound8K.csv`; the recording is the Freesound number `fsID`."""
    name, root = find_table(container, METADATA, LAYOUT)
    columns = {"slice_file_name": str, "fsID": str, "fold": int, "classID": int, "class": str}
    rows = read_metadata(container.read(name), columns, name)
    published = f"{root}audio/fold" + rows["fold"].astype(str) + "/" + rows["slice_file_name"]
    return pd.DataFrame(
        {
            "file": find_clips(container, published, LAYOUT),
            "clip": rows["slice_file_name"].str.replace(r"\.wav$", "", regex=True),
            "label": rows["classID"],
            "class_name": rows["class"],
            "fold": rows["fold"],
            "source": rows["fsID"],
        }
    )


SOURCE = Source(
    title="UrbanSound8K",
    licence="CC BY-NC 3.0; the archive's FREESOUNDCREDITS.txt names the author of each recording",
    citation=(
        "J. Salamon, C. Jacoby and J. P. Bello. A Dataset and Taxonomy for Urban Sound Research. 22nd ACM "
        "International Conference on Multimedia, Orlando, 2014, pp. 1041-1044. doi:10.1145/2647868.2655045"
    ),
    homepage="https://urbansounddataset.weebly.com/urbansound8k.html",
    clips=8_732,
    classes=10,
    folds=10,
    remote=Remote(
        file_name="UrbanSound8K.tar.gz",
        addresses=(
            "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz?download=1",
            "https://zenodo.org/api/records/1203745/files/UrbanSound8K.tar.gz/content",
        ),
        size=6_023_741_708,
        hashes={"md5": "9aa69802bbf37fb986f71ec1483a196e"},
    ),
    list_clips=list_clips,
)
