"""The results of one cell of the grid: one data set, one representation, one model, original and robust.

A cell is read from a tree of files (see `sources`) or from a *record*, one JSON file with all of it:

| key | content |
|---|---|
| `params` | params.yaml of the run |
| `training` | `original` and `robust`: metrics/train.json and metrics/train_fgsm.json |
| `attacks` | name of each attack → outputs/robustness/<name>/details.json, and the `code` of outputs/attacks/<name>/attack.json; of a tree without outputs/ just its `metrics`; empty if only the trainings were run |
| `rho` | outputs/robustness/rho.json; of a tree without outputs/ just its `mean` |
| `clips` | outputs/robustness/clips.json (see `advaudio.robustness.recordings.clips_of`): sample and recording of every attacked clip, and its perturbations; records of before 2026-12 have none |
| `masking` | outputs/masking.json, if there is one |
| `what`, `command`, `commit`, `hardware`, `software`, `date`, `seconds` | where it comes from; each may be missing |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from advaudio.attack_interface.clip_results import ABOUT, MODELS
from advaudio.core.errors import AdvaudioError
from advaudio.core.metric_names import PGD_ACCURACY_AT
from advaudio.core.metrics_file import all_metrics
from advaudio.report.cells.estimates import Estimate, difference, mean, share_of_clips
from advaudio.report.cells.sources import Folder, Source, find_json, need_json, need_params
from advaudio.report.cells.strengths import Strength, read_grades, strength_of
from advaudio.report.cells.words import dataset_name, model_name, representation_name
from advaudio.robustness.headline import HEADLINE
from advaudio.robustness.rho import READINGS

TRAININGS = {"original": "train", "robust": "train_fgsm"}
"""Model → the stage that trains it, which names its metrics and outputs."""

DETAILS = "outputs/robustness/{attack}/details.json"
RHO = "outputs/robustness/rho.json"
CLIPS = "outputs/robustness/clips.json"
EARLIER = {DETAILS: "outputs/attacks/{attack}/details.json", RHO: "outputs/rho.json"}
"""Where trees of earlier commits have them."""
MASKING = "outputs/masking.json"
PROVENANCE = ("what", "command", "commit", "hardware", "software", "date", "seconds")


Record = dict[str, Any]


@dataclass(frozen=True)
class Curve:
    """Corners of a fooling curve: perturbations, and the fooling rate (0 to 1) from each on."""

    epsilon: list[float]
    fooling_rate: list[float]


@dataclass(frozen=True)
class Changes:
    """Root-mean-square change of the spectrogram in dB over the fooled clips: the median; each clip's, if known."""

    median: float
    values: Sequence[float] | None


@dataclass(frozen=True)
class StrongestBound:
    """Of each clip the smallest perturbation that any attack of one norm found.

    Attributes
    ----------
    norm
        `linf`, `l2` or `l0`.
    attacks
        Those of the norm.
    fooling_rate, epsilon_90
        Of the original model, by any of them; ε₉₀ is None where the threshold was not reached.
    curves
        Model → its fooling curve.
    """

    norm: str
    attacks: Sequence[str]
    fooling_rate: Estimate | None
    epsilon_90: Estimate | None
    curves: Mapping[str, Curve]


@dataclass(frozen=True)
class AttackResult:
    """One attack on both models; what is not known is None.

    Attributes
    ----------
    norm
        `linf`, `l2` or `l0`.
    fooling_rate, epsilon_90, auc
        Of the original model. Without ε₉₀ there is no area either, whatever earlier records say.
    robust_within_bound
        Fooling rate of the robust model within the original model's ε₉₀ (Table II); None without one.
    robust_fooling_rate
        The same without a bound.
    rho
        Eq. 14.
    readings
        The other readings of ρ by name (see `advaudio.robustness.rho.READINGS`); empty in earlier records.
    reached
        Model → whether its fooling rate reached the threshold.
    clips
        Model → how many clips the attack fooled, and how many it attacked.
    changes
        Model → how much its adversarial examples change the spectrogram, where any clip was fooled.
    curves
        Model → its fooling curve.
    cost
        Model → work per clip: `forwards`, `backwards`, `queries`, `iterations`.
    strength
        Its grade with the settings of this cell; None where these were never graded.
    """

    norm: str | None
    fooling_rate: Estimate | None
    epsilon_90: Estimate | None
    auc: Estimate | None
    robust_within_bound: Estimate | None
    robust_fooling_rate: Estimate | None
    rho: Estimate | None
    readings: Mapping[str, Estimate | None]
    reached: Mapping[str, bool]
    clips: Mapping[str, tuple[int, int]]
    changes: Mapping[str, Changes]
    curves: Mapping[str, Curve]
    cost: Mapping[str, Mapping[str, float]]
    strength: Strength | None


