"""What a network must be for training and attacks to be right; each fault is one paragraph with what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from advaudio.core.errors import AdvaudioError, machine_fault
from advaudio.models.classifier import Classifier
from advaudio.models.logits import why_no_logits
from advaudio.models.weights import tensors_to_save

PICTURES = 8
NUDGE = 0.1
"""Standard deviation of what is added to weights that may all be zero at the start, as in a last layer."""


def random_pictures(size: tuple[int, int], count: int = PICTURES) -> Tensor:
    """Pictures of uniform noise (count, 1, height, width) in [0, 1], the same each time."""
    return torch.rand(count, 1, *size, generator=torch.Generator().manual_seed(0))


def draw_at_first_use(model: Classifier) -> None:
    """Let a network draw the weights that it only draws when it first sees pictures, as `nn.LazyLinear` does.

    Called where the random numbers follow from the seed. What fails here is left to the checks.
    """
    pictures = random_pictures(model.size, 2)
    with suppress(Exception), torch.no_grad():
        model.eval().all_logits(pictures)
        trial = copy.deepcopy(model).train()
        trial.all_logits(pictures)
        if trial.state_dict().keys() != model.state_dict().keys() or any(map(is_lazy, model.parameters())):
            kept = {name: value.clone() for name, value in model.named_buffers() if not is_lazy(value)}
            model.train().all_logits(pictures)
            for name, value in model.named_buffers():
                if name in kept:
                    value.copy_(kept[name])
    model.train()


def check_output(model: Classifier, name: str, classes: int, count: int = 2) -> Tensor:
    """Logits (count, classes) of random pictures in evaluation mode; the module is left in training mode.

    Raises
    ------
    AdvaudioError
        If the network cannot take such pictures, or gives anything but one tensor (count, classes) of float32.
    """
    model.eval()
    try:
        with torch.no_grad():
            return _output(model, random_pictures(model.size, count), name, classes)[0]
    finally:
        model.train()


def check_network(build: Callable[[int], Classifier], name: str, classes: int) -> None:
    """Check a user's network before any work: its outputs, its gradient, its weights, and that it can be saved.

    Parameters
    ----------
    build
        From a seed to the network.
    name
        For messages.
    classes
        Number of classes.

    Raises
    ------
    AdvaudioError
        Naming the network, the first fault found, and what to do.
    """
    model = build(0)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise _fault(name, "has no weights that can be trained", "Give it layers, with `requires_grad` set")
    unused = [key for key, value in model.state_dict(keep_vars=True).items() if is_lazy(value)]
    if unused:
        raise _fault(
            name,
            f"has weights that are not drawn when it is used: {unused[0].removeprefix('network.')}",
            "Use or remove the lazy layer",
        )
    _check_same(model, build(0), name)
    pictures = random_pictures(model.size)
    model.eval()
    with torch.random.fork_rng(devices=[]):
        with torch.no_grad():
            logits = _output(model, pictures, name, classes)[0]
            _check_values(model, pictures, logits, name, classes)
        _check_gradient(model, pictures, name)
        reason = why_no_logits(model, pictures, logits)
        if reason:
            raise _fault(name, *reason)
        _check_file(model, build(1), pictures, logits, name)
        _check_training(model, pictures[:2], name, classes)


def _check_values(model: Classifier, pictures: Tensor, logits: Tensor, name: str, classes: int) -> None:
    if not bool(logits.isfinite().all()):
        raise _fault(
            name,
            "gives logits that are not finite for random pictures",
            "Look for a division or a logarithm of zero",
        )
    if not _close(_output(model, pictures, name, classes)[0], logits):
        raise _fault(
            name,
            "gives the same pictures different logits in evaluation mode",
            "Let it be random in training only (`F.dropout(x, training=self.training)`)",
        )
    single = torch.cat([_output(model, picture[None], name, classes)[0] for picture in pictures[:2]])
    if not _close(single, logits[:2]):
        raise _fault(
            name,
            "gives a picture other logits when it is alone than among others",
            "Each row of the output must follow from its own picture (no mean or normalisation over the batch in "
            "evaluation mode)",
        )


def _check_gradient(model: Classifier, pictures: Tensor, name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    # Some start with a last layer of zeros, through which no gradient passes yet.
    nudged = {
        key: weight.detach() + NUDGE * torch.randn(weight.shape, generator=generator).to(weight.dtype)
        for key, weight in model.named_parameters()
    }
    point = pictures.clone().requires_grad_(True)
    remedy = (
        "Attacks and adversarial training follow it: compute nothing under `torch.no_grad()`, and use no `detach`, "
        "NumPy, rounding or comparison between picture and logits"
    )
    no_gradient = "gives logits that have no gradient at the picture"
    gradients: list[Tensor | None] = []
    for weights in ({}, nudged):
        try:
            output = functional_call(model, weights, (point,), tie_weights=False)
        except Exception as error:
            _let_machine_faults_through(error)
            raise _fault(name, f"{no_gradient} ({_said(error)})", remedy) from error
        noise = torch.randn(output.shape, generator=generator)
        gradients += (
            torch.autograd.grad(output, point, noise, allow_unused=True) if output.requires_grad else [None]
        )
    plain, moved = gradients
    if plain is None or moved is None:
        raise _fault(name, no_gradient, remedy)
    if not bool(plain.isfinite().all()):
        raise _fault(
            name,
            "has a gradient at the picture that is not finite",
            "Look for a root, a norm or a logarithm of zero",
        )
    if not bool(moved.any()):
        raise _fault(name, "gives logits whose gradient at the picture is zero", remedy)


def _check_same(model: Classifier, same: Classifier, name: str) -> None:
    first, second = model.state_dict(), same.state_dict()
    for key, value in first.items():
        if key not in second or not _equal(value, second[key]):
            raise _fault(
                name,
                f"is not the same when it is built twice from one seed: {key} differs",
                "Draw its weights from PyTorch's, NumPy's or Python's global generator, or from one with a fixed seed",
            )


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return first.shape == second.shape and torch.allclose(first, second, rtol=0, atol=0, equal_nan=True)
    return type(first) is type(second)


def _check_file(model: Classifier, other: Classifier, pictures: Tensor, logits: Tensor, name: str) -> None:
    from safetensors.torch import load, save

    try:
        tensors = tensors_to_save(model)
        other.load_state_dict(load(save(tensors)))
        with torch.no_grad():
            loaded = other.eval()(pictures)
    except AdvaudioError as error:
        raise AdvaudioError(f"The network {name} cannot be saved: {error}") from error
    except Exception as error:
        _let_machine_faults_through(error)
        raise _fault(
            name,
            f"cannot be saved and loaded ({_said(error)})",
            "Keep its weights as plain parameters and buffers of modules, none of them an expanded view",
        ) from error
    if not _close(loaded, logits):
        raise _fault(
            name,
            "gives other logits after it was saved and loaded",
            "Keep layers in modules (`nn.ModuleList` instead of a list), and random numbers that stay in buffers",
        )


def _check_training(model: Classifier, pictures: Tensor, name: str, classes: int) -> None:
    model.train()
    outputs = _output(model, pictures, name, classes)
    loss = torch.stack(
        [nn.functional.cross_entropy(out, torch.zeros(2, dtype=torch.long)) for out in outputs]
    ).sum()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        torch.autograd.grad(loss, weights, allow_unused=True)
    except RuntimeError as error:
        _let_machine_faults_through(error)
        raise _fault(
            name,
            "gives logits that have no gradient at its weights",
            "Compute nothing under `torch.no_grad()`",
        ) from error


def _close(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-3, atol=1e-4)


def _output(model: Classifier, pictures: Tensor, name: str, classes: int) -> tuple[Tensor, ...]:
    """The logits, in training mode with those of auxiliary heads, after the checks of type, shape and dtype."""
    seen: list[Any] = []
    hook = model.network.register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        model.all_logits(pictures)
    except Exception as error:
        _let_machine_faults_through(error)
        if not seen:  # otherwise it is the output that the wrapper could not read
            raise _cannot_take(model, name, error) from error
    finally:
        hook.remove()
    output = seen[-1]
    mode = "training" if model.training else "evaluation"
    parts = tuple(output) if model.training and isinstance(output, tuple) else (output,)
    wanted = f"it must be ({len(pictures)}, {classes}), the logits of {classes} classes, in one tensor"
    for part in parts:
        if not isinstance(part, Tensor):
            raise AdvaudioError(
                f"The network {name} returns {_described(part)} in {mode} mode; {wanted}. Return the logits alone."
            )
        if tuple(part.shape) != (len(pictures), classes):
            raise AdvaudioError(
                f"The network {name} gives an output of shape {tuple(part.shape)} for {_count(len(pictures))} in {mode} "
                f"mode; {wanted}. {_shape_remedy(part, len(pictures), len(parts))}"
            )
        if part.dtype != torch.float32:
            raise AdvaudioError(
                f"The network {name} gives {str(part.dtype).removeprefix('torch.')}, not float32. Build it in float32 "
                "(`.float()`), and let it return the logits themselves."
            )
    return parts


def _cannot_take(model: Classifier, name: str, error: Exception) -> AdvaudioError:
    others = {weight.dtype for weight in model.network.parameters() if weight.dtype != torch.float32}
    if others:
        found = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in others))
        return _fault(
            name,
            f"has weights in {found}, and pictures are float32 ({_said(error)})",
            "Build it in float32 (`.float()`)",
        )
    return AdvaudioError(
        f"The model {name} cannot take pictures of {model.size[0]}×{model.size[1]}: {_said(error)}. "
        "Larger pictures (`spectrogram_size`) or another `model` may help."
    )


def _fault(name: str, what: str, remedy: str) -> AdvaudioError:
    return AdvaudioError(f"The network {name} {what}. {remedy}.")


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return (
        text if isinstance(error, RuntimeError | ValueError) and text else f"{type(error).__name__}: {text}"
    )


def _count(pictures: int) -> str:
    return "one picture" if pictures == 1 else f"{pictures} pictures"


def _described(output: object) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} with the keys {', '.join(map(str, output))}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"


def _shape_remedy(output: Tensor, pictures: int, parts: int) -> str:
    if parts > 1:
        return "All items of a tuple count as logits, the first as the network's, others as auxiliary heads'."
    if pictures == 1 and output.ndim < 2:
        return "Without a number of the axis, `squeeze` also removes the axis of a single picture; use `flatten(1)`."
    return "Keep the first axis for the pictures and return one score for each class."


def _let_machine_faults_through(error: Exception) -> None:
    """A lost GPU or too little memory says nothing about the network."""
    if machine_fault(error) is not None:
        raise error
