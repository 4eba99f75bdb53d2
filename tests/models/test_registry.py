"""The six networks against torchvision's own, and what users see when something does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from advaudio.core.errors import AdvaudioError
from advaudio.models.classifier import Classifier, FixedAdaptivePool, bilinear_matrix
from advaudio.models.pretrained import load_pretrained
from advaudio.models.registry import ARCHITECTURES, build_model, own_code, require_watched
from advaudio.models.resnet56 import ResNet56

MEAN, STD = 0.43, 0.21


def rgb_network(name: str, classes: int) -> nn.Module:
    """The published three-colour network with random weights and the statistics of a random batch."""
    torch.manual_seed(3)
    if name == "resnet56":
        network: nn.Module = ResNet56(classes)
    else:
        options = {"aux_logits": True, "init_weights": False} if name == "googlenet" else {}
        network = getattr(torchvision.models, name)(weights=None, num_classes=classes, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    if name not in ("alexnet", "vgg16"):
        network.train()(torch.randn(4, 3, 72, 80))
    return network.eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_equal_the_rgb_networks_on_the_grey_picture(name: str, tmp_path: Path) -> None:
    size = (72, 80)
    network = rgb_network(name, 7)
    # The half gigabyte of VGG-16's classifier need not pass through a file.
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("classifier.")}
    torch.save(state, tmp_path / "weights.pt")
    model = build_model(name, 7, size, mean=MEAN, std=STD)
    for layer in load_pretrained(model, name, str(tmp_path / "weights.pt")).random_layers:
        model.network.get_submodule(layer).load_state_dict(network.get_submodule(layer).state_dict())
    model.eval()
    x = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(((x - MEAN) / STD).expand(-1, 3, -1, -1))
        torch.testing.assert_close(model(x), expected, atol=1e-4, rtol=0)
        assert expected.abs().max() > 1e-2


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "published", "first_filters"),
    [
        ("alexnet", 61_100_840, 64 * 11 * 11),
        ("googlenet", 13_004_888, 64 * 7 * 7),
        ("resnet18", 11_689_512, 64 * 7 * 7),
        ("resnet34", 21_797_672, 64 * 7 * 7),
        ("vgg16", 138_357_544, 64 * 3 * 3),
    ],
)
def test_parameter_counts_are_torchvisions_less_two_colours(
    name: str, published: int, first_filters: int
) -> None:
    assert parameters(build_model(name, 1000, (32, 32))) == published - 2 * first_filters


def test_resnet56_has_the_published_size() -> None:
    # He et al., table 6: 0.85 M with ten classes; 855,330 with ESC-50's fifty and one colour.
    assert parameters(ResNet56(10)) == 853_018
    assert parameters(build_model("resnet56", 50, (24, 24))) == 855_330
    convolutions = [module for module in ResNet56(10).modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) + 1 == 56


def test_googlenets_auxiliary_heads_work_in_training_only() -> None:
    model = build_model("googlenet", 5, (32, 32))
    x = torch.rand(2, 1, 32, 32)
    assert [tuple(logits.shape) for logits in model.train().all_logits(x)] == [(2, 5)] * 3
    assert len(model.eval().all_logits(x)) == 1
    assert len(build_model("googlenet", 5, (32, 32), auxiliary_heads=False).train().all_logits(x)) == 1


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "resnet18", "resnet34", "resnet56", "vgg16"])
@pytest.mark.parametrize("size", [(24, 24), (40, 24)])
def test_small_pictures_train(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, 3, size).train()
    x = torch.rand(2, 1, *size).requires_grad_()
    model(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(("size", "new_size"), [(24, 63), (17, 32), (31, 32)])
def test_bilinear_matrix_is_torchs_interpolation(size: int, new_size: int) -> None:
    x = torch.rand(2, 1, size, 5)
    expected = nn.functional.interpolate(x, (new_size, 5), mode="bilinear", align_corners=False)
    torch.testing.assert_close(bilinear_matrix(size, new_size) @ x, expected)


@pytest.mark.parametrize(("size", "new_size"), [((1, 3), (6, 6)), ((4, 9), (7, 7)), ((7, 7), (7, 7))])
def test_fixed_pool_is_torchs_adaptive_pool(size: tuple[int, int], new_size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    expected = nn.functional.adaptive_avg_pool2d(x, new_size)
    torch.testing.assert_close(FixedAdaptivePool(size, new_size)(x), expected)


@pytest.mark.parametrize("size", [(64, 64), (48, 64), (24, 40)])
@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_first_layer_works_in_the_layout_of_all_others(name: str, size: tuple[int, int]) -> None:
    model = build_model(name, 3, size).eval()
    first = model.network.get_submodule(ARCHITECTURES[name].first_layer)
    seen: list[torch.Tensor] = []
    first.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    pictures = torch.rand(2, 1, *size)
    plain = model(pictures)
    rearranged = model.channels_last()(pictures)
    height, width = seen[1].shape[2:]  # stretched where the network's smallest input is larger
    assert seen[1].stride() == (height * width, 1, width, 1)
    assert seen[0].stride() != seen[1].stride()
    torch.testing.assert_close(rearranged, plain, rtol=1e-4, atol=1e-5)


def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    one, same, other = (build_model("resnet56", 3, (24, 24), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one.network.conv1.weight, same.network.conv1.weight)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(one.network.conv1.weight, other.network.conv1.weight)  # type: ignore[union-attr, arg-type]


class Flat(nn.Module):
    """A user's own network."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(height * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(x.flatten(1))
        return logits


