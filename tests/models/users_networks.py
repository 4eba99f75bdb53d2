"""Networks as users bring them, right and wrong: each is a function (classes, height, width) → module."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Build = Callable[[int, int, int], nn.Module]


class Made(nn.Module):
    """Layers, and a function that uses them."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: Any) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.function = forward

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def body(classes: int, height: int, width: int, *end: nn.Module) -> nn.Sequential:
    """A small network that ends in `end`."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * ((height + 1) // 2) * ((width + 1) // 2), classes),
        *end,
    )


def last_layer(network: nn.Sequential) -> nn.Linear:
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def ending(*end: Callable[[], nn.Module]) -> Build:
    return lambda classes, height, width: body(classes, height, width, *(make() for make in end))


def around(forward: Callable[[Any, Tensor], Any], **more: Callable[[], Any]) -> Build:
    """A small network `net` within a module whose forward pass is `forward(self, x)`."""
    return lambda c, h, w: Made(forward, net=body(c, h, w), **{name: make() for name, make in more.items()})


class Scaled(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def scaled(function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Scaled(function)


# --- networks that are right ---------------------------------------------------------------------------------------


def shared_blocks(classes: int, height: int, width: int) -> nn.Module:
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1),
        *nn.ModuleList([block] * 3),
        nn.Flatten(),
        nn.Linear(4 * ((height + 1) // 2) * ((width + 1) // 2), classes),
    )


def tied_weights(classes: int, height: int, width: int) -> nn.Module:
    encoder, decoder = nn.Linear(height * width, 8), nn.Linear(height * width, 8)
    decoder.weight = encoder.weight
    last = nn.Linear(8, classes)
    return Made(
        lambda self, x: self.last(
            torch.relu(self.encoder(x.flatten(1)) + self.decoder(x.flatten(1).flip(1)))
        ),
        encoder=encoder,
        decoder=decoder,
        last=last,
    )


def weights_that_overlap(classes: int, height: int, width: int) -> nn.Module:
    whole = nn.Linear(height * width, 2 * classes)
    part = nn.Linear(height * width, classes)
    part.weight = nn.Parameter(whole.weight.detach()[:classes])
    return Made(
        lambda self, x: self.whole(x.flatten(1))[:, : len(self.part.bias)] + self.part(x.flatten(1)),
        whole=whole,
        part=part,
    )


def lazy(classes: int, height: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(6, 3, 2), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes)
    )


class MadeAtFirstUse(nn.Module):
    """Makes its last layer when it sees how many features there are."""

    def __init__(self, classes: int, only_in_training: bool = False) -> None:
        super().__init__()
        self.classes, self.only_in_training = classes, only_in_training
        self.first = nn.LazyLinear(classes) if only_in_training else nn.Flatten()
        self.last: nn.Linear | None = None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = x.flatten(1)
        if self.last is None and (self.training or not self.only_in_training):
            self.last = nn.Linear(x.shape[1], self.classes)
        if not self.only_in_training:
            assert self.last is not None
            logits: Tensor = self.last(x)
            return logits
        if self.training:
            assert self.last is not None
            return self.first(x), self.last(x)
        first: Tensor = self.first(x)
        return first


def made_at_first_use(classes: int, height: int, width: int) -> nn.Module:
    return MadeAtFirstUse(classes)


def auxiliary_head_made_in_training(classes: int, height: int, width: int) -> nn.Module:
    return MadeAtFirstUse(classes, only_in_training=True)


def drawn_by_numpy_and_python(classes: int, height: int, width: int) -> nn.Module:
    network = body(classes, height, width)
    with torch.no_grad():
        last = last_layer(network).weight
        last.copy_(torch.tensor(np.random.normal(size=last.shape), dtype=torch.float32))  # noqa: NPY002
        last_layer(network).bias.fill_(random.random())
    return network


def last_layer_of_zeros(classes: int, height: int, width: int) -> nn.Module:
    network = body(classes, height, width)
    nn.init.zeros_(last_layer(network).weight)
    nn.init.zeros_(last_layer(network).bias)
    return network


def cosine(classes: int, height: int, width: int) -> nn.Module:
    """Logits are cosines of angles, in [-1, 1]."""
    features = body(16, height, width)
    return Made(
        lambda self, x: (
            nn.functional.normalize(self.features(x)) @ nn.functional.normalize(self.centres, dim=1).T
        ),
        features=features,
        centres=nn.Parameter(torch.randn(classes, 16)),
    )


def learned_temperature(classes: int, height: int, width: int) -> nn.Module:
    return Made(
        lambda self, x: self.net(x) * self.scale.exp(),
        net=body(classes, height, width),
        scale=nn.Parameter(torch.tensor(0.0)),
    )


def weight_norm(classes: int, height: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(height * width, classes)))


def spectral_norm(classes: int, height: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), parametrizations.spectral_norm(nn.Linear(height * width, classes)))


def small_positive_logits(classes: int, height: int, width: int) -> nn.Module:
    """Logits that happen to lie in [0, 1] at the start."""
    network = body(classes, height, width)
    with torch.no_grad():
        last_layer(network).weight.mul_(0.01)
        last_layer(network).bias.fill_(0.3)
    return network


def channels_last(classes: int, height: int, width: int) -> nn.Module:
    return body(classes, height, width).to(memory_format=torch.channels_last)


def frozen_features(classes: int, height: int, width: int) -> nn.Module:
    network = body(classes, height, width)
    network[0].requires_grad_(False)
    return network


def recurrent(classes: int, height: int, width: int) -> nn.Module:
    return Made(
        lambda self, x: self.last(self.gru(x.squeeze(1).transpose(1, 2))[0][:, -1]),
        gru=nn.GRU(height, 8, batch_first=True),
        last=nn.Linear(8, classes),
    )


def attention(classes: int, height: int, width: int) -> nn.Module:
    return Made(
        lambda self, x: self.last(self.layer(self.embed(x.squeeze(1))).mean(1)),
        embed=nn.Linear(width, 8),
        layer=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        last=nn.Linear(8, classes),
    )


log_softmax = ending(lambda: nn.LogSoftmax(1))
relu_at_the_end = ending(nn.ReLU)
soft_cap = ending(scaled(lambda x: 30 * torch.tanh(x / 30)))
pooled_maps = around(lambda self, x: self.net(x))

RIGHT = (
    "shared_blocks",
    "tied_weights",
    "weights_that_overlap",
    "lazy",
    "made_at_first_use",
    "auxiliary_head_made_in_training",
    "drawn_by_numpy_and_python",
    "last_layer_of_zeros",
    "cosine",
    "learned_temperature",
    "weight_norm",
    "spectral_norm",
    "small_positive_logits",
    "channels_last",
    "frozen_features",
    "recurrent",
    "attention",
    "log_softmax",
    "relu_at_the_end",
    "soft_cap",
)

# --- networks that are wrong ---------------------------------------------------------------------------------------

softmax = ending(lambda: nn.Softmax(1))
softmax_with_temperature = ending(scaled(lambda x: (x / 5).softmax(1)))
smoothed_probabilities = ending(scaled(lambda x: 0.9 * x.softmax(1) + 0.1 / x.shape[1]))
percent = ending(scaled(lambda x: 10 * x.softmax(1)))
sigmoid = ending(nn.Sigmoid)
tanh = ending(nn.Tanh)
hard_sigmoid = ending(nn.Hardsigmoid)
relu6 = ending(nn.ReLU6)
squeezed = around(lambda self, x: self.net(x).squeeze())
dictionary = around(lambda self, x: {"logits": self.net(x), "features": x})
pair = around(lambda self, x: (self.net(x), x.flatten(1)))
pair_in_training = around(lambda self, x: (self.net(x), x.flatten(1)) if self.training else self.net(x))
nothing = around(lambda self, x: None)
labels = around(lambda self, x: self.net(x).argmax(1))
half_outputs = around(lambda self, x: self.net(x).half())
float64_inside = around(lambda self, x: self.net.double()(x.double()))
maps = around(lambda self, x: self.net(x)[:, :, None, None])
random_in_evaluation = around(lambda self, x: nn.functional.dropout(self.net(x), 0.5))
mixes_the_batch = around(lambda self, x: self.net(x) - self.net(x).mean(0, keepdim=True))
division_by_zero = around(lambda self, x: self.net(x) / (x - x).sum())
root_of_zero = around(lambda self, x: self.net(x) + (0 * x).sqrt().flatten(1).sum(1, keepdim=True))
detached = around(lambda self, x: self.net(x.detach()))
rounded = around(lambda self, x: self.net((x * 4).round() / 4))
compared = around(lambda self, x: self.net((x > 0).float()))
index_error = around(lambda self, x: [self.net(x)][1])
through_numpy = around(lambda self, x: self.net(torch.from_numpy(np.log1p(x.numpy() ** 2))))


def features_without_gradient(classes: int, height: int, width: int) -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.features(x)
        logits: Tensor = self.last(features)
        return logits

    return Made(forward, features=body(16, height, width), last=nn.Linear(16, classes))


def float64_weights(classes: int, height: int, width: int) -> nn.Module:
    return body(classes, height, width).double()


def half_weights(classes: int, height: int, width: int) -> nn.Module:
    return body(classes, height, width).half()


def layers_in_a_list(classes: int, height: int, width: int) -> nn.Module:
    hidden = [nn.Linear(height * width, 8), nn.ReLU()]
    return Made(lambda self, x: self.last(hidden[1](hidden[0](x.flatten(1)))), last=nn.Linear(8, classes))


def random_features_outside_of_the_state(classes: int, height: int, width: int) -> nn.Module:
    projection = torch.randn(height * width, 8)
    return Made(lambda self, x: self.last((x.flatten(1) @ projection).cos()), last=nn.Linear(8, classes))


def own_generator(classes: int, height: int, width: int) -> nn.Module:
    network = body(classes, height, width)
    generator = torch.Generator()
    generator.seed()
    nn.init.normal_(last_layer(network).weight, generator=generator)
    return network


def expanded_buffer(classes: int, height: int, width: int) -> nn.Module:
    network = body(classes, height, width)
    network.register_buffer("window", torch.ones(1).expand(5))
    return network


class ExtraState(nn.Sequential):
    def get_extra_state(self) -> Any:
        return {"version": 3}

    def set_extra_state(self, state: Any) -> None: ...


def extra_state(classes: int, height: int, width: int) -> nn.Module:
    return ExtraState(*body(classes, height, width))


def lazy_layer_never_used(classes: int, height: int, width: int) -> nn.Module:
    return Made(lambda self, x: self.net(x), net=body(classes, height, width), spare=nn.LazyLinear(3))


def no_weights(classes: int, height: int, width: int) -> nn.Module:
    return Made(lambda self, x: x.flatten(1)[:, :classes])


def all_frozen(classes: int, height: int, width: int) -> nn.Module:
    return body(classes, height, width).requires_grad_(False)
