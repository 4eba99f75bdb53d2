"""ESC-50: 2,000 environmental recordings of 5 s in 50 classes and 5 folds (Piczak 2015)."""

from advaudio.datasets.esc_archive import CITATION, HOMEPAGE, REMOTE, list_esc_clips
from advaudio.datasets.source import Source

SOURCE = Source(
    title="ESC-50",
    licence="CC BY-NC 3.0 (each clip: see LICENSE in the archive)",
    citation=CITATION,
    homepage=HOMEPAGE,
    clips=2_000,
    classes=50,
    folds=5,
    remote=REMOTE,
    list_clips=list_esc_clips,
)
