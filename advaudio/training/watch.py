"""Turns the events of folds that train side by side into one progress bar and a stream of epochs."""

from __future__ import annotations

from collections.abc import Callable

from advaudio.core.progress import Progress
from advaudio.training.loop import Epoch, Speed


class Watch:
    """Adds up what all folds have done.

    Parameters
    ----------
    sizes
        (repeat, fold) → greatest number of pictures that it will train on, epochs together.
    progress
        Called with (pictures trained on, pictures in total, "title: loss …, accuracy …, … images/s").
    on_epoch
        Called with every `Epoch`.
    title
        Beginning of the description.
    """

    def __init__(
        self,
        sizes: dict[tuple[int, int], int],
        progress: Progress,
        on_epoch: Callable[[Epoch], None] | None,
        title: str,
    ) -> None:
        self._sizes = sizes
        self._progress = progress
        self._on_epoch = on_epoch
        self._title = title
        self._trained = dict.fromkeys(sizes, 0)
        self._speeds: dict[tuple[int, int], float] = {}
        self._last: Epoch | None = None

    def receive(self, event: Epoch | Speed) -> None:
        """Take one event of a fold."""
        key = (event.repeat, event.fold)
        if isinstance(event, Speed):
            self._trained[key] = event.trained
            self._speeds[key] = event.images_per_second
        else:
            self._last = event
            if self._on_epoch is not None:
                self._on_epoch(event)
        self._report()

    def finish(self, key: tuple[int, int]) -> None:
        """Take note that a fold is done, early stopping included."""
        self._trained[key] = self._sizes[key]
        self._speeds.pop(key, None)
        self._report()

    def _report(self) -> None:
        parts = []
        if self._last is not None:
            parts.append(f"loss {self._last.train_loss:.3f}")
            parts.append(f"validation accuracy {self._last.validation_accuracy:.1%}")
        if self._speeds:
            parts.append(f"{sum(self._speeds.values()):,.0f} images/s")
        description = f"{self._title}: {', '.join(parts)}" if parts else self._title
        self._progress(sum(self._trained.values()), sum(self._sizes.values()), description)
