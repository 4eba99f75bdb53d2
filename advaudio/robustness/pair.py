"""Every figure of an attack on both models, with its interval over the recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

RATIOS = {
    "mean_perturbation": ("original",),
    "robust_mean_perturbation": ("robust",),
    "rho": ("original", "robust"),
    "rho_equal_shares": ("original", "robust"),
    "rho_common": ("original", "robust"),
}
"""Means and ratios of means, positive and skewed, with the models that they are of."""
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
        return self._drawn(weights).figures(self.threshold, self.auc_epsilon_factor)

    def errors(self, weights: Array) -> dict[str, Array]:
        """Linear standard error of the logarithm of each of `RATIOS`, (draws,)."""
        return self._errors(self._drawn(weights), weights)

    def drawn(self, samples: int, seed: int, epsilons: Mapping[str, float]) -> Drawn:
        """All figures of so many draws of the recordings.

        Parameters
        ----------
        epsilons
            Model to the ε within which its fooling rate in each draw is wanted.

        Raises
        ------
        AdvaudioError
            Without a sample.
        """
        parts = []
        for weights in self.recordings.draws(samples, seed):
            both = self._drawn(weights)
            rates = {model: getattr(both, model).fooling_rate(epsilon) for model, epsilon in epsilons.items()}
            figures = both.figures(self.threshold, self.auc_epsilon_factor)
            parts.append((figures, self._errors(both, weights), rates))
        figures, errors, rates = (_joined([part[place] for part in parts]) for place in range(3))
        return Drawn(figures, errors, rates)

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
        if self.recordings.count < 2:
            return dict.fromkeys(values)
        known = {QUANTILES[name]: value for name, value in values.items() if name in QUANTILES}
        epsilons = {model: value for model, value in known.items() if value is not None}
        return self.intervals_from(self.drawn(samples, seed, epsilons), values)

    def intervals_from(self, drawn: Drawn, values: Mapping[str, float | None]) -> dict[str, Interval | None]:
        """The same from draws that are there."""
        left_out = _joined([self.figures(weights) for weights in self.recordings.left_out()])
        recordings = {model: self._recordings(model) for model in ("original", "robust")}
        found: dict[str, Interval | None] = {}
        for name, value in values.items():
            figures = drawn.figures[name]
            if value is None:
                found[name] = None
            elif name in RATES:
                model = RATES[name]
                found[name] = rate_interval(value, figures, int(self._known(model).sum()), recordings[model])
            elif name in QUANTILES:
                model = QUANTILES[name]
                own: Array = getattr(self, model)[self._known(model)]
                found[name] = quantile_interval(own, value, drawn.rates[model], recordings[model])
            elif name in RATIOS:
                fewest = min(recordings[model] for model in RATIOS[name])
                found[name] = ratio_interval(value, figures, drawn.errors[name], left_out[name], fewest)
            else:
                found[name] = percentile_interval(figures, min(recordings.values()))
        return found

    def _recordings(self, model: str) -> int:
        return len(np.unique(self.recordings.codes[self._known(model)]))

    def _drawn(self, weights: Array) -> _BothModels:
        before, after = self._known("original"), self._known("robust")
        both = before & after
        common = np.compress(both, weights, axis=1)
        return _BothModels(
            original=Draws(self.original[before], np.compress(before, weights, axis=1)),
            robust=Draws(self.robust[after], np.compress(after, weights, axis=1)),
            common_original=Draws(self.original[both], common),
            common_robust=Draws(self.robust[both], common),
        )

    def _errors(self, drawn: _BothModels, weights: Array) -> dict[str, Array]:
        before, after = self._known("original"), self._known("robust")
        share, common_share = drawn.share(), drawn.common_share()
        one = _spread(drawn.original.influence(), before)
        other = _spread(drawn.robust.influence(), after)
        equal = _spread(drawn.robust.influence(share), after) - _spread(
            drawn.original.influence(share), before
        )
        common = drawn.common_robust.influence(common_share) - drawn.common_original.influence(common_share)
        influences = {
            "mean_perturbation": one,
            "robust_mean_perturbation": other,
            "rho": other - one,
            "rho_equal_shares": equal,
            "rho_common": _spread(common, before & after),
        }
        return {name: self.recordings.standard_error(moved, weights) for name, moved in influences.items()}

    def _known(self, model: str) -> Array:
        values: Array = getattr(self, model)
        return ~np.isnan(values)


@dataclass(frozen=True)
class Drawn:
    """Figures by name, linear errors of the logarithms of `RATIOS`, fooling rates by model: each (draws,)."""

    figures: Mapping[str, Array]
    errors: Mapping[str, Array]
    rates: Mapping[str, Array]


@dataclass(frozen=True)
class _BothModels:
    """The clips that each model has right, and those that both have, in the same draws."""

    original: Draws
    robust: Draws
    common_original: Draws
    common_robust: Draws

    def share(self) -> Array:
        """The smaller of both fooling rates."""
        return np.minimum(self.original.fooling_rate(), self.robust.fooling_rate())

    def common_share(self) -> Array:
        """The same of the common clips."""
        return np.minimum(self.common_original.fooling_rate(), self.common_robust.fooling_rate())

    def figures(self, threshold: float, auc_epsilon_factor: float) -> dict[str, Array]:
        """See `Pair.figures`."""
        before, after, share, common = self.original, self.robust, self.share(), self.common_share()
        bound = before.epsilon_at(threshold)
        end = bound * auc_epsilon_factor
        return {
            "fooling_rate": before.fooling_rate(),
            "auc": before.area_under_curve(end),
            "epsilon_90": bound,
            "mean_perturbation": before.mean_perturbation(),
            "robust_fooling_rate": after.fooling_rate(),
            "robust_auc": after.area_under_curve(end),
            "robust_epsilon_90": after.epsilon_at(threshold),
            "robust_mean_perturbation": after.mean_perturbation(),
            # Where a draw has no bound, it is infinite: then everything that is ever fooled is within it.
            "robust_fooling_rate_under_bound": after.fooling_rate(bound),
            "rho": _over(after.mean_perturbation(), before.mean_perturbation()),
            "rho_equal_shares": _over(after.mean_of_easiest(share), before.mean_of_easiest(share)),
            "rho_median": _over(after.median(), before.median()),
            "rho_common": _over(
                self.common_robust.mean_of_easiest(common), self.common_original.mean_of_easiest(common)
            ),
        }


def _spread(influence: Array, clips: Array) -> Array:
    """The influence (draws, some clips) among all clips: 0 for the others."""
    whole = np.zeros((len(influence), len(clips)))
    whole[:, clips] = influence
    return whole


def _over(numerator: Array, denominator: Array) -> Array:
    """Quotient, NaN where there is none: over 0, or of two infinite ones."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator > 0, numerator / denominator, np.nan)


def _joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
