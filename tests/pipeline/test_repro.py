"""The promises of the README, kept by real DVC in a temporary clone with tiny parameters."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from advaudio.core.metrics_file import all_metrics
from tests.pipeline.clone import Clone, stages_run
from tests.pipeline.tiny import ATTACK_STAGES, ATTACKS, OWN_MODEL, STAGE_NAMES

pytestmark = pytest.mark.pipeline

AFTER_SPLIT = ["train", "train_fgsm", *ATTACK_STAGES, "masking", "rho", "report"]
SHOWN_OF_ATTACKS = {"fooling_rate", "epsilon_90", "robust_fooling_rate", "rho"}
MORE_OF_ATTACKS = {"auc", "perturbation"}
COLUMNS_OF_A_SCREEN = 120


def _metrics(clone: Clone) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)
    return {path: entry["data"] for path, entry in shown[""]["data"].items()}


def _back_to_baseline(clone: Clone) -> None:
    clone.run("git", "checkout", "--quiet", "--force", "main")
    clone.run("dvc", "checkout", "--quiet")


def test_model_reruns_training_and_comes_back_from_the_run_cache(clone: Clone) -> None:
    result = clone.run("dvc", "exp", "run", "--set-param", "model=resnet56")
    assert stages_run(result.stdout) == AFTER_SPLIT
    changes = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout)
    for path, metric in [("metrics/train.json", "accuracy"), ("metrics/attacks/cwa.json", "fooling_rate")]:
        change = changes.get(path, {}).get(metric)
        if change is not None:
            assert {"old", "new", "diff"} <= set(change)
    assert changes, "another model must change some metric"

    back = clone.run("dvc", "exp", "run", "--set-param", f"model='{OWN_MODEL}'")
    assert stages_run(back.stdout) == []
    assert back.stdout.count("is cached - skipping run") == len(AFTER_SPLIT)
    assert json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout) == {}
    _back_to_baseline(clone)


def test_experiments_rerun_what_they_change_and_tables_read_them_from_git_and_cache(clone: Clone) -> None:
    result = clone.run("dvc", "exp", "run", "--name", "audible", "--set-param", "representation=stft")
    assert stages_run(result.stdout) == ["append", *AFTER_SPLIT]
    page = (clone.folder / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio") >= 2
    _back_to_baseline(clone)
    change = "attacks.deepfool.overshoot=0.05"
    result = clone.run("dvc", "exp", "run", "--name", "other", "--set-param", change)
    assert stages_run(result.stdout) == ["attack@deepfool", "rho", "report"]
    _back_to_baseline(clone)

    told = " ".join(
        clone.run("python", "-m", "experiments.tables", "audible", "other", "HEAD").stderr.split()
    )
    assert "Left out other: differs in attacks.deepfool.overshoot" in told
    table = pd.read_csv(clone.folder / "report" / "tables" / "tables.csv")
    assert set(table["representation"]) == {"stft", "dwt_tonnetz"}
    baseline = table[(table["representation"] == "dwt_tonnetz") & (table["measure"] == "accuracy, original")]
    accuracy = _metrics(clone)["metrics/train.json"]["accuracy"]
    assert baseline["mean"].tolist() == pytest.approx([100 * accuracy])
    page = (clone.folder / "report" / "tables" / "tables.html").read_text(encoding="utf-8")
    assert "Every cell" in page
    assert page.count("<audio") >= 2

    compared = clone.run("python", "-m", "experiments.compare", "audible", "workspace").stdout
    assert "representation" in compared
    assert "accuracy" in compared

    cache = clone.folder / ".dvc" / "cache" / "files"
    cache.rename(cache.with_name("elsewhere"))
    told = clone.run("python", "-m", "experiments.tables", "audible", "HEAD").stderr
    cache.with_name("elsewhere").rename(cache)
    assert "No intervals and curves for audible, HEAD" in " ".join(told.split())
    assert clone.run("git", "status", "--porcelain").stdout == ""


BAD_INPUTS = [
    (["model=resnet57"], "did you mean 'resnet56'"),
    (["seed=abc"], "`seed` is 'abc'"),
    (["attacks.deepfool.overshoot=much"], "overshoot"),
    (["dataset=esc10", "datasets.esc10.archive=/nowhere/ESC-50.zip"], "/nowhere/ESC-50.zip"),
    (["dataset=esc10", "datasets.esc10.archive=truncated.zip"], "truncated.zip"),
]


def test_bad_input_is_one_paragraph_and_leaves_nothing(clone: Clone) -> None:
    whole = clone.folder / "whole.zip"
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("ESC-50-master/meta/esc50.csv", "filename,fold\n" * 500)
    truncated = clone.folder / "truncated.zip"
    truncated.write_bytes(whole.read_bytes()[:-300])
    whole.unlink()
    before = _produced(clone.folder)
    for settings, message in BAD_INPUTS:
        arguments = [word for setting in settings for word in ("--set-param", setting)]
        result = clone.run("dvc", "exp", "run", *arguments, check=False)
        assert result.returncode != 0, settings
        said = result.stdout + result.stderr
        assert "Traceback" not in said
        assert said.count("Error: ") == 1, said
        assert message in " ".join(said.split())
        # DVC removes what a stage is to make again; whatever else is there is as it was.
        left = _produced(clone.folder)
        assert left.items() <= before.items(), settings
        clone.run("git", "checkout", "--quiet", "--force", "main")
    truncated.unlink()
    assert stages_run(clone.run("dvc", "repro").stdout) == []
    assert _produced(clone.folder) == before
    assert clone.run("git", "status", "--porcelain").stdout == ""


def _produced(folder: Path) -> dict[Path, bytes]:
    """Every file that the stages made, by its path."""
    files = (path for name in ("data", "models", "outputs", "metrics") for path in (folder / name).rglob("*"))
    return {path: path.read_bytes() for path in files if path.is_file()}


def test_run_elsewhere_with_another_number_of_workers_is_bitwise_the_same(
    clone: Clone, finished_run: Path
) -> None:
    hashes = clone.output_hashes()
    assert len(hashes) >= len(STAGE_NAMES)
    assert Clone(finished_run / "again").output_hashes() == hashes


def test_every_stage_left_its_metrics_under_stable_names(clone: Clone) -> None:
    metrics = _metrics(clone)
    assert set(metrics) == {
        "metrics/train.json",
        "metrics/train_fgsm.json",
        "metrics/masking.json",
        "metrics/rho.json",
        *(f"metrics/attacks/{name}.json" for name in ATTACKS),
    }
    training = {"accuracy_std", "accuracy_best", "test_clips"}
    assert _below_more(clone, "train") == training
    assert _below_more(clone, "train_fgsm") == training | {"drop_ratio", "collapsed_folds", "collapse"}
    assert _below_more(clone, "masking") == {"original_failed_checks", "robust_failed_checks"}
    assert metrics["metrics/masking.json"]["failed"] >= 0
    assert 0 < metrics["metrics/train.json"]["accuracy"] <= 1
    split = pd.read_csv(clone.folder / "data" / "split.csv")
    tested = (split.filter(like="fold_") == "test").any(axis="columns")
    train = json.loads((clone.folder / "metrics" / "train.json").read_text(encoding="utf-8"))
    assert all_metrics(train)["test_clips"] == tested.sum()
    for name in ATTACKS:
        own = metrics[f"metrics/attacks/{name}.json"]
        # DVC leaves out what is null: an attack that never reached the threshold has no epsilon_90.
        assert {"fooling_rate"} <= set(own) <= SHOWN_OF_ATTACKS
        assert 0 <= own["fooling_rate"] <= 1
        assert _below_more(clone, f"attacks/{name}") == MORE_OF_ATTACKS


def _below_more(clone: Clone, name: str) -> set[str]:
    content = json.loads((clone.folder / "metrics" / f"{name}.json").read_text(encoding="utf-8"))
    return all_metrics(content).keys() - content.keys()


def test_metrics_fit_a_screen(clone: Clone) -> None:
    table = clone.run("dvc", "metrics", "show").stdout.splitlines()
    assert len(table) == 1 + len(_metrics(clone))
    assert max(len(line) for line in table) <= COLUMNS_OF_A_SCREEN


def test_a_setting_of_the_statistics_reruns_them_and_no_attack(clone: Clone) -> None:
    for change in ("evaluation.bootstrap_samples=60", "evaluation.auc_epsilon_factor=3.0"):
        result = clone.run("dvc", "exp", "run", "--set-param", change)
        assert stages_run(result.stdout) == ["rho", "report"]
        _back_to_baseline(clone)
    # What is left of an attack that is not asked for any more would be a metric of nothing.
    assert {path.stem for path in (clone.folder / "metrics" / "attacks").iterdir()} == set(ATTACKS)
    result = clone.run("dvc", "exp", "run", "--set-param", "evaluation.bootstrap_samples=60")
    assert stages_run(result.stdout) == []
    assert result.stdout.count("is cached - skipping run") == 2
    _back_to_baseline(clone)


def test_plots_and_report_are_made(clone: Clone) -> None:
    plots = json.loads(clone.run("dvc", "plots", "show", "--json").stdout)
    assert not plots.get("errors"), plots["errors"]
    curves = {name for name in plots["data"] if name.startswith("outputs/robustness/fooling_curves")}
    assert curves == {f"outputs/robustness/fooling_curves/{name}.csv" for name in ATTACKS}
    for name in curves:
        (drawn,) = plots["data"][name]
        points = drawn["content"]["data"]["values"]
        assert {point["field"] for point in points} == {"original", "robust"}
        assert Path(name).name in json.dumps(drawn["content"]["title"])
    assert len(plots["data"]) == len(curves) + 3
    page = (clone.folder / "report" / "report.html").read_text(encoding="utf-8")
    # Six attacks' curves, the strongest bound in L∞, learning curves, two confusion matrices, examples.
    assert page.count("<svg") == len(ATTACKS) + 5
    assert "Any L∞ attack" in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)


def test_second_repro_runs_nothing_and_git_stays_clean(clone: Clone) -> None:
    assert stages_run(clone.run("dvc", "repro").stdout) == []
    assert clone.run("dvc", "status").stdout.strip() == "Data and pipelines are up to date."
    assert clone.run("git", "status", "--porcelain").stdout == ""
