"""The six architectures by name, and networks of the user's own by `package.module:function`."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from advaudio.core.errors import AdvaudioError
from advaudio.models.classifier import AuxiliaryHead, Classifier, FixedAdaptivePool
from advaudio.models.network_check import check_network, check_output, draw_at_first_use
from advaudio.models.resnet56 import ResNet56

SMALLEST_PICTURE = 16
"""Pixels; the built-in networks refuse a smaller side, since they halve it four or five times."""


@dataclass(frozen=True)
class Architecture:
    """One published network.

    Parameters
    ----------
    build
        Number of classes → the network for RGB pictures, as published.
    first_layer, last_layers
        Names of the first convolution and of the layers that give logits, which depend on the data.
    smallest_side
        Pixels below which the network's pooling leaves nothing; smaller pictures are stretched to it.
    imagenet_weights
        Name of torchvision's weights class, or None if nobody published ImageNet weights.
    """

    build: Callable[[int], nn.Module]
    first_layer: str
    last_layers: tuple[str, ...]
    smallest_side: int
    imagenet_weights: str | None


def _torchvision(name: str, **options: Any) -> Callable[[int], nn.Module]:
    def build(classes: int) -> nn.Module:
        import torchvision

        network: nn.Module = getattr(torchvision.models, name)(weights=None, num_classes=classes, **options)
        return network

    return build


_GOOGLENET_LAST = ("fc", "aux1.fc2", "aux2.fc2")

ARCHITECTURES = {
    "alexnet": Architecture(_torchvision("alexnet"), "features.0", ("classifier.6",), 63, "AlexNet_Weights"),
    "googlenet": Architecture(
        _torchvision("googlenet", aux_logits=True, init_weights=True),
        "conv1.conv",
        _GOOGLENET_LAST,
        1,
        "GoogLeNet_Weights",
    ),
    "resnet18": Architecture(_torchvision("resnet18"), "conv1", ("fc",), 1, "ResNet18_Weights"),
    "resnet34": Architecture(_torchvision("resnet34"), "conv1", ("fc",), 1, "ResNet34_Weights"),
    "resnet56": Architecture(ResNet56, "conv1", ("linear",), 1, None),
    "vgg16": Architecture(_torchvision("vgg16"), "features.0", ("classifier.6",), 32, "VGG16_Weights"),
}


def build_model(
    name: str,
    classes: int,
    size: tuple[int, int],
    *,
    mean: float = 0.5,
    std: float = 0.25,
    seed: int = 0,
    auxiliary_heads: bool = True,
) -> Classifier:
    """A randomly initialised classifier of one-channel pictures, on the CPU.

    Parameters
    ----------
    name
        A key of `ARCHITECTURES`, or `package.module:function` with
        `function(classes: int, height: int, width: int) -> nn.Module` taking (N, 1, height, width).
    classes
        Number of classes.
    size
        Height and width of the pictures.
    mean, std
        Of the training pictures, subtracted and divided by inside the model.
    seed
        Of the initial weights, those that a user's network draws at its first use included; the global generators are left
        as they were.
    auxiliary_heads
        Whether GoogLeNet keeps the two heads that only training uses.

    Raises
    ------
    AdvaudioError
        If there is no such model, the pictures are too small for it, or the user's function does not
        give a network from (N, 1, height, width) to (N, classes).
    """
    if classes < 2:
        raise AdvaudioError(f"A classifier needs at least two classes, not {classes}.")
    if not std > 0:
        raise AdvaudioError(
            f"The training pictures have the standard deviation {std}: they are all one grey. "
            "Check the representation that made them."
        )
    if ":" in name:
        with _seeded(seed):
            model = Classifier(_user_network(name, classes, size), mean=mean, std=std, size=size)
            draw_at_first_use(model)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, smallest_side = _published_network(name, classes, size, auxiliary_heads)
            model = Classifier(network, mean=mean, std=std, size=size, smallest_side=smallest_side)
    check_output(model, name, classes)
    return model


def trial_model(name: str, classes: int, size: tuple[int, int]) -> Classifier:
    """What `build_model` gives, after every check that a user's own network needs before any work.

    Raises
    ------
    AdvaudioError
        Naming the network, what is wrong with it, and what to do.
    """
    if ":" in name:
        check_network(lambda seed: build_model(name, classes, size, seed=seed), name, classes)
    return build_model(name, classes, size)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let all random numbers of PyTorch, NumPy and Python follow from `seed`, and leave the generators as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - a user's code may use the global one
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def _published_network(
    name: str, classes: int, size: tuple[int, int], auxiliary_heads: bool
) -> tuple[nn.Module, int]:
    if name not in ARCHITECTURES:
        raise AdvaudioError(
            f"Parameter `model`: there is no model {name!r}. Choose one of {', '.join(ARCHITECTURES)}, "
            "or name your own as package.module:function."
        )
    if min(size) < SMALLEST_PICTURE:
        raise AdvaudioError(
            f"Pictures of {size[0]}×{size[1]} are too small for the model {name}: each side needs at least "
            f"{SMALLEST_PICTURE} pixels. Raise `spectrogram_size` or `tonnetz_size` of the data set."
        )
    architecture = ARCHITECTURES[name]
    network = architecture.build(classes)
    sum_first_filters(network, architecture.first_layer)
    height, width = (max(side, architecture.smallest_side) for side in size)
    pool = getattr(network, "avgpool", None)
    if isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size != (1, 1):
        with torch.no_grad():
            maps = network.get_submodule("features")(torch.zeros(1, 1, height, width))
        network.avgpool = FixedAdaptivePool((maps.shape[2], maps.shape[3]), cast(Any, pool.output_size))
    if name == "googlenet" and auxiliary_heads:
        maps = _maps_of(network, "inception4a", (height, width))
        for head in ("aux1", "aux2"):
            setattr(network, head, AuxiliaryHead(network.get_submodule(head), maps))
    elif name == "googlenet":
        for attribute, value in (("aux_logits", False), ("aux1", None), ("aux2", None)):
            setattr(network, attribute, value)
    return network, architecture.smallest_side


def _maps_of(network: nn.Module, layer: str, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of what a layer gives for pictures of `size`."""
    seen: list[tuple[int, int]] = []
    hook = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: seen.append((output.shape[2], output.shape[3]))
    )
    with torch.no_grad():
        network.eval()(torch.zeros(1, 1, *size))
    network.train()
    hook.remove()
    return seen[0]


