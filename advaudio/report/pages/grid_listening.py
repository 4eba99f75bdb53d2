"""Adversarial examples of one cell of many, to listen to; its clips lie in a folder or in DVC's cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import SAMPLES_FILE, TABLE_FILE, ClipStore
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.examples import Example
from advaudio.report.cells.sources import Source, read_json
from advaudio.report.pages.example_blocks import listening_blocks
from advaudio.report.pages.page import Block, Section, Text

LAYOUT = "data/pictures/pictures.json"
CLIPS = "data/augmented"


def listening_section(
    cells: Sequence[Cell], sources: Mapping[str, Source], examples: Mapping[str, Sequence[Example]]
) -> Section | None:
    """Sounds of the first STFT cell that kept examples; None where there is no such cell.

    Raises
    ------
    AdvaudioError
        If its clips are damaged, or not those that were attacked.
    """
    for cell in cells:
        if cell.representation.startswith("stft") and cell.name in sources and examples.get(cell.name):
            blocks = _blocks(sources[cell.name], examples[cell.name])
            return Section("listen", "Listen", [Text(f"From {cell.title}."), *blocks])
    return None


def _blocks(source: Source, examples: Sequence[Example]) -> Sequence[Block]:
    layout = read_json(source, LAYOUT)
    files = {name: source.local(f"{CLIPS}/{name}") for name in (SAMPLES_FILE, TABLE_FILE)}
    if layout is None or None in files.values():
        return [
            Text(
                f"{source.name} has no clips here to listen to ({CLIPS}, {LAYOUT}): `dvc pull` may bring them."
            )
        ]
    # The cache names files by their hash; a clip store knows them by name.
    with TemporaryDirectory() as folder:
        for name, file in files.items():
            (Path(folder) / name).symlink_to(str(file))
        names = read_class_names(Path(folder) / TABLE_FILE)
        return listening_blocks(examples, lambda: ClipStore.open(Path(folder)), layout, names)