@dataclass(frozen=True)
class Cell:
    """Results of a cell; see the module.

    Attributes
    ----------
    name
        Of the experiment, folder or file.
    accuracy
        Model → accuracy over the test clips, mean over the folds.
    accuracy_under_pgd
        Model → bound of PGD-20 in 255ths, such as "2" → the same under that attack; empty where it was not run.
    robust_within_bound, rho
        Means over the attacks that reach the threshold on the original model (Table II), and on both (ρ,
        Table III).
    rho_l2
        ρ with the L2 norm for every attack.
    strongest
        The strongest bound known in each norm; none in records made before it was kept.
    """

    name: str
    record: Record
    accuracy: Mapping[str, Estimate]
    accuracy_under_pgd: Mapping[str, Mapping[str, Estimate]]
    attacks: Mapping[str, AttackResult]
    robust_within_bound: Estimate | None
    rho: Estimate | None
    rho_l2: float | None
    strongest: Sequence[StrongestBound]

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters of the run."""
        params: Mapping[str, Any] = self.record["params"]
        return params

    @property
    def dataset(self) -> str:
        """Name in params.yaml."""
        return str(self.params["dataset"])

    @property
    def representation(self) -> str:
        """Name in params.yaml."""
        return str(self.params["representation"])

    @property
    def model(self) -> str:
        """Name in params.yaml."""
        return str(self.params["model"])

    @property
    def threshold(self) -> float:
        """Fooling rate that defines ε₉₀."""
        return float(self.params["evaluation"]["fooling_threshold"])

    @property
    def title(self) -> str:
        """Such as "AlexNet on ESC-10, DWT + tonnetz"."""
        return (
            f"{model_name(self.model)} on {dataset_name(self.dataset)}, "
            f"{representation_name(self.representation)}"
        )

    @property
    def drop(self) -> Estimate | None:
        """Accuracy that adversarial training cost, original − robust."""
        return difference(self.accuracy["original"], self.accuracy["robust"])

    @property
    def drop_ratio(self) -> Estimate | None:
        """The same in per cent of the original accuracy (Table I)."""
        drop, original = self.drop, self.accuracy["original"].value
        return drop.scaled(100 / original) if drop is not None and original > 0 else None

    @property
    def short_attacks(self) -> list[str]:
        """Attacks that did not reach the threshold on the original model."""
        return [name for name, result in self.attacks.items() if not result.reached.get("original", False)]

    @property
    def resampled(self) -> str:
        """What the intervals of its attacks are over: recordings, or clips where the recordings are not known."""
        over = [details.get("intervals_over", {}) for details in self.record["attacks"].values()]
        known = bool(over) and all(own.get("unit") == "recordings" for own in over)
        return "recordings" if known else "clips"

    @property
    def strengths_measured_on(self) -> list[str]:
        """Models on which the attacks of this cell were graded."""
        strengths = (result.strength for result in self.attacks.values())
        return list(dict.fromkeys(title for found in strengths if found for title in found.measured_on))


def read_record(source: Source) -> Record:
    """Gather a record from a tree of files.

    Raises
    ------
    AdvaudioError
        If a file is missing or damaged, or the tree has details of some attacks and not of others.
    """
    params = need_params(source)
    try:
        names = list(params["attacks"])
    except (KeyError, TypeError) as error:
        raise AdvaudioError(f"params.yaml of {source.name} has no `attacks`.") from error
    record: Record = {
        **source.provenance,
        "params": params,
        "training": {
            model: all_metrics(need_json(source, f"metrics/{stage}.json"))
            for model, stage in TRAININGS.items()
        },
    }
    earlier = find_json(source, EARLIER[DETAILS].format(attack=names[0])) is not None
    details, rho = (EARLIER[place] if earlier else place for place in (DETAILS, RHO))
    if find_json(source, details.format(attack=names[0])) is None:
        record["rho"] = {"mean": need_json(source, "metrics/rho.json", "rho")["rho"]}
        record["attacks"] = {name: _headline(source, name) for name in names}
    else:
        record["rho"] = need_json(source, rho)
        record["attacks"] = {name: need_json(source, details.format(attack=name)) for name in names}
        if not earlier:
            for name in names:
                about = need_json(source, f"outputs/attacks/{name}/{ABOUT}", "norm")
                record["attacks"][name]["code"] = about.get("code")
    kept = {"clips": None if earlier else find_json(source, CLIPS), "masking": find_json(source, MASKING)}
    return record | {key: content for key, content in kept.items() if content is not None}


def _places_of_statistics(source: Source, attack: str) -> tuple[str, str]:
    """Folder of the attacks' details and file of ρ; in trees of earlier commits they lie elsewhere."""
    if source.read(f"outputs/attacks/{attack}/details.json") is None:
        return "outputs/robustness", "outputs/robustness/rho.json"
    return "outputs/attacks", "outputs/rho.json"


