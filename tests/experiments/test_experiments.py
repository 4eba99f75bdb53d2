"""Experiments by name, whatever commit they started from."""

from types import SimpleNamespace

from experiments.revisions import _known

OLD, NEW = "a" * 40, "b" * 40


def test_a_name_on_two_commits_is_of_the_present_one_and_the_other_is_told_apart() -> None:
    listed = {OLD: [("stft", "1"), ("old", "2")], NEW: [("stft", "3")]}
    for order in (listed, dict(reversed(listed.items()))):
        repo = SimpleNamespace(
            experiments=SimpleNamespace(ls=lambda all_commits, order=order: order),
            scm=SimpleNamespace(get_rev=lambda: NEW),
        )
        assert _known(repo) == {"stft": "3", "stft@aaaaaaa": "1", "old": "2"}
