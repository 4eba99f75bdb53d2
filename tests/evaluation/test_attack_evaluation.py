"""The attack stage's work: honest tables, budgets by rule, reproducible, resumable."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from advaudio.attack_interface.base import Attack
from advaudio.attack_interface.clip_results import read_attack_results
from advaudio.attack_interface.problem import Problem
from advaudio.clips.picture_layout import Layout
from advaudio.core.errors import AdvaudioError
from advaudio.core.params import read_params
from advaudio.core.resume import code_digest
from advaudio.evaluation import attack_evaluation, chunk
from advaudio.evaluation.attack_evaluation import AttackEvaluation, Resources, draw_targets, evaluate_attack
from advaudio.evaluation.attacked_clips import AttackedClips
from advaudio.evaluation.budget_schedule import budget_schedule
from advaudio.evaluation.preflight import predict, share_without_gradient
from tests.evaluation.networks import CLASSES, SIZE, Blobs, pictures_and_labels

ATTACKS = read_params(Path(__file__).resolve().parents[2] / "params.yaml").attacks
BUDGETS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "bim_a": ({"precision": 1.1}, [{"steps": 10}]),
    "bim_b": ({"precision": 1.1}, [{"steps": 10}]),
    "jsma": ({"theta": 0.5}, [{"iterations": 30}]),
    "deepfool": ({}, [{"iterations": 10}]),
    "cwa": ({"first_constant": 1.0, "learning_rate": 0.05}, [{"search_steps": 3, "iterations": 30}]),
    "pia": ({"samples": 10}, [{"iterations": 6}]),
}


def evaluate(name: str, **changes: Any) -> AttackEvaluation:
    pictures, labels = pictures_and_labels()
    settings, budgets = BUDGETS.get(name, ({}, [{}]))
    given: dict[str, Any] = {
        "original": Blobs(60.0),
        "robust": Blobs(40.0, smoothing=0.5),
        "pictures": pictures,
        "labels": labels,
        "samples": np.arange(len(pictures)),
        "settings": settings,
        "budgets": budgets,
        "seed": 0,
        "workers": 1,
        "checkpoints": None,
    }
    given |= {key: value for key, value in changes.items() if key in given}
    others = {key: value for key, value in changes.items() if key not in given}
    fixed = {key: value for key, value in ATTACKS.get(name, {}).items() if key in ("code", "stop_early")}
    return evaluate_attack(
        budget_schedule(name, {**fixed, **given["settings"]}, given["budgets"], seed=given["seed"]),
        AttackedClips(given["pictures"], given["labels"], given["samples"]),
        {"original": given["original"], "robust": given["robust"]},
        resources=Resources(workers=given["workers"], checkpoints=given["checkpoints"]),
        **others,
    )


def table_of(name: str, **changes: Any) -> pd.DataFrame:
    return evaluate(name, **changes).results.table


LAYOUT = Layout("stft", SIZE, SIZE, 1.0, frequencies=range(4), centroids=list("abcd"), decibels_per_unit=80.0)


@pytest.mark.parametrize("name", BUDGETS)
def test_table_tells_what_the_models_say(name: str) -> None:
    pictures, labels = pictures_and_labels()
    evaluation = evaluate(name, examples=40, layout=LAYOUT)
    table = evaluation.results.table
    for model, network in (("original", Blobs(60.0)), ("robust", Blobs(40.0, smoothing=0.5))):
        rows = table[table["model"] == model].reset_index(drop=True)
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
        order = {"linf": np.inf, "l2": 2, "l0": 0}[evaluation.results.norm]
        norms = np.linalg.norm(flat, ord=order, axis=1)
        np.testing.assert_allclose(kept["perturbation"][found], norms[found], rtol=1e-9)
        decibels = 80 * np.abs(difference[:, :4]).max((1, 2))
        np.testing.assert_allclose(kept["decibels_peak"][found], decibels[found], rtol=1e-9)
        rms = 80 * np.sqrt(np.square(difference[:, :4]).mean((1, 2)))
        np.testing.assert_allclose(kept["decibels_rms"][found], rms[found], rtol=1e-9)


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    alone, together = table_of("pia", workers=1), table_of("pia", workers=2)
    pd.testing.assert_frame_equal(alone, together, check_exact=True)


def test_another_seed_draws_other_targets() -> None:
    assert not table_of("bim_a", seed=1)["target"].equals(table_of("bim_a")["target"])


def test_targets_are_wrong_uniform_and_each_clips_own() -> None:
    labels = np.random.default_rng(0).integers(CLASSES, size=3000)
    clips = AttackedClips(np.zeros((3000, 1, 1), dtype=np.float32), labels, np.arange(3000))
    targets = draw_targets(clips, CLASSES, seed=5)
    assert (targets != labels).all()
    offset = np.bincount((targets - labels) % CLASSES, minlength=CLASSES)
    assert (np.abs(offset[1:] - 1000) < 120).all()
    order = np.random.default_rng(1).permutation(3000)
    shuffled = AttackedClips(clips.pictures, labels[order], clips.samples[order])
    np.testing.assert_array_equal(draw_targets(shuffled, CLASSES, 5), targets[order])


@dataclass(frozen=True, kw_only=True)
class Shares(Attack):
    """Fools the samples whose brightest pixel is below `reach`, and counts one iteration each."""

    reach: float = 0.0
    untargeted_only: ClassVar[bool] = True
    norm: ClassVar[str] = "linf"  # type: ignore[assignment]

    def _search(self, problem: Problem) -> tuple[Tensor, Tensor]:
        problem.meter.add(iterations=1)
        reached = problem.pictures.flatten(1).amax(1) < self.reach
        return 1 - problem.pictures, reached


def test_more_budget_goes_only_to_the_clips_not_yet_fooled_and_only_below_the_threshold() -> None:
    settings = {"code": "tests/evaluation/test_attack_evaluation.py"}
    pictures, _ = pictures_and_labels()
    brightest = pictures.max((1, 2))
    budgets = [{"reach": float(np.quantile(brightest, share))} for share in (0.5, 0.95)] + [{"reach": 2.0}]
    table = table_of("mine", settings=settings, budgets=budgets)
    rows = table[(table["model"] == "original") & table["perturbation"].notna()]
    bright = brightest[rows["sample"]]
    fooled = np.isfinite(rows["perturbation"].to_numpy())
    assert fooled.mean() >= 0.9
    np.testing.assert_array_equal(fooled, bright < budgets[1]["reach"])
    np.testing.assert_array_equal(rows["budget_step"], np.where(bright < budgets[0]["reach"], 1, 2))
    np.testing.assert_array_equal(rows["iterations"], rows["budget_step"])
    all_steps = table_of("mine", settings=settings, budgets=budgets, threshold=1.0)
    assert all_steps["budget_step"].max() == 3


def test_a_schedule_that_ends_below_the_threshold_says_so() -> None:
    table = table_of("bim_a", budgets=[{"steps": 1, "largest_epsilon": 0.01}])
    assert np.isinf(table["perturbation"]).sum() > 20
    assert (table.loc[np.isinf(table["perturbation"]), "adversarial_label"] == -1).all()


def test_results_survive_their_files(tmp_path: Path) -> None:
    budgets = [{"steps": 2, "largest_epsilon": 0.05}]
    results = evaluate("bim_a", budgets=budgets).results
    assert np.isinf(results.table["perturbation"]).any()
    results.write(tmp_path)
    again = read_attack_results(tmp_path)
    pd.testing.assert_frame_equal(again.table, results.table, check_exact=True, check_dtype=False)
    assert (again.norm, again.budget_schedule) == ("linf", budgets)
    assert again.code == code_digest(Path(ATTACKS["bim_a"]["code"]))


def test_earlier_results_do_not_say_which_code_found_them(tmp_path: Path) -> None:
    evaluate("bim_a").results.write(tmp_path)
    about = json.loads((tmp_path / "attack.json").read_text())
    del about["code"]
    (tmp_path / "attack.json").write_text(json.dumps(about))
    assert read_attack_results(tmp_path).code is None


def test_a_table_with_the_earlier_name_of_the_budget_step_is_read(tmp_path: Path) -> None:
    results = evaluate("bim_a").results
    results.write(tmp_path)
    file = tmp_path / "clips.csv"
    file.write_text(file.read_text().replace("budget_step", "rung", 1))
    pd.testing.assert_frame_equal(read_attack_results(tmp_path).table, results.table, check_dtype=False)


def test_every_attack_can_be_sent_to_another_process() -> None:
    for name, settings in ATTACKS.items():
        (attack,) = budget_schedule(name, settings, [{}], seed=7).attacks
        again = pickle.loads(pickle.dumps(attack))  # noqa: S301 (our own bytes)
        assert again == attack
        assert vars(again) == vars(attack)
        assert vars(attack).get("seed", 7) == 7


def test_rows_of_the_examples_describe_the_pictures_beside_them(tmp_path: Path) -> None:
    evaluation = evaluate("bim_a", budgets=[{"steps": 2, "largest_epsilon": 0.05}])
    evaluation.write(tmp_path)
    folder = tmp_path / "examples"
    rows = pd.read_csv(folder / "examples.csv")
    clean = np.load(folder / "clean.npy")
    assert len(clean) == 8
    for model in ("original", "robust"):
        changed = np.abs(np.load(folder / f"{model}.npy").astype(float) - clean).max(axis=(1, 2))
        told = rows.loc[rows["model"] == model, "perturbation"].to_numpy()
        np.testing.assert_allclose(np.where(np.isfinite(told), told, 0.0), changed, atol=1e-6)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_evaluation, "CHUNK_ON_CPU", 8)
    expected = table_of("cwa")
    attacked: list[int] = []
    real = chunk._attack

    def dies_after_three(task: chunk.Chunk, *rest: Any) -> chunk.ChunkResult:
        if len(attacked) == 3:
            raise KeyboardInterrupt
        attacked.append(len(task.pictures))
        return real(task, *rest)

    monkeypatch.setattr(chunk, "_attack", dies_after_three)
    with pytest.raises(KeyboardInterrupt):
        evaluate("cwa", checkpoints=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    files[0].write_bytes(b"half a file")

    def counts(task: chunk.Chunk, *rest: Any) -> chunk.ChunkResult:
        attacked.append(len(task.pictures))
        return real(task, *rest)

    monkeypatch.setattr(chunk, "_attack", counts)
    chunks_before = len(attacked)
    resumed = table_of("cwa", checkpoints=tmp_path)
    pd.testing.assert_frame_equal(resumed, expected, check_exact=True)
    chunks = len(list(tmp_path.iterdir()))
    assert len(attacked) - chunks_before == chunks - 2
    other = table_of("cwa", checkpoints=tmp_path, original=Blobs(61.0))
    assert not other.equals(expected), "a checkpoint of another model was taken"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budgets": []}, "no budget"),
        ({"budgets": [{"stepz": 3}]}, "no setting stepz"),
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
