"""Every attack searches among float32 pictures in [0, 1], whatever the model's bounds and precision are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from advaudio.attack_interface.problem import Model, Problem

GRADIENT_SIZE, TINY = 16.0, 1e-30


@dataclass(frozen=True)
class Scaling:
    """From a caller's model and pictures to what an attack searches in, and back.

    With other bounds than (0, 1) pictures are scaled, so that every setting which is a length is a share of the bounds'
    range. In half precision, steps of a search would vanish in rounding: the model gets every picture rounded to its own
    precision, and its logits are taken as float32. With float32 pictures in [0, 1] nothing is touched.

    Parameters
    ----------
    model
        The caller's.
    pictures
        (N, channels, height, width) float, within `bounds`.
    bounds
        Lowest and highest value of a picture.
    """

    model: Model
    pictures: Tensor
    bounds: tuple[float, float]

    @property
    def same(self) -> bool:
        """Whether an attack can work on the caller's own pictures."""
        return self._unit and not self._low_precision

    @property
    def unit_bounds(self) -> tuple[float, float]:
        """Bounds of the search."""
        return self.bounds if self._unit else (0.0, 1.0)

    @property
    def exact_model(self) -> Model:
        """The model on the caller's pictures, with logits that can be compared."""
        if not self._low_precision:
            return self.model
        return lambda pictures: self.model(pictures.to(self._model_dtype)).float()

    @property
    def unit_model(self) -> Model:
        """The model on pictures of the search."""
        if self.same:
            return self.model
        return (
            self._search_model
            if self._low_precision
            else lambda pictures: self.model(self._caller_scale(pictures))
        )

    def scaled(self, problem: Problem) -> Problem:
        """The caller's problem as an attack searches it, with the same goal and meter."""
        starts = problem.starting_points
        return replace(
            problem,
            model=self.unit_model,
            pictures=self.to_unit(problem.pictures),
            bounds=self.unit_bounds,
            starting_points=None if starts is None else self.to_unit(starts),
        )

    def _search_model(self, pictures: Tensor) -> Tensor:
        """The low-precision model, through which a gradient goes at a size of its own: a small one would become zero."""
        pictures = pictures.view_as(pictures)
        logits = self.exact_model(self._caller_scale(pictures).to(self.pictures.dtype))
        if logits.requires_grad and pictures.requires_grad:
            factors: list[Tensor] = []

            def enlarge(gradient: Tensor) -> Tensor:
                factors[:] = [gradient.abs().amax(1, keepdim=True).clamp_min(TINY) / GRADIENT_SIZE]
                return gradient / factors[0]

            logits.register_hook(enlarge)
            pictures.register_hook(lambda gradient: gradient * factors[0].reshape(-1, 1, 1, 1))
        return logits

    def to_unit(self, pictures: Tensor) -> Tensor:
        """Pictures of the search; NaN stays NaN."""
        if self.same:
            return pictures
        wide = pictures.float() if self._low_precision else pictures
        if self._unit:
            return wide
        return ((wide - self.bounds[0]) / (self.bounds[1] - self.bounds[0])).clamp(0, 1)

    def from_unit(self, found: Tensor) -> Tensor:
        """The caller's pictures; a value that the search left alone is the very same."""
        if self.same:
            return found
        scaled = self._caller_scale(found).clamp(*self.bounds).to(self.pictures.dtype)
        return torch.where(found == self.to_unit(self.pictures), self.pictures, scaled)

    def _caller_scale(self, pictures: Tensor) -> Tensor:
        return pictures if self._unit else pictures * (self.bounds[1] - self.bounds[0]) + self.bounds[0]

    @property
    def _unit(self) -> bool:
        return tuple(self.bounds) == (0, 1)

    @property
    def _low_precision(self) -> bool:
        return any(is_low(dtype) for dtype in (self.pictures.dtype, self._model_dtype))

    @property
    def _model_dtype(self) -> torch.dtype:
        return _only_dtype(self.model) or self.pictures.dtype


def is_low(dtype: torch.dtype) -> bool:
    """Whether this is a float with less than 32 bits."""
    return dtype.is_floating_point and torch.finfo(dtype).bits < 32


def _only_dtype(model: Model) -> torch.dtype | None:
    """The one precision of a module's weights; None if there are several, or it is no module."""
    dtypes = {weight.dtype for weight in model.parameters()} if isinstance(model, nn.Module) else set()
    return dtypes.pop() if len(dtypes) == 1 else None
