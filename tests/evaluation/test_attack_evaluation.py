"""The attack stage's work: honest tables, budgets by rule, reproducible, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack, Goal, Meter, Model
from advaudio.core.errors import AdvaudioError
from advaudio.core.params import read_params
from advaudio.evaluation import attack_evaluation, chunk
from advaudio.evaluation.attack_evaluation import AttackEvaluation, draw_targets, evaluate_attack
from advaudio.evaluation.preflight import predict, share_without_gradient
from advaudio.robustness.clip_results import read_clip_results, write_clip_results
from tests.evaluation.networks import CLASSES, Blobs, pictures_and_labels

ATTACKS = read_params(Path(__file__).resolve().parents[2] / "params.yaml").attacks
LADDERS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "bim_a": ({"precision": 1.1}, [{"steps": 10}]),
    "bim_b": ({"precision": 1.1}, [{"steps": 10}]),
    "jsma": ({"theta": 0.5}, [{"iterations": 30}]),
    "deepfool": ({}, [{"iterations": 10}]),
    "cwa": ({"first_constant": 1.0, "learning_rate": 0.05}, [{"search_steps": 3, "iterations": 30}]),
    "pia": ({"samples": 10}, [{"iterations": 6}]),
}


def evaluate(name: str, **changes: Any) -> AttackEvaluation:
    pictures, labels = pictures_and_labels()
    settings, ladder = LADDERS.get(name, ({}, [{}]))
    arguments: dict[str, Any] = {
        "original": Blobs(60.0),
        "robust": Blobs(40.0, smoothing=0.5),
        "pictures": pictures,
        "labels": labels,
        "settings": settings,
        "ladder": ladder,
        "workers": 1,
    }
    arguments |= changes
    fixed = {key: value for key, value in ATTACKS.get(name, {}).items() if key in ("code", "stop_early")}
    arguments["settings"] = {**fixed, **arguments["settings"]}
    return evaluate_attack(name, **arguments)


@pytest.mark.parametrize("name", LADDERS)
def test_table_tells_what_the_models_say(name: str) -> None:
    pictures, labels = pictures_and_labels()
    evaluation = evaluate(name, examples=40, decibels_per_unit=80.0, spectrogram_rows=(0, 4))
    for model, network in (("original", Blobs(60.0)), ("robust", Blobs(40.0, smoothing=0.5))):
        rows = evaluation.table[evaluation.table["model"] == model].reset_index(drop=True)
        predicted = network(torch.from_numpy(pictures)[:, None]).argmax(1).numpy()
        np.testing.assert_array_equal(rows["predicted"], predicted)
        np.testing.assert_array_equal(rows["perturbation"].notna(), predicted == labels)
        assert 0.5 < rows["perturbation"].notna().mean() < 1
        kept = rows.set_index("sample").loc[evaluation.examples]
        adversarial = evaluation.adversarial[model]
        found = np.isfinite(kept["perturbation"].to_numpy())
        assert found.mean() > 0.8
        again = network(torch.from_numpy(adversarial)[:, None]).argmax(1).numpy()
        np.testing.assert_array_equal(kept["adversarial_label"][found], again[found])
        if evaluation.name != "deepfool":
            np.testing.assert_array_equal(kept["target"][found], again[found])
        difference = adversarial.astype(float) - evaluation.clean
        flat = difference.reshape(len(difference), -1)
        order = {"linf": np.inf, "l2": 2, "l0": 0}[evaluation.norm]
        norms = np.linalg.norm(flat, ord=order, axis=1)
        np.testing.assert_allclose(kept["perturbation"][found], norms[found], rtol=1e-9)
        decibels = 80 * np.abs(difference[:, :4]).max((1, 2))
        np.testing.assert_allclose(kept["decibels_peak"][found], decibels[found], rtol=1e-9)
        rms = 80 * np.sqrt(np.square(difference[:, :4]).mean((1, 2)))
        np.testing.assert_allclose(kept["decibels_rms"][found], rms[found], rtol=1e-9)


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    alone, together = evaluate("pia", workers=1), evaluate("pia", workers=2)
    pd.testing.assert_frame_equal(alone.table, together.table, check_exact=True)


def test_another_seed_draws_other_targets() -> None:
    assert not evaluate("bim_a", seed=1).table["target"].equals(evaluate("bim_a").table["target"])


def test_targets_are_wrong_uniform_and_each_clips_own() -> None:
    labels = np.random.default_rng(0).integers(CLASSES, size=3000)
    samples = np.arange(3000)
    targets = draw_targets(labels, samples, CLASSES, seed=5)
    assert (targets != labels).all()
    offset = np.bincount((targets - labels) % CLASSES, minlength=CLASSES)
    assert (np.abs(offset[1:] - 1000) < 120).all()
    order = np.random.default_rng(1).permutation(3000)
    np.testing.assert_array_equal(draw_targets(labels[order], samples[order], CLASSES, 5), targets[order])


@dataclass(frozen=True, kw_only=True)
class Shares(Attack):
    """Fools the samples whose brightest pixel is below `reach`, and counts one iteration each."""

    reach: float = 0.0
    untargeted_only: ClassVar[bool] = True
    norm: ClassVar[str] = "linf"  # type: ignore[assignment]

    def _search(
        self,
        model: Model,
        pictures: Tensor,
        goal: Goal,
        *,
        bounds: tuple[float, float],
        meter: Meter,
        starting_points: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        meter.add(torch.arange(len(pictures)), iterations=1)
        reached = pictures.flatten(1).amax(1) < self.reach
        return 1 - pictures, reached


def test_more_budget_goes_only_to_the_clips_not_yet_fooled_and_only_below_the_threshold() -> None:
    settings = {"code": "tests/evaluation/test_attack_evaluation.py"}
    pictures, _ = pictures_and_labels()
    brightest = pictures.max((1, 2))
    ladder = [{"reach": float(np.quantile(brightest, share))} for share in (0.5, 0.95)] + [{"reach": 2.0}]
    evaluation = evaluate("mine", settings=settings, ladder=ladder)
    rows = evaluation.table[
        (evaluation.table["model"] == "original") & evaluation.table["perturbation"].notna()
    ]
    bright = brightest[rows["sample"]]
    fooled = np.isfinite(rows["perturbation"].to_numpy())
    assert fooled.mean() >= 0.9
    np.testing.assert_array_equal(fooled, bright < ladder[1]["reach"])
    np.testing.assert_array_equal(rows["rung"], np.where(bright < ladder[0]["reach"], 1, 2))
    np.testing.assert_array_equal(rows["iterations"], rows["rung"])
    all_rungs = evaluate("mine", settings=settings, ladder=ladder, threshold=1.0).table
    assert all_rungs["rung"].max() == 3


def test_a_ladder_that_ends_below_the_threshold_says_so() -> None:
    table = evaluate("bim_a", ladder=[{"steps": 1, "largest_epsilon": 0.01}]).table
    assert np.isinf(table["perturbation"]).sum() > 20
    assert (table.loc[np.isinf(table["perturbation"]), "adversarial_label"] == -1).all()


def test_table_survives_its_file(tmp_path: Path) -> None:
    evaluation = evaluate("bim_a", ladder=[{"steps": 2, "largest_epsilon": 0.05}])
    assert np.isinf(evaluation.table["perturbation"]).any()
    write_clip_results(tmp_path / "clips.csv", evaluation.table)
    again = read_clip_results(tmp_path / "clips.csv")
    pd.testing.assert_frame_equal(again, evaluation.table, check_exact=True, check_dtype=False)


def test_rows_of_the_examples_describe_the_pictures_beside_them(tmp_path: Path) -> None:
    evaluation = evaluate("bim_a", ladder=[{"steps": 2, "largest_epsilon": 0.05}])
    evaluation.write_examples(tmp_path)
    rows = pd.read_csv(tmp_path / "examples.csv")
    clean = np.load(tmp_path / "clean.npy")
    assert len(clean) == 8
    for model in ("original", "robust"):
        changed = np.abs(np.load(tmp_path / f"{model}.npy").astype(float) - clean).max(axis=(1, 2))
        told = rows.loc[rows["model"] == model, "perturbation"].to_numpy()
        np.testing.assert_allclose(np.where(np.isfinite(told), told, 0.0), changed, atol=1e-6)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_evaluation, "CHUNK_ON_CPU", 8)
    expected = evaluate("cwa").table
    attacked: list[int] = []
    real = chunk._attack

    def dies_after_three(task: chunk.Chunk, *rest: Any) -> chunk.ChunkResult:
        if len(attacked) == 3:
            raise KeyboardInterrupt
        attacked.append(len(task.pictures))
        return real(task, *rest)

    monkeypatch.setattr(chunk, "_attack", dies_after_three)
    with pytest.raises(KeyboardInterrupt):
        evaluate("cwa", checkpoint_folder=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    files[0].write_bytes(b"half a file")

    def counts(task: chunk.Chunk, *rest: Any) -> chunk.ChunkResult:
        attacked.append(len(task.pictures))
        return real(task, *rest)

    monkeypatch.setattr(chunk, "_attack", counts)
    chunks_before = len(attacked)
    resumed = evaluate("cwa", checkpoint_folder=tmp_path).table
    pd.testing.assert_frame_equal(resumed, expected, check_exact=True)
    chunks = len(list(tmp_path.iterdir()))
    assert len(attacked) - chunks_before == chunks - 2
    other = evaluate("cwa", checkpoint_folder=tmp_path, original=Blobs(61.0)).table
    assert not other.equals(expected), "a checkpoint of another model was taken"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ladder": []}, "no budget"),
        ({"ladder": [{"stepz": 3}]}, "no setting stepz"),
        ({"settings": {"growth": 0.5}}, "1.0001 or more"),
        ({"settings": {"code": "nowhere.py"}}, "cannot be imported"),
        ({"settings": {"code": "advaudio/core/files.py"}}, "one subclass .* it defines none"),
        ({"labels": np.zeros(3, dtype=int)}, "one label"),
        ({"samples": np.zeros(40, dtype=int)}, "same sample number"),
    ],
)
def test_wrong_input_is_refused_before_any_work(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        evaluate("bim_a", **changes)


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.randn(len(x), 4) + x.mean()


class NotFinite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4] / 0


class Flat(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :1]


def plain_network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))


@pytest.mark.parametrize(
    "network", [Blobs(0.5), plain_network(), nn.Sequential(plain_network(), nn.LogSoftmax(1))]
)
def test_preflight_lets_logits_pass(network: nn.Module) -> None:
    pictures, _ = pictures_and_labels()
    with torch.no_grad():
        expected = network(torch.from_numpy(pictures)[:, None]).numpy()
    np.testing.assert_allclose(predict(network, pictures), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Noisy(), "must not be random"),
        (NotFinite(), "not finite"),
        (Flat(), "returns shape"),
        (
            nn.Sequential(Blobs(60.0), nn.Softmax(1)),
            "gives probabilities.*remove the softmax at its end, and train",
        ),
        (nn.Sequential(plain_network(), nn.Sigmoid()), "saturate at 0 and 1"),
        (nn.Sequential(plain_network(), nn.Tanh()), "saturate at -1 and 1"),
    ],
)
def test_preflight_refuses_what_cannot_be_attacked(network: nn.Module, message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        evaluate("bim_a", original=network)


def test_the_search_for_gradient_masking_refuses_probabilities_too() -> None:
    pictures, labels = (torch.from_numpy(array) for array in pictures_and_labels())
    model = nn.Sequential(Blobs(60.0), nn.Softmax(1))
    with pytest.raises(AdvaudioError, match="gives probabilities"):
        share_without_gradient(model, pictures[:, None], labels)
    assert share_without_gradient(Blobs(60.0), pictures[:, None], labels) == 0


def test_preflight_refuses_pictures_outside_the_unit_interval() -> None:
    pictures, _ = pictures_and_labels()
    with pytest.raises(AdvaudioError, match="leave"):
        predict(Blobs(60.0), pictures + 1)


def test_examples_are_the_same_clips_for_every_attack() -> None:
    chosen: Sequence[Any] = [evaluate(name, examples=6).examples.tolist() for name in ("bim_a", "deepfool")]
    assert chosen[0] == chosen[1]
    _, labels = pictures_and_labels()
    assert len(set(labels[chosen[0]][:CLASSES])) == CLASSES
