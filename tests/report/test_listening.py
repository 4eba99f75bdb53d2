"""Adversarial audio: what is heard is the picture's change, and nothing else."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile

from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array, read_json
from advaudio.report.cells.examples import Example
from advaudio.report.pages.listening import audible, flac, listening, signal_to_noise
from advaudio.representations.stft import build_stft, pictures

RATE, SECONDS = 16_000, 0.7
NAMES = ["dog_bark", "siren"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClipStore, dict[str, Any], np.ndarray[Any, Any]]:
    """A store of two clips of different loudness and length, the layout and the STFT pictures of them."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(0)
    with ClipStoreWriter(folder / "store", RATE) as writer:
        for label, (name, seconds, level) in enumerate([("a", 0.5, 0.01), ("b", 0.9, 0.9)]):
            time = np.arange(int(seconds * RATE)) / RATE
            audio = np.sin(2 * np.pi * 700 * time) + 0.1 * generator.standard_normal(len(time))
            writer.append(
                level * audio / np.abs(audio).max(), clip=name, label=label, class_name=NAMES[label]
            )
    store = ClipStore.open(folder / "store")
    path = folder / "stft.npy"
    build_stft(store, path, size=(32, 24), clip_seconds=SECONDS, sample_rate=RATE, n_fft=512, hop_length=128)
    return store, read_json(path.with_suffix(".json")), np.asarray(open_array(path))


def _example(clean: np.ndarray[Any, Any], change: float, sample: int = 1, model: str = "original") -> Example:
    return Example(
        attack="bim_a",
        model=model,
        sample=sample,
        label=1,
        adversarial_label=0,
        clean=clean,
        adversarial=clean + np.float32(change),
        perturbation=abs(change),
        decibels=80 * abs(change),
    )


@pytest.mark.parametrize("sample", [0, 1])
def test_unchanged_picture_gives_the_original_sound(made: Any, sample: int) -> None:
    store, layout, clean = made
    heard = audible([_example(clean[sample], 0.0, sample)], store, layout)
    (_, sound, ratio), *_ = heard.adversarial
    # float32 pictures: the rest is rounding, far below 16 bits.
    assert ratio > 90
    np.testing.assert_allclose(sound, heard.original, atol=1e-4)
    assert len(heard.original) == round(SECONDS * RATE)
    assert np.abs(heard.original).max() == pytest.approx(0.89, abs=0.01)


@pytest.mark.parametrize("decibels", [-6.0, 6.0])
def test_lighter_picture_is_louder_by_as_many_decibels(made: Any, decibels: float) -> None:
    store, layout, clean = made
    heard = audible([_example(clean[1], decibels / 80)], store, layout)
    (_, sound, ratio), *_ = heard.adversarial
    gain = 20 * np.log10(np.std(sound) / np.std(heard.original))
    assert gain == pytest.approx(decibels, abs=0.01)
    expected = -20 * np.log10(abs(10 ** (decibels / 20) - 1))
    assert ratio == pytest.approx(expected, abs=0.01)
    assert np.abs(sound).max() < 0.9


def test_changed_sound_has_the_changed_picture(made: Any) -> None:
    store, layout, clean = made
    example = _example(clean[1], 0.0)
    adversarial = clean[1].copy()
    adversarial[8:16] -= 0.1
    heard = audible([replace(example, adversarial=adversarial)], store, layout)
    (_, sound, _), *_ = heard.adversarial
    again = pictures(sound, size=(32, 24), n_fft=512, hop_length=128)
    assert np.abs(again - adversarial).mean() < 0.5 * np.abs(clean[1] - adversarial).mean()


def test_clip_of_another_picture_is_refused(made: Any) -> None:
    store, layout, clean = made
    with pytest.raises(AdvaudioError, match="not the one that was attacked"):
        audible([_example(clean[0], 0.01, sample=1)], store, layout)


def test_flac_keeps_sixteen_bits_and_is_the_same_bytes_again() -> None:
    audio = np.random.default_rng(1).uniform(-0.8, 0.8, 4000).astype(np.float32)
    content = flac(audio, RATE)
    assert content == flac(audio, RATE)
    back, rate = soundfile.read(io.BytesIO(content))
    assert rate == RATE
    np.testing.assert_allclose(back, audio, atol=1 / 32768)


def test_signal_to_noise() -> None:
    signal = np.ones(10)
    assert signal_to_noise(signal, signal * 1.1) == pytest.approx(20)
    assert signal_to_noise(signal, signal) == float("inf")


def test_both_models_of_the_clip_that_was_fooled_most_are_heard(made: Any) -> None:
    store, layout, clean = made
    examples = [
        _example(clean[0], 0.02, sample=0),
        _example(clean[1], 0.01),
        _example(clean[1], 0.05, model="robust"),
    ]
    heard = listening(examples, lambda: store, layout, NAMES)
    assert heard.silent == ""
    assert (heard.class_name, heard.tonnetz) == ("siren", False)
    recordings = heard.attacks["bim_a"]
    assert [(one.model, one.taken_for) for one in recordings] == [
        ("original", "dog bark"),
        ("robust", "dog bark"),
    ]
    assert recordings[0].ratio > recordings[1].ratio
    sounds = [soundfile.read(io.BytesIO(content))[0] for content in (heard.original, recordings[0].flac)]
    assert len(sounds[0]) == len(sounds[1]) == round(SECONDS * RATE)
    assert np.abs(sounds[0] - sounds[1]).max() > 1e-3


def test_other_representations_say_why_there_is_nothing_to_hear(made: Any) -> None:
    _, layout, clean = made

    def store() -> ClipStore:
        raise AssertionError("the clips must not be read")

    dwt = {**layout, "representation": "dwt_tonnetz"}
    assert listening([_example(clean[1], 0.01)], store, dwt, NAMES).silent == "no inverse"
    assert listening([], store, layout, NAMES).silent == "never fooled"


def test_clips_are_read_one_at_a_time(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store, layout, clean = made
    rows: list[int] = []
    read = ClipStore.encoded

    def counted(self: ClipStore, row: int) -> Any:
        rows.append(row)
        return read(self, row)

    monkeypatch.setattr(ClipStore, "encoded", counted)
    listening([_example(clean[1], 0.01)], lambda: store, layout, NAMES)
    assert rows == [1]
