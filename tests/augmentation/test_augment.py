"""Augmented stores: rows, originals, gains, and sameness whatever the number of processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advaudio.augmentation.augment import augment
from advaudio.augmentation.pitch_shift import pitch_shift
from advaudio.clips.clip_store import ClipStore, ClipStoreWriter
from advaudio.core.errors import AdvaudioError

SCALES = [0.75, 0.9, 1.15, 1.5]


def store(folder: Path, clips: int = 40) -> ClipStore:
    random = np.random.default_rng(0)
    with ClipStoreWriter(folder) as writer:
        for number in range(clips):
            samples = int(random.integers(500, 9_000))
            audio = random.standard_normal(samples) * 10.0 ** random.uniform(-4, 0)
            writer.append(
                audio,
                clip=f"c{number}",
                label=number % 4,
                class_name=f"k{number % 4}",
                fold=1 + number % 5,
                source=f"s{number // 3}",
                original_sample_rate=44_100,
                duration=samples / 22_050,
            )
    return ClipStore.open(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_rows_and_audio(tmp_path: Path) -> None:
    original = store(tmp_path / "clips")
    augment(tmp_path / "clips", tmp_path / "augmented", scales=SCALES, workers=1)
    augmented = ClipStore.open(tmp_path / "augmented")
    assert len(augmented) == 5 * len(original)
    table = augmented.table
    assert table["scale"].tolist() == [1.0, *SCALES] * len(original)
    kept = ["clip", "label", "class_name", "fold", "source", "length", "original_sample_rate", "duration"]
    for copy in range(5):
        rows = table.iloc[copy::5].reset_index(drop=True)
        assert rows[kept].equals(original.table[kept])
    for row in range(len(original)):
        samples, gain = augmented.encoded(5 * row)
        np.testing.assert_array_equal(samples, original.encoded(row)[0])
        assert gain == original.encoded(row)[1]
        for copy, shifted in enumerate(pitch_shift(original.audio(row), SCALES), start=1):
            found = augmented.audio(5 * row + copy)
            assert np.abs(found - shifted).max() <= np.abs(shifted).max() / 60_000


def test_nothing_is_clipped(tmp_path: Path) -> None:
    store(tmp_path / "clips")
    augment(tmp_path / "clips", tmp_path / "augmented", scales=SCALES, workers=1)
    augmented = ClipStore.open(tmp_path / "augmented")
    for row in range(len(augmented)):
        samples, _ = augmented.encoded(row)
        assert np.count_nonzero(np.abs(samples.astype(int)) == 32_767) <= 2


def test_bitwise_the_same_with_any_number_of_processes(tmp_path: Path) -> None:
    store(tmp_path / "clips")
    for workers in (1, 2, 3):
        augment(tmp_path / "clips", tmp_path / f"with{workers}", scales=SCALES, workers=workers)
    assert content(tmp_path / "with1") == content(tmp_path / "with2") == content(tmp_path / "with3")


def test_progress_counts_clips(tmp_path: Path) -> None:
    store(tmp_path / "clips")
    seen: list[tuple[int, int]] = []
    augment(
        tmp_path / "clips",
        tmp_path / "augmented",
        scales=[0.9],
        workers=1,
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert seen[-1] == (40, 40)
    assert seen == sorted(seen)


def test_no_scales_copies_the_store(tmp_path: Path) -> None:
    store(tmp_path / "clips")
    augment(tmp_path / "clips", tmp_path / "augmented", scales=[], workers=1)
    assert content(tmp_path / "augmented") == content(tmp_path / "clips")


@pytest.mark.parametrize(
    ("scales", "says"), [([1.0], "always included"), ([9.0], "between 0.25 and 4.0"), ([0.9, 0.9], "twice")]
)
def test_bad_scales(scales: list[float], says: str, tmp_path: Path) -> None:
    store(tmp_path / "clips", clips=2)
    with pytest.raises(AdvaudioError, match=says):
        augment(tmp_path / "clips", tmp_path / "augmented", scales=scales)
    assert not (tmp_path / "augmented").exists()


def test_an_augmented_store_is_refused(tmp_path: Path) -> None:
    store(tmp_path / "clips", clips=2)
    augment(tmp_path / "clips", tmp_path / "augmented", scales=[0.9], workers=1)
    with pytest.raises(AdvaudioError, match="augmented already"):
        augment(tmp_path / "augmented", tmp_path / "again", scales=[0.9])


def test_tasks_do_not_grow_with_the_clips(tmp_path: Path) -> None:
    from advaudio.augmentation.augment import CLIPS_PER_TASK, SAMPLES_PER_TASK, _tasks

    for lengths in ([10] * 1000, [3 * SAMPLES_PER_TASK] * 5, [SAMPLES_PER_TASK // 3] * 10, [1]):
        tasks = _tasks(lengths)
        assert [row for task in tasks for row in task] == list(range(len(lengths)))
        for task in tasks:
            assert len(task) <= CLIPS_PER_TASK
            assert len(task) == 1 or sum(lengths[row] for row in task) <= SAMPLES_PER_TASK
