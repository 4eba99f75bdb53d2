"""Every figure of an attack on both models, with its interval over the recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from advaudio.robustness.draws import Draws
from advaudio.robustness.fooling_curve import Array
from advaudio.robustness.intervals import (
    Interval,
    Recordings,
    percentile_interval,
    quantile_interval,
    rate_interval,
    ratio_interval,
)

RATIOS = ("rho", "rho_equal_shares", "rho_common", "mean_perturbation", "robust_mean_perturbation")
"""Means and ratios of means: positive, and skewed."""
QUANTILES = {"epsilon_90": "original", "robust_epsilon_90": "robust"}
RATES = {
    "fooling_rate": "original",
    "robust_fooling_rate": "robust",
    "robust_fooling_rate_under_bound": "robust",
}
"""Shares of the clips of a model."""


@dataclass(frozen=True)
class Pair:
    """Perturbations of the same clips on both models, (clips,): NaN where the model is wrong without an attack.

    Parameters
    ----------
    original, robust
        Infinity where the attack failed.
    recordings
        Of the clips, which stand in its order.
    threshold
        Fooling rate that defines ε₉₀ and the bound.
    auc_epsilon_factor
        The area under the curves ends at the bound times this.
    """

    original: Array
    robust: Array
    recordings: Recordings
    threshold: float
    auc_epsilon_factor: float

    def figures(self, weights: Array) -> dict[str, Array]:
        """Each figure (see `headline`) of draws with these weights of the clips: (draws,)."""
        before, after = self._draws("original", weights), self._draws("robust", weights)
        bound = before.epsilon_at(self.threshold)
        end = bound * self.auc_epsilon_factor
        share = np.minimum(before.fooling_rate(), after.fooling_rate())
        known = self._known("original") & self._known("robust")
        common_before, common_after = (
            Draws(values[known], weights[:, known]) for values in (self.original, self.robust)
        )
        common_share = np.minimum(common_before.fooling_rate(), common_after.fooling_rate())
        return {
            "fooling_rate": before.fooling_rate(),
            "auc": before.area_under_curve(end),
            "epsilon_90": bound,
            "mean_perturbation": before.mean_perturbation(),
            "robust_fooling_rate": after.fooling_rate(),
            "robust_auc": after.area_under_curve(end),
            "robust_epsilon_90": after.epsilon_at(self.threshold),
            "robust_mean_perturbation": after.mean_perturbation(),
            "robust_fooling_rate_under_bound": after.fooling_rate(bound),
            "rho": _over(after.mean_perturbation(), before.mean_perturbation()),
            "rho_equal_shares": _over(after.mean_of_easiest(share), before.mean_of_easiest(share)),
            "rho_median": _over(after.median(), before.median()),
            "rho_common": _over(
                common_after.mean_of_easiest(common_share), common_before.mean_of_easiest(common_share)
            ),
        }

    def errors(self, weights: Array) -> dict[str, Array]:
        """Linear standard error of the logarithm of each of `RATIOS`, (draws,)."""
        before, after = self._draws("original", weights), self._draws("robust", weights)
        share = np.minimum(before.fooling_rate(), after.fooling_rate())
        both = self._known("original") & self._known("robust")
        drawn = weights[:, both]
        common_before, common_after = Draws(self.original[both], drawn), Draws(self.robust[both], drawn)
        common_share = np.minimum(common_before.fooling_rate(), common_after.fooling_rate())
        one = self._spread(before.influence(), self._known("original"))
        other = self._spread(after.influence(), self._known("robust"))
        trimmed = self._spread(after.influence(share), self._known("robust"))
        trimmed -= self._spread(before.influence(share), self._known("original"))
        common = common_after.influence(common_share) - common_before.influence(common_share)
        influences = {
            "mean_perturbation": one,
            "robust_mean_perturbation": other,
            "rho": other - one,
            "rho_equal_shares": trimmed,
            "rho_common": self._spread(common, both),
        }
        return {name: self.recordings.standard_error(moved, weights) for name, moved in influences.items()}

    def intervals(
        self, values: Mapping[str, float | None], *, samples: int, seed: int
    ) -> dict[str, Interval | None]:
        """95 % interval of each of `values`, None where the value is None or the clips are too few.

        Parameters
        ----------
        samples, seed
            Number of draws of the recordings, and their seed.

        Raises
        ------
        AdvaudioError
            Without a sample.
        """
        found: dict[str, Interval | None] = dict.fromkeys(values)
        known = {name: value for name, value in values.items() if value is not None}
        if self.recordings.count < 2:
            return found

        def draws() -> Iterator[Array]:
            return self.recordings.draws(samples, seed)

        drawn = _gathered(self.figures, draws())
        errors = _gathered(self.errors, draws())
        left_out = _gathered(self.figures, self.recordings.left_out())
        for name, value in known.items():
            if name in RATES:
                clips = self._known(RATES[name])
                found[name] = rate_interval(value, drawn[name], int(clips.sum()), self._recordings(clips))
            elif name in QUANTILES:
                model = QUANTILES[name]
                clips = self._known(model)
                own = getattr(self, model)[clips]
                rates = np.concatenate([self._draws(model, block).fooling_rate(value) for block in draws()])
                found[name] = quantile_interval(own, value, rates, self._recordings(clips))
            elif name in RATIOS:
                found[name] = ratio_interval(
                    value, drawn[name], errors[name], left_out[name], self.recordings.count
                )
            else:
                found[name] = percentile_interval(drawn[name], self.recordings.count)
        return found

    def _known(self, model: str) -> Array:
        values: Array = getattr(self, model)
        return ~np.isnan(values)

    def _draws(self, model: str, weights: Array) -> Draws:
        known = self._known(model)
        values: Array = getattr(self, model)
        return Draws(values[known], weights[:, known])

    def _recordings(self, clips: Array) -> int:
        return len(np.unique(self.recordings.codes[clips]))

    def _spread(self, influence: Array, clips: Array) -> Array:
        """The influence of some clips among all: 0 for the others."""
        whole = np.zeros((len(influence), len(clips)))
        whole[:, clips] = influence
        return whole


def _over(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN where there is none: over 0, or of two infinite ones."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _gathered(figures: Callable[[Array], dict[str, Array]], blocks: Iterator[Array]) -> dict[str, Array]:
    parts = [figures(block) for block in blocks]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
