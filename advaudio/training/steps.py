"""A whole training step, gradient and optimiser: run as it is, or replayed as one CUDA graph.

A step launches hundreds of small kernels, which takes longer than running them on a fast GPU. A CUDA graph
records the launches once and replays them at once; compiling the network first fuses its element-wise work,
which pays only in trainings longer than the compilation.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.models.classifier import Classifier
from advaudio.training.gradients import GradientStep, gradient_step

Mode = Literal["eager", "graph", "compiled"]

WORTH_COMPILING = 5_000_000
"""Pictures trained on in one fold, epochs together, from which on compiling (about a minute) saves time."""

_EAGER_STEPS = 3
_COMPILATIONS = 256


def step_mode(settings: TrainingSettings, device: torch.device, pictures: int) -> Mode:
    """How the steps of a training on so many pictures, epochs together, run best."""
    if device.type != "cuda" or settings.compile == "off":
        return "eager"
    return "compiled" if settings.compile == "always" or pictures >= WORTH_COMPILING else "graph"


def stepper(
    model: Classifier,
    optimiser: torch.optim.Optimizer,
    defence: str | None,
    adversarial: AdversarialSettings,
    settings: TrainingSettings,
    *,
    bfloat16: bool,
    mode: Mode,
) -> GradientStep:
    """A function (x, y) → (loss, correct) that trains `model`, in training mode, by one step.

    In the modes `graph` and `compiled` every batch has to have the same shape, and the returned tensors
    are overwritten by the next step.
    """
    all_logits = model.all_logits
    if mode == "compiled":
        # The networks of all folds share what is compiled, unless their code looks at what differs between
        # them; dynamo would give up after a few of those.
        torch._dynamo.config.cache_size_limit = _COMPILATIONS
        all_logits = torch.compile(model.all_logits, dynamic=False)
    gradient = gradient_step(
        all_logits,
        defence,
        adversarial,
        label_smoothing=settings.label_smoothing,
        bfloat16=bfloat16,
    )

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        optimiser.zero_grad(set_to_none=True)
        loss, correct = gradient(x, y)
        optimiser.step()
        return loss, correct

    return step if mode == "eager" else _GraphedStep(step, optimiser)


class _GraphedStep:
    """Runs the first steps as they are, records the next, and replays it from then on."""

    def __init__(self, step: GradientStep, optimiser: torch.optim.Optimizer) -> None:
        self._step = step
        self._optimiser = optimiser
        self._eager_steps_left = _EAGER_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self._eager_steps_left:
            self._eager_steps_left -= 1
            return self._beside(x, y)
        if self._graph is None:
            self._x, self._y = x.clone(), y.clone()
            graph = torch.cuda.CUDAGraph()
            # With the eager steps' gradients dropped, those recorded live in the graph's own memory and are
            # overwritten, not added to, by every replay.
            self._optimiser.zero_grad(set_to_none=True)
            # Another thread may be pinning the next batch's memory meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._result = self._step(self._x, self._y)
            self._graph = graph
        else:
            self._x.copy_(x)
            self._y.copy_(y)
        self._graph.replay()
        return self._result

    def _beside(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # Recording needs what comes before it to have run on a stream other than the default one.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self._step(x, y)
        torch.cuda.current_stream().wait_stream(stream)
        return result