def read_cell(source: Source) -> Cell:
    """Read a cell from a tree of files; see `read_record`."""
    return cell_of(read_record(source), source.name)


def read_cell_file(path: Path) -> Cell:
    """Read a cell from a record."""
    return cell_of(need_json(Folder(path.parent, str(path.parent)), path.name), str(path))


def cell_of(record: Record, name: str) -> Cell:
    """The cell of a record.

    Raises
    ------
    AdvaudioError
        If the record lacks a key.
    """
    try:
        grades = read_grades()
        attacks = {
            attack: _attack(
                details,
                strength_of(attack, details, record["params"], grades),
                _changes(details, record["rho"].get("decibels_rms", {}).get(attack), record["params"]),
            )
            for attack, details in record["attacks"].items()
        }
        clips = _test_clips(record)
        rho = record["rho"]
        for key in ("dataset", "representation", "model", "defence", "budget", "seed"):
            record["params"][key]
        float(record["params"]["evaluation"]["fooling_threshold"])
        training = {model: record["training"][model] for model in MODELS}
        accuracy = {model: _accuracy(training[model]["accuracy"], clips) for model in MODELS}
        under_pgd = {
            model: {
                name.removeprefix(PGD_ACCURACY_AT): _accuracy(value, clips)
                for name, value in training[model].items()
                if name.startswith(PGD_ACCURACY_AT)
            }
            for model in MODELS
        }
        strongest = [_strongest(norm, found) for norm, found in rho.get("strongest_bounds", {}).items()]
        mean_rho = None
        if rho["mean"] is not None:
            comparable = mean(attacks[attack].rho for attack in rho.get("comparable", ()))
            mean_rho = comparable or Estimate(float(rho["mean"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AdvaudioError(
            f"{name} is no complete record of a cell: {type(error).__name__} {error}. "
            "See advaudio/report/cells/cell.py for its keys."
        ) from error
    return Cell(
        name=name,
        record={**record, "params": _without_folders(record["params"]), **_with_black_box(record)},
        accuracy=accuracy,
        accuracy_under_pgd=under_pgd,
        attacks=attacks,
        robust_within_bound=mean(
            result.robust_within_bound for result in attacks.values() if result.reached["original"]
        ),
        rho=mean_rho,
        rho_l2=rho.get("mean_l2"),
        strongest=strongest,
    )


def _with_black_box(record: Mapping[str, Any]) -> Record:
    """The checks for hidden gradients with the one that needs finished attacks, where both are known."""
    masking, compared = record.get("masking"), record["rho"].get("white_box_beats_black_box")
    if masking is None or compared is None:
        return {}
    return {
        "masking": {
            model: {**checks, "white_box_beats_black_box": compared[model]}
            for model, checks in masking.items()
        }
    }


def _without_folders(value: Any, key: str = "") -> Any:
    """Absolute paths among parameters shortened to file names: folders are of one machine.

    Equal names in different folders stay different by a digest. Archives need none: their content tells them apart.
    """
    if isinstance(value, Mapping):
        return {name: _without_folders(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(item) for item in value]
    if not isinstance(value, str) or not PurePath(value).is_absolute():
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:6]
    return PurePath(value).name + ("" if key == "archive" else f" ({digest})")


def _headline(source: Source, attack: str) -> Record:
    metrics = all_metrics(need_json(source, f"metrics/attacks/{attack}.json"))
    return {"metrics": {key: metrics[name] for name, key in HEADLINE.items() if name in metrics}}


def _test_clips(record: Mapping[str, Any]) -> int | None:
    """How many clips an accuracy is of; in records that do not say so, all test clips were attacked."""
    known = record["training"]["original"].get("test_clips")
    attacked = (details["models"] for details in record["attacks"].values() if "models" in details)
    return known or next((models["original"]["clips"] for models in attacked), None)


def _accuracy(value: float, clips: int | None) -> Estimate:
    return Estimate(float(value)) if clips is None else share_of_clips(float(value), clips)


def _attack(
    details: Mapping[str, Any], strength: Strength | None, changes: Mapping[str, Changes]
) -> AttackResult:
    metrics, intervals = details["metrics"], details.get("intervals_95", {})
    models = details.get("models", {})

    def estimate(name: str) -> Estimate | None:
        value = metrics.get(name)
        return None if value is None else Estimate(float(value), *(intervals.get(name) or ()))

    reached = details.get("threshold_reached")
    if reached is None:
        # Without details: ε₉₀ exists exactly where the threshold was reached.
        reached = {"original": metrics["epsilon_90"] is not None}
    bounded = reached.get("original", False)
    return AttackResult(
        norm=details.get("norm"),
        fooling_rate=estimate("fooling_rate"),
        epsilon_90=estimate("epsilon_90"),
        auc=estimate("auc") if bounded else None,
        robust_within_bound=estimate("robust_fooling_rate_under_bound") if bounded else None,
        robust_fooling_rate=estimate("robust_fooling_rate"),
        rho=estimate("rho"),
        readings={name: estimate(name) for name in READINGS if name in metrics},
        reached=reached,
        clips={model: (own["clips_fooled"], own["clips_attacked"]) for model, own in models.items()},
        changes=changes,
        curves={
            model: Curve(own["curve"]["epsilon"], own["curve"]["fooling_rate"])
            for model, own in models.items()
        },
        cost={
            model: {name: cost["mean"] for name, cost in own["cost_per_clip"].items() if cost is not None}
            for model, own in models.items()
        },
        strength=strength,
    )


def _changes(
    details: Mapping[str, Any], kept: Mapping[str, Sequence[float]] | None, params: Mapping[str, Any]
) -> dict[str, Changes]:
    """Model → changes in dB; each clip's are known where the record keeps them, or a fooling curve tells them."""
    found = {}
    for model, own in details.get("models", {}).items():
        change = own["perturbation"]["decibels_rms"]
        if change is not None:
            values = _from_curve(details, own, params) if kept is None else kept[model]
            found[model] = Changes(float(change["median"]), values)
    return found


def _from_curve(
    details: Mapping[str, Any], own: Mapping[str, Any], params: Mapping[str, Any]
) -> list[float] | None:
    """The changes in dB that a fooling curve in the L2 norm tells; None for other norms.

    Where a picture is the spectrogram alone, the root-mean-square change is the L2 norm times a constant, so the
    constant is the ratio of their medians.
    """
    if details.get("norm") != "l2" or "tonnetz" in params["representation"]:
        return None
    norms = own["perturbation"]["l2"]
    if not norms["median"]:
        return None
    constant = own["perturbation"]["decibels_rms"]["median"] / norms["median"]
    values: list[float] = []
    for epsilon, rate in zip(own["curve"]["epsilon"], own["curve"]["fooling_rate"], strict=True):
        values += [constant * epsilon] * (round(rate * own["clips_attacked"]) - len(values))
    return values


def _strongest(norm: str, found: Mapping[str, Any]) -> StrongestBound:
    models = found["models"]
    original = models["original"]
    rate, epsilon = original["fooling_rate"], original["epsilon_90"]
    return StrongestBound(
        norm=norm,
        attacks=found["attacks"],
        fooling_rate=None if rate is None else share_of_clips(rate, original["clips"]),
        epsilon_90=None if epsilon is None else Estimate(epsilon),
        curves={
            model: Curve(own["curve"]["epsilon"], own["curve"]["fooling_rate"])
            for model, own in models.items()
        },
    )
