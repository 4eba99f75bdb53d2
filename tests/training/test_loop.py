"""Best epoch, collapse, schedule, optimiser groups, batches and scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from advaudio.core.device import torch_devices
from advaudio.core.errors import AdvaudioError
from advaudio.core.settings import AdversarialSettings, TrainingSettings
from advaudio.models.classifier import Classifier
from advaudio.models.registry import build_model
from advaudio.training.checkpoints import Checkpoint
from advaudio.training.loop import Epoch, Speed, best_epoch, collapsed_epoch
from advaudio.training.measures import Score, pgd_accuracies, score
from advaudio.training.optimisers import build_optimiser, one_cycle
from advaudio.training.pictures import PictureBatches, cut, picture_facts
from advaudio.training.steps import step_mode, stepper
from advaudio.training.watch import Watch


def history(
    accuracies: list[float],
    collapsed: list[bool | None] | None = None,
    losses: list[float] | None = None,
) -> list[Epoch]:
    collapsed = collapsed or [None] * len(accuracies)
    losses = losses or [1.0] * len(accuracies)
    return [
        Epoch(0, 0, number, 1.0, 0.5, loss, accuracy, 0.5, 0.5, seen)
        for number, (accuracy, loss, seen) in enumerate(
            zip(accuracies, losses, collapsed, strict=True), start=1
        )
    ]


@pytest.mark.parametrize(
    ("accuracies", "losses", "expected"),
    [
        ([0.3], [1.0], 1),
        ([0.3, 0.5, 0.4], [1.0, 2.0, 1.0], 2),
        ([0.3, 0.5, 0.5], [1.0, 1.0, 1.0], 2),
        ([0.5, 0.4, 0.5], [1.0, 0.3, 0.5], 3),
        ([0.5, 0.4, 0.5], [0.5, 0.3, 1.0], 1),
    ],
)
def test_accuracy_then_loss_then_time_decides(
    accuracies: list[float], losses: list[float], expected: int
) -> None:
    assert best_epoch(history(accuracies, losses=losses)) == expected


@pytest.mark.parametrize(
    ("collapsed", "expected"),
    [([None, None], None), ([False, False], None), ([False, True, False, True], 2)],
)
def test_the_first_collapse_is_kept(collapsed: list[bool | None], expected: int | None) -> None:
    assert collapsed_epoch(history([0.5] * len(collapsed), collapsed)) == expected


@given(steps=st.integers(1, 500), peak=st.floats(1e-5, 1.0), warm_up=st.floats(0, 0.99, exclude_max=True))
def test_one_cycle_rises_to_the_peak_and_falls_to_a_thousandth(
    steps: int, peak: float, warm_up: float
) -> None:
    rates = [one_cycle(step, steps, peak, warm_up) for step in range(steps)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(peak)
    assert top == int(warm_up * steps)
    assert all(rate > 0 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps - top > 1:
        assert rates[-1] == pytest.approx(peak / 1000)


def test_only_weights_decay() -> None:
    model = build_model("tests.training.networks:Tiny", 3, (8, 8))
    settings = TrainingSettings(optimiser="sgd", learning_rate=0.1, weight_decay=0.01)
    decaying, others = build_optimiser(model, settings).param_groups
    assert {parameter.ndim for parameter in decaying["params"]} == {2, 4}
    assert {parameter.ndim for parameter in others["params"]} == {1}
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.01, 0.0)


def test_one_sgd_step_is_the_formula() -> None:
    model = build_model("tests.training.networks:Auxiliary", 3, (4, 4)).train()
    settings = TrainingSettings(optimiser="sgd", learning_rate=0.1, weight_decay=0.02)
    x, y = torch.rand(5, 1, 4, 4), torch.tensor([0, 1, 2, 1, 0])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    logits = model.all_logits(x)
    loss = nn.functional.cross_entropy(logits[0], y) + 0.3 * nn.functional.cross_entropy(logits[1], y)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    step = stepper(
        model,
        build_optimiser(model, settings),
        None,
        AdversarialSettings(),
        settings,
        bfloat16=False,
        mode="eager",
    )
    got, _ = step(x, y)
    torch.testing.assert_close(got, loss.detach())
    for parameter, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        slope = gradient + (0.02 * old if old.ndim > 1 else 0)
        # Nesterov's first step: the velocity is the slope itself, looked ahead by momentum 0.9.
        torch.testing.assert_close(parameter.detach(), old - 0.1 * 1.9 * slope)


def test_modes() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    assert step_mode(TrainingSettings(), cpu, 10**9) == "eager"
    assert step_mode(TrainingSettings(), cuda, 10**5) == "graph"
    assert step_mode(TrainingSettings(), cuda, 10**7) == "compiled"
    assert step_mode(TrainingSettings(compile="off"), cuda, 10**7) == "eager"
    assert step_mode(TrainingSettings(compile="always"), cuda, 10**5) == "compiled"
    assert step_mode(TrainingSettings(compile="always"), cpu, 10**9) == "eager"


def test_batches_are_the_rows_in_order() -> None:
    pictures = np.random.default_rng(0).random((10, 3, 4), dtype=np.float32)
    on_device = PictureBatches(pictures, np.arange(10), torch.device("cpu"))
    parts = cut(np.array([7, 1, 4, 9, 0]), 2)
    batches = list(on_device.batches(parts))
    assert [tuple(x.shape) for x, _ in batches] == [(2, 1, 3, 4), (2, 1, 3, 4), (1, 1, 3, 4)]
    np.testing.assert_array_equal(torch.cat([y for _, y in batches]), [7, 1, 4, 9, 0])
    np.testing.assert_array_equal(torch.cat([x for x, _ in batches])[:, 0], pictures[[7, 1, 4, 9, 0]])


def test_mean_and_std_are_numpys(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).random((3000, 5, 4), dtype=np.float32)
    np.save(tmp_path / "pictures.npy", pictures)
    rows = np.arange(0, 3000, 2)
    mean, std = picture_facts(tmp_path / "pictures.npy").mean_and_std(rows)
    assert mean == pytest.approx(pictures[rows].mean(dtype=np.float64), rel=1e-12)
    assert std == pytest.approx(pictures[rows].std(dtype=np.float64), rel=1e-12)


def test_balanced_accuracy_weighs_classes_not_clips() -> None:
    result = Score(0.0, np.array([[8, 0, 0], [1, 1, 0], [0, 0, 0]]))
    assert result.accuracy == pytest.approx(0.9)
    assert result.balanced_accuracy == pytest.approx(0.75)


def test_score_and_pgd_of_a_linear_model_are_exact() -> None:
    # One pixel's sign decides: logits ±(x − 0.5), so PGD within ε flips exactly those nearer than ε.
    model = build_model("tests.training.networks:Auxiliary", 2, (2, 2), mean=0.5, std=1.0)
    main = model.network.main
    assert isinstance(main, nn.Linear)
    with torch.no_grad():
        main.weight.zero_()
        main.bias.zero_()
        main.weight[1, 0], main.weight[0, 0] = 1.0, -1.0
    pixels = np.array([0.1, 0.42, 0.47, 0.53, 0.56, 0.9], np.float32)
    pictures = np.full((6, 2, 2), 0.5, np.float32)
    pictures[:, 0, 0] = pixels
    on_device = PictureBatches(pictures, np.array([0, 0, 1, 1, 1, 1]), torch.device("cpu"))
    rows = np.arange(6)
    result = score(model, on_device, rows, 2)
    np.testing.assert_array_equal(result.confusion, [[2, 0], [1, 3]])
    margins = np.tanh(pixels - 0.5) * np.array([-1, -1, 1, 1, 1, 1])
    assert result.loss == pytest.approx(float(np.mean(np.log1p(np.exp(-2 * margins)))), rel=1e-5)
    for epsilon, expected in ((0.01, 5), (0.05, 4), (0.07, 3), (0.09, 2), (0.41, 0)):
        assert pgd_accuracies(model, on_device, rows, [epsilon], 5) == [pytest.approx(expected / 6)]


class Bump(nn.Module):
    """Takes pictures whose first pixel lies in (0.6, 0.8) for class 1: a long step from 0.52 goes too far."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wrong = torch.relu(0.2 - (x[:, 0, 0, 0] - 0.7).abs()) * 10 - 1
        return torch.stack([-wrong, wrong], 1)


