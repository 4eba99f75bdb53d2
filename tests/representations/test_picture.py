"""Decibels, [0, 1] and the antialiased resize, against their formulas and PyTorch's own resize."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advaudio.core.errors import AdvaudioError
from advaudio.representations.picture import check_size, decibel_picture, resize, row_centres, unit_picture


def test_decibels_below_the_maximum_of_each_clip() -> None:
    power = np.array([[[1.0, 1e-2], [1e-4, 1e-9]], [[500.0, 5.0], [0.05, 0.0]]], dtype=np.float32)
    expected = [[[1.0, 0.75], [0.5, 0.0]], [[1.0, 0.75], [0.5, 0.0]]]
    np.testing.assert_allclose(decibel_picture(power, 80.0), expected, atol=1e-6)


def test_silence_is_zero() -> None:
    power = np.zeros((2, 3, 4), dtype=np.float32)
    power[1, 0, 0] = 1
    picture = decibel_picture(power, 80.0)
    assert (picture[0] == 0).all()
    assert picture[1, 0, 0] == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_level_does_not_matter(scale: float) -> None:
    power = np.random.default_rng(0).random((1, 5, 7)).astype(np.float32)
    np.testing.assert_allclose(
        decibel_picture(power * np.float32(scale), 60.0), decibel_picture(power, 60.0), atol=1e-6
    )


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1025, 216), (128, 128)),
        ((128, 332), (18, 24)),
        ((6, 216), (6, 24)),
        ((5, 7), (11, 20)),
        ((9, 9), (9, 4)),
    ],
)
def test_resize_is_pytorchs_antialiased_bilinear(source: tuple[int, int], size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).random((2, *source)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(picture)[:, None], size=size, mode="bilinear", antialias=True
    )[:, 0]
    np.testing.assert_allclose(resize(picture, size), expected.numpy(), atol=2e-6)


def test_box_rows_repeat_or_average() -> None:
    rows = np.array([[[1.0], [2.0], [4.0]]], dtype=np.float32)
    assert resize(rows, (6, 1), rows="box")[0, :, 0].tolist() == [1, 1, 2, 2, 4, 4]
    assert resize(rows, (7, 1), rows="box")[0, :, 0].tolist() == [1, 1, 2, 2, 2, 4, 4]
    np.testing.assert_allclose(resize(rows, (2, 1), rows="box")[0, :, 0], [4 / 3, 10 / 3], rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    source=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
)
def test_a_unit_picture_stays_in_range_and_keeps_constants(
    source: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    picture = np.round(np.random.default_rng(seed).random(source)).astype(np.float32)
    resized = unit_picture(picture, size)
    assert resized.shape == size
    assert resized.dtype == np.float32
    assert resized.min() >= picture.min() - 1e-6
    assert 0 <= resized.min() <= resized.max() <= 1
    np.testing.assert_allclose(resize(np.full(source, 0.3, np.float32), size), 0.3, rtol=1e-6)


def test_row_centres() -> None:
    assert row_centres(np.array([0.0, 10.0, 20.0, 30.0]), 2) == pytest.approx([5.0, 25.0])
    assert row_centres(np.array([100.0, 400.0]), 4) == pytest.approx([100, 100 * 2**0.5, 200 * 2**0.5, 400])


@pytest.mark.parametrize("size", [(0, 4), (4,), (4, 2.5), (3, -1)])
def test_a_size_that_is_none(size: tuple[int, ...]) -> None:
    with pytest.raises(AdvaudioError, match="spectrogram_size"):
        check_size(size, "spectrogram_size")  # type: ignore[arg-type]
