"""Adversarial examples to look at and to listen to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isinf
from typing import Any

import numpy as np

from advaudio.clips.clip_store import ClipStore
from advaudio.clips.picture_layout import Layout
from advaudio.report.cells.cell import Cell
from advaudio.report.cells.examples import Example, most_fooled, on_original
from advaudio.report.cells.words import NORM_NAMES, attack_name, number
from advaudio.report.pages import figures
from advaudio.report.pages.listening import audible, flac
from advaudio.report.pages.page import Block, Picture, Sound, Sounds, Text

FREQUENCY_TICKS = 5


def example_blocks(
    examples: Sequence[Example], layout: Layout, names: Sequence[str], cell: Cell
) -> list[Block]:
    """Original, adversarial example and difference of each attack."""
    chosen = on_original(examples)
    if not chosen:
        return [Text("No attack fooled the original model on a kept clip.")]
    sizes = {example.attack: _size(example, cell) for example in chosen}
    rows = [
        figures.Pair(
            example.clean,
            example.adversarial,
            f"original: {class_name(names, example.label)}",
            f"{attack_name(example.attack)}: {class_name(names, example.adversarial_label)}",
            f"difference, {sizes[example.attack]}",
        )
        for example in chosen
    ]
    return [
        Text(
            "A kept clip that each attack fooled the original model on, the same for all where possible. The claim "
            "of the paper to check: do they look like their originals? The difference is drawn on a scale of its own."
        ),
        Picture(
            figures.svg(figures.examples(rows, _axes(layout))),
            "Left: the clip. Middle: the adversarial example, and what it is taken for. Right: what changed. "
            "Low frequencies are below" + ("; above the line, the tonnetz." if layout.centroids else "."),
            "Adversarial examples: "
            + "; ".join(
                f"{attack_name(example.attack)} turns {class_name(names, example.label)} into "
                f"{class_name(names, example.adversarial_label)}, {sizes[example.attack]}"
                for example in chosen
            ),
        ),
    ]


def listening_blocks(
    examples: Sequence[Example],
    store: Callable[[], ClipStore],
    layout: Mapping[str, Any],
    names: Sequence[str],
) -> list[Block]:
    """One clip's original and adversarial audio, of both models; words where pictures have no inverse.

    Parameters
    ----------
    store
        Opens the clips; not called where there is nothing to play.
    layout
        Content of the JSON beside the pictures.
    """
    if not layout["representation"].startswith("stft"):
        return [
            Text(
                "Only STFT pictures can be turned back into sound: choose the representation stft or stft_tonnetz "
                "to listen to adversarial examples."
            )
        ]
    sample = most_fooled(examples)
    if sample is None:
        return [Text("No attack fooled a model on a kept clip.")]
    heard = audible([example for example in examples if example.sample == sample], store(), layout)
    original = Sound("original", flac(heard.original, heard.sample_rate))
    blocks: list[Block] = [
        Text(
            "The original's phase with the adversarial picture's magnitude, all at one volume. The signal-to-noise "
            "ratio compares the clip with what was added: 40 dB is hard to hear, at 0 dB the change is as loud as "
            "the clip." + (" Changes of the tonnetz cannot be heard." if len(layout["sections"]) > 1 else "")
        )
    ]
    for attack in dict.fromkeys(example.attack for example, _, _ in heard.adversarial):
        sounds = [
            Sound(
                f"fools the {example.model} model",
                flac(audio, heard.sample_rate),
                f"taken for {class_name(names, example.adversarial_label)}, SNR {_decibels(ratio)}",
            )
            for example, audio, ratio in heard.adversarial
            if example.attack == attack
        ]
        title = f"{attack_name(attack)} on a clip of {class_name(names, heard.adversarial[0][0].label)}"
        blocks.append(Sounds(title, [original, *sounds]))
    return blocks


def class_name(names: Sequence[str], label: int) -> str:
    """A class in words."""
    return names[label].replace("_", " ")


def _decibels(ratio: float) -> str:
    return "without limit: nothing changed" if isinf(ratio) else f"{ratio:.1f} dB".replace("-", "−")


def _size(example: Example, cell: Cell) -> str:
    norm = cell.attacks[example.attack].norm
    return f"{NORM_NAMES[norm] if norm else ''} {number(example.perturbation)}, {example.decibels:.2g} dB RMS"


def _axes(layout: Layout) -> figures.PictureAxes:
    rows = np.linspace(0, len(layout.frequencies) - 1, FREQUENCY_TICKS).round().astype(int)
    ticks = [(float(row) + 0.5, _frequency(layout.frequencies[row])) for row in rows]
    divider = None
    if layout.centroids:
        divider = float(len(layout.frequencies))
        ticks.append((divider + len(layout.centroids) / 2, "tonnetz"))
    return figures.PictureAxes(layout.clip_seconds, ticks, divider)


def _frequency(hertz: float) -> str:
    return f"{hertz / 1000:.1f} kHz" if hertz >= 1000 else f"{hertz:.0f} Hz"
