"""Pretrained layers: partial, half-precision and prefixed files, and files that must be refused."""

from __future__ import annotations

import pickle
import re
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from advaudio.core.errors import AdvaudioError
from advaudio.models.model_file import save_model
from advaudio.models.pretrained import load_pretrained
from advaudio.models.registry import build_model
from advaudio.models.resnet56 import ResNet56

SIZE = (24, 24)


@pytest.fixture(scope="module")
def cifar() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return ResNet56(10).state_dict()


def test_a_full_file_leaves_only_the_last_layer_random(cifar: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(cifar, tmp_path / "resnet56.pt")
    model = build_model("resnet56", 10, SIZE)
    fresh = model.network.linear.weight.clone()  # type: ignore[union-attr, operator]
    report = load_pretrained(model, "resnet56", str(tmp_path))
    assert report.random_layers == ("linear",)
    assert len(report.loaded_layers) == 110
    assert torch.equal(model.network.linear.weight, fresh)  # type: ignore[union-attr, arg-type]
    loaded = model.network.state_dict()
    torch.testing.assert_close(loaded["conv1.weight"], cifar["conv1.weight"].sum(1, keepdim=True))
    torch.testing.assert_close(loaded["layer3.8.bn2.weight"], cifar["layer3.8.bn2.weight"])


def wrapped(state: dict[str, Tensor]) -> Any:
    return {"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}


def under(prefix: str, **beside: Any) -> Callable[[dict[str, Tensor]], Any]:
    return lambda state: {**{prefix + key: value for key, value in state.items()}, **beside}


def compiled_blocks(state: dict[str, Tensor]) -> Any:
    """Blocks compiled on their own, inside a distributed wrapper."""
    block = re.compile(r"^(layer[0-9])\.")
    return {"module." + block.sub(r"\1._orig_mod.", key): value for key, value in state.items()}


def in_nested_checkpoint(state: dict[str, Tensor]) -> Any:
    return {"model": {"state_dict": under("net.backbone.")(state), "epoch": 1}, "optimizer": {"state": {}}}


def averaged(state: dict[str, Tensor]) -> Any:
    return torch.optim.swa_utils.AveragedModel(_network_of(state)).state_dict()


def compiled(state: dict[str, Tensor]) -> Any:
    return torch.compile(nn.DataParallel(_network_of(state))).state_dict()  # type: ignore[attr-defined]


def _network_of(state: dict[str, Tensor]) -> nn.Module:
    network = ResNet56(10)
    network.load_state_dict(state)
    return network


def halved(state: dict[str, Tensor]) -> Any:
    return {key: value.half() if value.is_floating_point() else value for key, value in state.items()}


def partial(state: dict[str, Tensor]) -> Any:
    return {key: value for key, value in state.items() if key.startswith(("conv1.", "bn1.", "layer1."))}


def without_counters(state: dict[str, Tensor]) -> Any:
    return {key: value for key, value in state.items() if "num_batches" not in key}


@pytest.mark.parametrize(
    ("change", "layers"),
    [
        (wrapped, 110),
        (halved, 110),
        (partial, 38),
        (without_counters, 110),
        (under("_orig_mod."), 110),
        (under("module._orig_mod."), 110),
        (under("_orig_mod.module."), 110),
        (under("model."), 110),
        (under("net."), 110),
        (under("network.", mean=torch.zeros(()), std=torch.ones(())), 110),
        (under("classifier.encoder.", **{"criterion.weight": torch.ones(3)}), 110),
        (under("_fsdp_wrapped_module."), 110),
        (lambda state: under("model.module.")(partial(state)), 38),
        (compiled_blocks, 110),
        (in_nested_checkpoint, 110),
        (averaged, 110),
        (compiled, 110),
    ],
)
def test_odd_files_load(
    change: Callable[[dict[str, Tensor]], Any], layers: int, cifar: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(change(cifar), tmp_path / "weights.pth")
    model = build_model("resnet56", 3, SIZE)
    report = load_pretrained(model, "resnet56", str(tmp_path / "weights.pth"))
    assert len(report.loaded_layers) == layers
    assert len(report.loaded_layers) + len(report.random_layers) == 111
    assert ("layer3.0.conv1" in report.random_layers) == (layers == 38)
    expected = cifar["layer1.3.conv2.weight"]
    torch.testing.assert_close(
        model.network.state_dict()["layer1.3.conv2.weight"], expected, atol=1e-3, rtol=1e-3
    )


def test_a_model_of_ours_is_a_start_for_another(tmp_path: Path) -> None:
    source = build_model("resnet56", 10, SIZE, seed=4)
    save_model(source, tmp_path / "model.safetensors", {"model": "resnet56", "classes": 10})
    target = build_model("resnet56", 3, SIZE)
    load_pretrained(target, "resnet56", str(tmp_path / "model.safetensors"))
    assert torch.equal(target.network.conv1.weight, source.network.conv1.weight)  # type: ignore[union-attr, arg-type]


class Payload:
    """Unpickling this runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("code-was-run"),)


def write_corrupt(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 not a zip file")


def write_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"conv1.weight": Payload()}))


def write_code_by_torch(path: Path) -> None:
    torch.save({"conv1.weight": Payload()}, path)


def write_other_architecture(path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, path)


def write_other_shape(path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(16, 3, 7, 7)}, path)


def write_two_copies(path: Path) -> None:
    state = {"conv1.weight": torch.zeros(16, 3, 3, 3)}
    torch.save(
        {f"{part}.{key}": value for part in ("student", "teacher") for key, value in state.items()}, path
    )


def write_wrapped_other_architecture(path: Path) -> None:
    other = {"conv1.weight": torch.zeros(16, 3, 3, 3), "blocks.0.attention.weight": torch.zeros(4, 4)}
    torch.save({f"module.{key}": value for key, value in other.items()}, path)


def write_half_a_layer(path: Path) -> None:
    torch.save({"bn1.weight": torch.zeros(16)}, path)


def write_nan(path: Path) -> None:
    torch.save({"conv1.weight": torch.full((16, 3, 3, 3), torch.nan)}, path)


def write_last_layer_only(path: Path) -> None:
    torch.save(nn.Module().state_dict() | {"linear.weight": torch.zeros(3, 64)}, path)


def write_list(path: Path) -> None:
    torch.save([torch.zeros(3)], path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_corrupt, "Could not read|refused"),
        (write_code, "may hold code"),
        (write_code_by_torch, "may hold code"),
        (write_other_architecture, "does not fit the model resnet56"),
        (write_other_shape, r"has the shape \(16, 1, 7, 7\)"),
        (write_two_copies, r"several copies of the network, under student\., teacher\."),
        (
            write_wrapped_other_architecture,
            "it has 1 tensors that the model lacks, blocks.0.attention.weight the first",
        ),
        (write_half_a_layer, "incomplete: it has bn1.weight but not bn1.bias"),
        (write_nan, "NaN or infinity in conv1.weight"),
        (write_last_layer_only, "no layer of the model"),
        (write_list, "no state dict"),
    ],
)
def test_wrong_files_are_refused(
    write: Callable[[Path], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "weights.pt")
    model = build_model("resnet56", 3, SIZE)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(AdvaudioError, match=message):
        load_pretrained(model, "resnet56", str(tmp_path / "weights.pt"))
    assert not (tmp_path / "code-was-run").exists()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_folder_needs_exactly_one_file_of_the_model(tmp_path: Path) -> None:
    model = build_model("resnet56", 3, SIZE)
    with pytest.raises(AdvaudioError, match="holds none"):
        load_pretrained(model, "resnet56", str(tmp_path))
    for name in ("resnet56-a.pt", "resnet56-b.safetensors"):
        save_file({"conv1.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / name)
    with pytest.raises(AdvaudioError, match=r"resnet56-a.pt, resnet56-b.safetensors"):
        load_pretrained(model, "resnet56", str(tmp_path))
    with pytest.raises(AdvaudioError, match="no file or folder"):
        load_pretrained(model, "resnet56", str(tmp_path / "missing"))


def test_imagenet_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*arguments: Any, **options: Any) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = build_model("resnet18", 3, SIZE)
    with pytest.raises(AdvaudioError, match=r"download.pytorch.org.*set `pretrained` to its path"):
        load_pretrained(model, "resnet18", "imagenet")
    with pytest.raises(AdvaudioError, match="nobody published ImageNet weights of resnet56"):
        load_pretrained(build_model("resnet56", 3, SIZE), "resnet56", "imagenet")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "loaded", "random"),
    [
        ("resnet56", 110, ("linear",)),
        ("alexnet", 5, ("classifier.1", "classifier.4", "classifier.6")),
        ("vgg16", 13, ("classifier.0", "classifier.3", "classifier.6")),
    ],
)
def test_published_files_load(name: str, loaded: int, random: tuple[str, ...], realdata: Path) -> None:
    report = load_pretrained(build_model(name, 3, (32, 32)), name, str(realdata / "weights"))
    assert len(report.loaded_layers) == loaded
    assert report.random_layers == random
