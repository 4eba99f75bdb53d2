"""When compiling pays, measured in processes of their own."""

from __future__ import annotations

import pytest

from benchmarks.compilation import in_own_process, pays_from


def test_compiling_pays_from_where_both_have_taken_as_long() -> None:
    images = pays_from(2.0, 1000.0, 62.0, 1500.0)
    assert 2 + images / 1000 == pytest.approx(62 + images / 1500)
    assert images == pytest.approx(180_000)


def test_every_epoch_is_timed_in_a_process_of_its_own() -> None:
    seconds = in_own_process("resnet56", "fgsm", "eager", 32, 4, 2, 3, "cpu", 200)
    assert len(seconds) == 4
    assert min(seconds) > 0


def test_a_process_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError, match=r"not done after 0\.1 s"):
        in_own_process("resnet56", "none", "eager", 32, 4, 2, 1, "cpu", 0.1)


def test_a_process_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EOFError):
        in_own_process("no-such-model", "none", "eager", 32, 4, 2, 1, "cpu", 200)
    assert "no-such-model" in capfd.readouterr().err