@pytest.mark.parametrize("resident", [False, True], ids=["mapped", "on the device"])
def test_within_a_larger_bound_no_more_clips_are_right(resident: bool) -> None:
    model = Classifier(Bump(), mean=0.0, std=1.0, size=(2, 2))
    pictures = np.full((3, 2, 2), 0.5, np.float32)
    pictures[:, 0, 0] = [0.52, 0.505, 0.7]
    on_device = PictureBatches(pictures, np.array([0, 0, 0]), torch.device("cpu"))
    if resident:
        on_device.resident = torch.from_numpy(pictures)
    rows = np.arange(3)
    assert pgd_accuracies(model, on_device, rows, [0.9], 1) == pytest.approx([2 / 3])
    assert pgd_accuracies(model, on_device, rows, [0.09, 0.9, 0.01], 1) == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3]
    )
    assert pgd_accuracies(model, on_device, rows[2:], [0.01, 0.09], 1) == [0, 0]
    assert pgd_accuracies(model, on_device, rows, [], 1) == []


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "googlenet"])
def test_networks_of_all_folds_share_one_compilation_and_keep_their_weights(name: str) -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    for fold in range(3):
        model = build_model(name, 3, (64, 64), mean=0.1 * fold, std=1.0 + fold, seed=fold).train()
        compiled = torch.compile(model.all_logits, dynamic=False, backend=backend)
        x = torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(fold))
        torch.manual_seed(0)
        expected = model.all_logits(x)
        torch.manual_seed(0)
        found = compiled(x)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
    assert len(graphs) == 1


