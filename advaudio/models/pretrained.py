"""Starting from pretrained layers: torchvision's ImageNet weights, or a file or folder of the user's."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from advaudio.core.errors import AdvaudioError
from advaudio.core.files import relative_hint
from advaudio.models.classifier import Classifier
from advaudio.models.registry import ARCHITECTURES

SUFFIXES = (".safetensors", ".pt", ".pth")
_CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "state_dict_ema",
    "model_ema",
    "model",
    "module",
    "network",
    "net",
    "weights",
)
_INNER_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""What compilation, sharding and checkpointing put into names, before any part of them."""


@dataclass(frozen=True)
class Pretrained:
    """Which layers came from the weights and which stay random (module names, in the model's order)."""

    loaded_layers: tuple[str, ...]
    random_layers: tuple[str, ...]


def load_pretrained(model: Classifier, name: str, source: str) -> Pretrained:
    """Copy the pretrained layers of `source` into `model`, in place.

    The layers that give logits always stay random (the paper replaces them); an RGB first convolution is
    summed over its three colours. Half precision, names with what wrappers put before them (`module.`, `_orig_mod.`,
    `model.`) and files with some of the layers are accepted.

    Parameters
    ----------
    model
        Of `build_model(name, …)`.
    name
        The architecture, or the user's `package.module:function`.
    source
        `none`, `imagenet` (torchvision's weights, downloaded once), or a file or folder. In a folder
        the one file whose name begins with the model's name is taken.

    Raises
    ------
    AdvaudioError
        If the weights cannot be fetched or read, hold code, or belong to another architecture.
    """
    if source == "none":
        return Pretrained((), tuple(_layers(model)))
    if source == "imagenet":
        weights, origin = _imagenet_weights(name), f"torchvision's ImageNet weights of {name}"
    else:
        path = find_weights(Path(source), name)
        weights, origin = read_weights(path), str(path)
    return _copy(model, name, _plain_names(weights, model.network.state_dict(), origin), origin)


def find_weights(source: Path, name: str) -> Path:
    """The weights file that `source` names: itself, or the folder's one file for the model `name`."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise AdvaudioError(
            f"Parameter `pretrained`: there is no file or folder {source}. "
            f"Use none, imagenet, or the path of a .safetensors, .pt or .pth file.{relative_hint(source)}"
        )
    found = sorted(
        path for path in source.iterdir() if path.suffix in SUFFIXES and path.name.startswith(name)
    )
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise AdvaudioError(
            f"Parameter `pretrained`: the folder {source} must hold exactly one file {name}*.safetensors, "
            f".pt or .pth, but holds {listed}. Name the file itself."
        )
    return found[0]


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name; code in a pickle is never run.

    Raises
    ------
    AdvaudioError
        If the file is corrupt, holds anything but tensors, or holds code.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise AdvaudioError(
            f"The weights file {path} is refused: it is no plain file of tensors, it may hold code, or it is "
            "damaged. Download it again from a source you trust, or convert it to .safetensors."
        ) from error
    except Exception as error:
        raise AdvaudioError(
            f"Could not read the weights file {path}: {error}. Download it again; it must be a .safetensors "
            "file, or a .pt or .pth file of a state dict."
        ) from error
    while isinstance(content, Mapping):
        inside = [name for name in _CONTAINERS if isinstance(content.get(name), Mapping)]
        if not inside:
            break
        content = content[inside[0]]
    if not isinstance(content, Mapping) or not content:
        raise AdvaudioError(f"The weights file {path} holds no state dict (names with tensors).")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def _imagenet_weights(name: str) -> dict[str, Tensor]:
    architecture = ARCHITECTURES.get(name)
    if architecture is None or architecture.imagenet_weights is None:
        raise AdvaudioError(
            f"Parameter `pretrained`: nobody published ImageNet weights of {name}. Set `pretrained: none`, "
            "or name a weights file (for resnet56: CIFAR-10 weights of He et al.'s network)."
        )
    import torchvision

    weights = getattr(torchvision.models, architecture.imagenet_weights).IMAGENET1K_V1
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise AdvaudioError(
            f"Could not download the ImageNet weights of {name} from {weights.url}: {error}. Connect to the "
            "internet, or fetch the file elsewhere and set `pretrained` to its path, or to none to start "
            "from random weights."
        ) from error
    return state


def _plain_names(weights: dict[str, Tensor], wanted: Collection[str], origin: str) -> dict[str, Tensor]:
    """The weights under the architecture's own names, without what wrappers put before or between them.

    Of all that may stand before a name of the architecture, that is taken which stands before most of them: `module.`,
    `_orig_mod.`, `model.backbone.`, or nothing. Tensors beside it, such as a wrapper's own counters, are left out.
    """
    weights = {_INNER_WRAPPERS.sub("", key): value for key, value in weights.items()}
    counts: Counter[str] = Counter()
    for key in weights:
        parts = key.split(".")
        counts.update(
            ".".join([*parts[:place], ""]) for place in range(len(parts)) if ".".join(parts[place:]) in wanted
        )
    if not counts:
        return weights
    most = max(counts.values())
    prefix, *others = sorted((prefix for prefix, count in counts.items() if count == most), key=len)
    # The parts of one network begin alike; only another copy of it, such as a moving average, makes the choice unclear.
    copies = [prefix, *(other for other in others if not other.startswith(prefix))]
    if len(copies) > 1:
        raise AdvaudioError(
            f"{origin} holds several copies of the network, under {', '.join(copies)}. Save the one that you mean in a file "
            "of its own."
        )
    return {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}


def _layers(model: Classifier) -> list[str]:
    return [name for name, module in model.network.named_modules() if list(module.parameters(recurse=False))]


def _copy(model: Classifier, name: str, weights: dict[str, Tensor], origin: str) -> Pretrained:
    architecture = ARCHITECTURES.get(name)
    last_layers = architecture.last_layers if architecture else ()
    wanted = model.network.state_dict()
    strange = [key for key in weights if key not in wanted]
    if strange:
        raise AdvaudioError(
            f"{origin} does not fit the model {name}: it has {len(strange)} tensors that the model lacks, "
            f"{strange[0]} the first. Name weights of the same architecture in `pretrained`."
        )
    loaded, random = [], []
    for layer in _layers(model):
        names = [key for key in wanted if key.rpartition(".")[0] == layer]
        present = [key for key in names if key in weights]
        if layer in last_layers or not present:
            random.append(layer)
            continue
        missing = [key for key in names if key not in weights and not key.endswith("num_batches_tracked")]
        if missing:
            raise AdvaudioError(f"{origin} is incomplete: it has {present[0]} but not {missing[0]}.")
        for key in present:
            value = weights[key]
            if architecture and key == f"{architecture.first_layer}.weight" and value.ndim == 4:
                value = value.float().sum(dim=1, keepdim=True)
            if value.shape != wanted[key].shape:
                raise AdvaudioError(
                    f"{origin} does not fit the model {name}: {key} has the shape {tuple(value.shape)}, the "
                    f"model's is {tuple(wanted[key].shape)}. Name weights of the same architecture."
                )
            if not torch.isfinite(value).all():
                raise AdvaudioError(f"{origin} holds NaN or infinity in {key}; download it again.")
            wanted[key].copy_(value)
        loaded.append(layer)
    if not loaded:
        raise AdvaudioError(
            f"{origin} holds no layer of the model {name} other than the ones that give logits."
        )
    return Pretrained(tuple(loaded), tuple(random))
