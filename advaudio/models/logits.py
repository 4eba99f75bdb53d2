"""Whether a network gives logits: probabilities and outputs that saturate make every attack look weak."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

SUM_TOLERANCE = 1e-3
"""By how much a row of probabilities may miss the sum of one."""
TRIALS, DRAWS = 3, 12
LARGE = 100.0
"""Standard deviation of the last layer's weights in a trial: no output of a plain layer stays small with them."""
SMALL_REACH = 10.0
"""Outputs held within a larger range than this, as by a soft cap at 30, leave a softmax its gradient."""


def are_probabilities(outputs: Tensor, tolerance: float = SUM_TOLERANCE) -> bool:
    """Whether every row of `outputs` (N, classes) is a distribution: nothing below 0, and a sum of 1."""
    sums = outputs.float().sum(1)
    return len(outputs) > 0 and bool((outputs >= 0).all() and ((sums - 1).abs() <= tolerance).all())


@torch.no_grad()
def why_no_logits(model: nn.Module, pictures: Tensor, logits: Tensor) -> tuple[str, str] | None:
    """Say why a network's outputs are no logits, and what to do; None where nothing speaks against it.

    An output that happens to lie in [0, 1] proves nothing, so the last layer's weights are replaced, in passing, by large
    random ones: a plain layer's outputs then become large, those of a softmax or sigmoid stay what they were bound to be.
    Logarithms of probabilities are logits.

    Parameters
    ----------
    model
        In evaluation mode; it is left as it was.
    pictures
        (N, 1, height, width), at least a few.
    logits
        (N, classes): what the model gives for them.
    """
    trials = list(islice(filter(_tells, _with_large_weights(model, pictures)), TRIALS))
    if all(map(are_probabilities, (logits, *trials))):
        return (
            "gives probabilities: its rows are not negative and sum to 1",
            "Training and attacks need logits, and would call it more robust than it is: remove the softmax at its end",
        )
    if len(trials) < TRIALS:
        return None
    lowest, highest = (torch.stack(list(values)) for values in zip(*map(torch.aminmax, trials), strict=True))
    reach = float((highest - lowest).amax())
    fixed = float((highest - highest[0]).abs().amax() + (lowest - lowest[0]).abs().amax()) <= 1e-3 * reach
    at_the_ends = [
        float((((part - low) <= 0.01 * reach) | ((high - part) <= 0.01 * reach)).float().mean())
        for part, low, high in zip(trials, lowest, highest, strict=True)
    ]
    if fixed and reach <= SMALL_REACH and min(at_the_ends) >= 0.9:
        return (
            f"gives outputs that saturate at {float(lowest[0]):.3g} and {float(highest[0]):.3g}",
            "Where they do, gradients vanish, and attacks would call it more robust than it is: remove the sigmoid, tanh "
            "or limit at its end, so that it returns logits",
        )
    return None


def _tells(outputs: Tensor) -> bool:
    """Whether the outputs of a trial are numbers that differ: others say nothing about the network's end."""
    return bool(outputs.isfinite().all()) and bool((outputs != outputs.flatten()[0]).any())


def _with_large_weights(model: nn.Module, pictures: Tensor) -> Iterator[Tensor]:
    layer = _last_layer(model, pictures)
    if layer is None:
        return
    place = next(name for name, module in model.named_modules() if module is layer)
    named = {f"{place}.{key}".lstrip("."): weight for key, weight in layer.named_parameters(recurse=False)}
    generator = torch.Generator().manual_seed(0)
    for _ in range(DRAWS):
        large = {
            key: (LARGE * torch.randn(weight.shape, generator=generator)).to(weight)
            for key, weight in named.items()
        }
        # With its own `tie_weights` it would leave a module that is used twice with the weights of the call.
        output: Tensor = functional_call(model, large, (pictures,), tie_weights=False)
        yield output.float()


def _last_layer(model: nn.Module, pictures: Tensor) -> nn.Module | None:
    """The module with weights of its own that finishes last; None if there are no weights."""
    finished: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        finished.append(module)

    hooks = [
        module.register_forward_hook(note)
        for module in model.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        model(pictures[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return finished[-1] if finished else None