def wrong_output(classes: int, height: int, width: int) -> nn.Module:
    return Flat(classes + 1, height, width)


def raises(classes: int, height: int, width: int) -> nn.Module:
    raise KeyError("width")


def no_network(classes: int, height: int, width: int) -> str:
    return "network"


def test_a_users_own_network_plugs_in() -> None:
    model = build_model(f"{__name__}:Flat", 4, (20, 30), mean=MEAN, std=STD)
    assert isinstance(model, Classifier)
    assert tuple(model(torch.rand(2, 1, 20, 30)).shape) == (2, 4)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet19", (24, 24), "there is no model 'resnet19'"),
        ("vgg16", (24, 12), "24×12 are too small"),
        (
            "no.such.package:net",
            (24, 24),
            r"could not import.*`git add no/such/package\.py`, and for a sweep commit",
        ),
        (
            "tests.models.broken_import:net",
            (24, 24),
            r"could not import.*no_such_library.*The import of .* fails",
        ),
        ("tests.models.broken_code:net", (24, 24), r"could not import.*NameError.* fails"),
        (f"{__name__}:raises", (24, 24), r"could not be called as .*\(3, 24, 24\): KeyError: 'width'"),
        (f"{__name__}:missing", (24, 24), "has no function 'missing'"),
        (f"{__name__}:wrong_output", (24, 24), r"must be \(2, 3\)"),
        (f"{__name__}:no_network", (24, 24), "gave a str"),
        (f"{__name__}:rgb_network", (24, 24), "could not be called"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, size: tuple[int, int], message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        build_model(name, 3, size)


def test_an_own_network_must_lie_where_dvc_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for file in (tmp_path / "networks" / "watched_network.py", tmp_path / "unwatched_network.py"):
        file.parent.mkdir(exist_ok=True)
        file.write_text("def build(classes, height, width): ...\n", encoding="utf-8")
    for name in ("resnet18", "networks.watched_network:build", "torchvision.models:resnet18"):
        require_watched(name, Path("networks"))
    with pytest.raises(AdvaudioError, match=r"unwatched_network\.py, .* networks\.unwatched_network:build"):
        require_watched("unwatched_network:build", Path("networks"))
    assert own_code("networks.watched_network:build") == tmp_path / "networks" / "watched_network.py"
    assert own_code("resnet18") is None