def sum_first_filters(network: nn.Module, layer: str) -> None:
    """Make the RGB convolution `layer` a grey one, equal to it on the grey picture in all three colours."""
    convolution = network.get_submodule(layer)
    assert isinstance(convolution, nn.Conv2d)
    convolution.weight = nn.Parameter(convolution.weight.detach().sum(dim=1, keepdim=True))
    convolution.in_channels = 1


def own_code(name: str) -> Path | None:
    """The file of a user's own network (`package.module:function`); None for the published ones.

    Raises
    ------
    AdvaudioError
        If the module cannot be imported.
    """
    if ":" not in name:
        return None
    file = _user_module(name).__file__
    return Path(file).resolve() if file else None


def require_watched(name: str, folder: Path) -> None:
    """Refuse a user's own network that lies below the current folder, but not in the `folder` that DVC watches.

    Raises
    ------
    AdvaudioError
        Also if the module cannot be imported.
    """
    file = own_code(name)
    if file is None or "site-packages" in file.parts or file.is_relative_to(folder.resolve()):
        return
    here = Path.cwd().resolve()
    if file.is_relative_to(here):
        raise AdvaudioError(
            f"Parameter `model`: the network {name} lies in {file.relative_to(here)}, which no stage "
            f"depends on, so a change of it would go unseen. Move it to {folder}/ and write "
            f"{folder}.{file.stem}:{name.partition(':')[2]}."
        )


def _user_module(name: str) -> ModuleType:
    module = name.partition(":")[0]
    try:
        return importlib.import_module(module)
    except Exception as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and f"{module}.".startswith(f"{missing}."):
            file = f"{module.replace('.', '/')}.py"
            remedy = (
                f"It must be package.module:function, importable from the folder where the pipeline runs, as {file} "
                "is. Outside of your working tree (`dvc exp run --temp`, the queue, a sweep) only files are there that "
                f"Git knows: `git add {file}`, and for a sweep commit it."
            )
        else:
            place = module if isinstance(error, ImportError) else f"{module}, {type(error).__name__}"
            remedy = f"The import of {place} fails; `python -c 'import {module}'` shows where."
        raise AdvaudioError(f"Parameter `model`: could not import {name!r}: {error}. {remedy}") from error


def _user_network(name: str, classes: int, size: tuple[int, int]) -> nn.Module:
    module = _user_module(name)
    function_name = name.partition(":")[2]
    if not hasattr(module, function_name):
        raise AdvaudioError(f"Parameter `model`: {module.__name__} has no function {function_name!r}.")
    function = getattr(module, function_name)
    try:
        network = function(classes, *size)
    except Exception as error:
        raise AdvaudioError(
            f"Parameter `model`: {name} could not be called as function(classes, height, width), here "
            f"({classes}, {size[0]}, {size[1]}): {type(error).__name__}: {error}."
        ) from error
    if not isinstance(network, nn.Module):
        raise AdvaudioError(
            f"Parameter `model`: {name} gave a {type(network).__name__}, not a torch.nn.Module."
        )
    return network
