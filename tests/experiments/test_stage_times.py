"""Seconds of stages, from lines as DVC says them."""

from experiments.sweep.stage_times import stage_seconds

LOG = """\
2026-01-01T10:00:00.000 $ dvc exp run --name cell
2026-01-01T10:00:01.000 Stage 'stft' is cached - skipping run, checking out outputs
2026-01-01T10:00:02.000 Running stage 'train':
2026-01-01T10:00:02.500 > python -m stages.train
2026-01-01T10:00:04.500 Updating lock file 'dvc.lock'
2026-01-01T10:00:09.000 Running stage 'attack@cwa':
2026-01-01T10:00:12.000 half way
2026-01-01T11:00:00.000 $ dvc exp run --name cell
a line without a time
2026-01-01T11:00:01.000 Stage 'train' is cached - skipping run, checking out outputs
2026-01-01T11:00:02.000 Running stage 'attack@cwa':
2026-01-01T11:00:06.000 Ran experiment(s): cell
"""


def test_attempts_add_up_and_the_time_between_them_does_not_count() -> None:
    assert stage_seconds(LOG.splitlines()) == {"train": 2.5, "attack@cwa": 3.0 + 4.0}