def test_checkpoints_skip_writes_that_cost_too_much(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt", "digest")
    checkpoint.save({"epoch": 1})
    checkpoint._next_write = math.inf
    checkpoint.save({"epoch": 2})
    assert checkpoint.load(torch.device("cpu")) == {"epoch": 1, "digest": "digest"}


def test_the_first_checkpoint_waits_until_it_costs_little(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state.pt", "digest")
    gigabytes = torch.empty(10**9, dtype=torch.float32, device="meta")
    checkpoint.save({"model": {"weight": gigabytes}})
    assert checkpoint.load(torch.device("cpu")) is None


def test_watch_adds_up_the_folds() -> None:
    calls: list[tuple[int, int, str]] = []
    epochs: list[Epoch] = []
    watch = Watch({(0, 0): 100, (0, 1): 60}, lambda *call: calls.append(call), epochs.append, "Training")
    watch.receive(Speed(0, 0, 20, 150.0))
    watch.receive(Speed(0, 1, 10, 50.0))
    assert calls[-1] == (30, 160, "Training: 200 images/s")
    row = Epoch(0, 0, 1, 1.25, 0.5, 1.0, 0.625, None, None, None)
    watch.receive(row)
    assert calls[-1] == (30, 160, "Training: loss 1.250, validation accuracy 62.5%, 200 images/s")
    watch.finish((0, 0))
    watch.finish((0, 1))
    assert calls[-1][:2] == (160, 160)
    assert epochs == [row]


def test_cuda_without_a_gpu_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_devices("auto") == torch_devices("cpu") == ("cpu",)
    with pytest.raises(AdvaudioError, match="nvidia-smi"):
        torch_devices("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert torch_devices("auto") == ("cuda:0", "cuda:1", "cuda:2")
