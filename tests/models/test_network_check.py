"""Networks that users bring: those that are right pass and come back from their file, each fault has its paragraph."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from advaudio.core.errors import AdvaudioError
from advaudio.models.logits import are_probabilities, why_no_logits
from advaudio.models.model_file import load_model, save_model
from advaudio.models.network_check import random_pictures
from advaudio.models.registry import ARCHITECTURES, build_model, trial_model
from tests.models import users_networks
from tests.models.users_networks import RIGHT

SIZE = (9, 7)
MODULE = users_networks.__name__


def numpy_state() -> str:
    return str(np.random.get_state())  # noqa: NPY002


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("name", RIGHT)
def test_a_network_that_is_right_passes(name: str, classes: int) -> None:
    trial_model(f"{MODULE}:{name}", classes, SIZE)


@pytest.mark.parametrize("name", RIGHT)
def test_it_comes_back_from_its_file_after_a_step(name: str, tmp_path: Path) -> None:
    full = f"{MODULE}:{name}"
    model = build_model(full, 3, SIZE, seed=5)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(weights, lr=0.1)
    outputs = model.all_logits(random_pictures(SIZE))
    torch.stack(
        [torch.nn.functional.cross_entropy(out, torch.arange(8) % 3) for out in outputs]
    ).sum().backward()
    optimiser.step()
    save_model(model, tmp_path / "model.safetensors", {"model": full, "classes": 3})
    loaded = load_model(tmp_path / "model.safetensors")
    pictures = torch.rand(4, 1, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(loaded(pictures), model.eval()(pictures), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RIGHT)
def test_every_weight_follows_from_the_seed(name: str) -> None:
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    random.seed(99)
    before = torch.get_rng_state(), random.getstate(), numpy_state()
    one = build_model(f"{MODULE}:{name}", 3, SIZE, seed=4).state_dict()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), numpy_state())
    torch.manual_seed(98)
    np.random.seed(98)  # noqa: NPY002
    random.seed(98)
    same = build_model(f"{MODULE}:{name}", 3, SIZE, seed=4).state_dict()
    other = build_model(f"{MODULE}:{name}", 3, SIZE, seed=6).state_dict()
    assert one.keys() == same.keys()
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert any(not torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softmax", r"gives probabilities: .* remove the softmax"),
        ("softmax_with_temperature", "gives probabilities"),
        ("smoothed_probabilities", "gives probabilities"),
        ("percent", "gives outputs that saturate at 0 and 10"),
        ("sigmoid", "gives outputs that saturate at 0 and 1"),
        ("tanh", "gives outputs that saturate at -1 and 1"),
        ("hard_sigmoid", "gives outputs that saturate at 0 and 1"),
        ("relu6", "gives outputs that saturate at 0 and 6"),
        ("squeezed", r"shape \(3,\) for one picture in evaluation mode; it must be \(1, 3\).*`squeeze`"),
        (
            "dictionary",
            r"returns a dict with the keys logits, features in evaluation mode.*Return the logits alone",
        ),
        ("pair", r"returns a tuple of 2 in evaluation mode"),
        (
            "pair_in_training",
            r"shape \(2, 63\) for 2 pictures in training mode.*All items of a tuple count as logits",
        ),
        ("nothing", "returns a NoneType"),
        ("labels", r"shape \(2,\) for 2 pictures"),
        ("maps", r"shape \(2, 3, 1, 1\)"),
        ("half_outputs", "gives float16, not float32"),
        ("float64_inside", "gives float64, not float32"),
        ("float64_weights", r"has weights in float64, and pictures are float32 \(.*\)\. Build it in float32"),
        ("half_weights", r"has weights in float16"),
        ("random_in_evaluation", "same pictures different logits in evaluation mode"),
        ("mixes_the_batch", "other logits when it is alone"),
        ("division_by_zero", "logits that are not finite"),
        ("root_of_zero", "gradient at the picture that is not finite"),
        ("features_without_gradient", r"no gradient at the picture. .*`torch.no_grad\(\)`"),
        ("detached", "no gradient at the picture"),
        ("compared", "no gradient at the picture"),
        ("rounded", "whose gradient at the picture is zero"),
        ("index_error", "cannot take pictures of 9×7: IndexError: list index out of range"),
        ("through_numpy", r"no gradient at the picture \(Can't call numpy\(\)"),
        ("layers_in_a_list", "other logits after it was saved and loaded.*`nn.ModuleList` instead of a list"),
        ("random_features_outside_of_the_state", "other logits after it was saved and loaded"),
        ("own_generator", r"built twice from one seed: network\.4\.weight differs"),
        ("expanded_buffer", "cannot be saved and loaded"),
        ("extra_state", "cannot be saved: The network keeps network._extra_state in its state, a dict"),
        ("lazy_layer_never_used", r"weights that are not drawn when it is used: spare\.weight"),
        ("no_weights", "no weights that can be trained"),
        ("all_frozen", "no weights that can be trained"),
    ],
)
def test_a_fault_is_one_paragraph_that_names_the_network(name: str, message: str) -> None:
    with pytest.raises(AdvaudioError, match=message) as caught:
        trial_model(f"{MODULE}:{name}", 3, SIZE)
    assert f"{MODULE}:{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "resnet56", "googlenet"])
@pytest.mark.parametrize("classes", [2, 10])
def test_the_published_networks_give_logits(name: str, classes: int) -> None:
    assert name in ARCHITECTURES
    model = build_model(name, classes, (24, 24)).eval()
    pictures = random_pictures((24, 24))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert why_no_logits(model, pictures, model(pictures).detach()) is None
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_trained_network_that_is_sure_still_gives_logits() -> None:
    model = build_model(f"{MODULE}:body", 3, SIZE)
    pictures = torch.rand(24, 1, *SIZE)
    labels = torch.arange(24) % 3
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(pictures), labels).backward()
        optimiser.step()
    logits = model.eval()(pictures).detach()
    assert logits.softmax(1).amax(1).median() > 0.99
    assert why_no_logits(model, pictures, logits) is None


def test_probabilities_are_told_from_logits() -> None:
    logits = torch.randn(50, 4)
    assert are_probabilities(logits.softmax(1))
    assert are_probabilities(torch.eye(4))
    assert not are_probabilities(logits)
    assert not are_probabilities(logits.log_softmax(1))
    assert not are_probabilities(logits.sigmoid())
    assert not are_probabilities(logits / logits.sum(1, keepdim=True))
    assert not are_probabilities(torch.empty(0, 4))
