"""A page of pictures to look at: four representations of four real sounds, with axes and colour bars.

    python -m benchmarks.representations_gallery --data FOLDER results/representations-gallery.png

FOLDER holds `esc10/audio` and `esc50-16k/audio` with ESC-50's file names.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import soundfile
import soxr
from matplotlib.axes import Axes

from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.representations.append import append
from advaudio.representations.dwt import build_dwt
from advaudio.representations.stft import build_stft
from advaudio.representations.tonnetz import build_tonnetz
from benchmarks.representations_errors import RATE

mpl.use("Agg")
import matplotlib.pyplot as plt

SOUNDS = {
    "dog bark": "esc10/audio/*-A-0.ogg",
    "siren": "esc50-16k/audio/*-A-42.flac",
    "rain": "esc10/audio/*-A-10.ogg",
    "clock tick": "esc10/audio/*-A-38.ogg",
}
REPRESENTATIONS = ("stft", "dwt", "stft_tonnetz", "dwt_tonnetz")


def build(data: Path, folder: Path, number: int) -> list[str]:
    """Build the four representations of the sounds under `folder`; returns the clips' names."""
    names = []
    with ClipStoreWriter(folder / "store", RATE) as writer:
        for label, (sound, pattern) in enumerate(SOUNDS.items()):
            path = sorted(data.glob(pattern))[number]
            audio, rate = soundfile.read(path)
            writer.append(soxr.resample(audio, rate, RATE), clip=path.stem, label=label, class_name=sound)
            names.append(f"{sound}\n{path.stem}")
    store = ClipStore.open(folder / "store")
    build_stft(store, folder / "stft.npy")
    build_dwt(store, folder / "dwt.npy")
    build_tonnetz(store, folder / "tonnetz.npy")
    for name in ("stft", "dwt"):
        append(folder / f"{name}.npy", folder / "tonnetz.npy", folder / f"{name}_tonnetz.npy")
    return names


def draw(axes: Axes, picture: np.ndarray[Any, Any], layout: dict[str, Any]) -> list[Any]:
    """Draw one picture, each section with its own colours, ticks in Hz or names of centroids."""
    first, step = layout["first_column_seconds"], layout["seconds_per_column"]
    left, right = first - step / 2, first + step * (layout["width"] - 0.5)
    images, ticks, labels = [], [], []
    for section in layout["sections"]:
        bottom, top = section["first_row"], section["first_row"] + section["rows"]
        rows = picture[bottom:top]
        placed: dict[str, Any] = {
            "extent": (left, right, bottom, top),
            "origin": "lower",
            "interpolation": "nearest",
        }
        if section["name"] == "spectrogram":
            decibels = (rows - 1) * section["decibels_per_unit"]
            low = -section["decibels_per_unit"]
            image = axes.imshow(decibels, vmin=low, vmax=0, cmap="magma", **placed)
            wanted = (100, 200, 500, 1000, 2000, 4000, 8000)
            frequencies = np.array(section["row_values"])
            for hertz in wanted:
                if frequencies[0] <= hertz <= frequencies[-1]:
                    ticks.append(
                        bottom + float(np.interp(hertz, frequencies, np.arange(len(frequencies)))) + 0.5
                    )
                    labels.append(f"{hertz:,}")
            if len(ticks) > 1 and ticks[1] - ticks[0] < 4:
                ticks, labels = ticks[3:], labels[3:]
        else:
            image = axes.imshow(2 * rows - 1, vmin=-0.5, vmax=0.5, cmap="RdBu_r", **placed)
            names = section["row_values"]
            for name in dict.fromkeys(names):
                ticks.append(bottom + names.index(name) + names.count(name) / 2)
                labels.append(name)
            axes.axhline(bottom, color="white", linewidth=1)
        images.append(image)
    axes.set(xlim=(left, right), ylim=(0, layout["height"]), yticks=ticks, aspect="auto")
    axes.set_yticklabels(labels, fontsize=5.5)
    axes.tick_params(axis="x", labelsize=6)
    return images


def main() -> None:
    """Draw the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--number", type=int, default=3, help="which clip of each sound, in order of names")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    figure, grid = plt.subplots(4, 4, figsize=(16, 15), layout="constrained")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sounds = build(options.data, folder, options.number)
        for column, representation in enumerate(REPRESENTATIONS):
            pictures = np.load(folder / f"{representation}.npy")
            layout = json.loads((folder / f"{representation}.json").read_text(encoding="utf-8"))
            for row, sound in enumerate(sounds):
                axes = grid[row, column]
                images = draw(axes, pictures[row], layout)
                if row == 0:
                    axes.set_title(representation.replace("_", " + "), fontsize=11)
                if column == 0:
                    axes.set_ylabel(f"{sound}\n\nfrequency in Hz", fontsize=8)
                if row == 3:
                    axes.set_xlabel("time in s", fontsize=8)
    spectrogram, centroids = images
    figure.colorbar(spectrogram, ax=grid[:2, 3], label="dB below the clip's maximum", fraction=0.08)
    figure.colorbar(
        centroids, ax=grid[2:, 3], label="tonal centroid, share of its radius", extend="both", fraction=0.08
    )
    figure.savefig(options.output, dpi=100)


if __name__ == "__main__":
    main()
