"""params.yaml is refused before any work, and the message says what to write instead."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml

from advaudio.core.errors import AdvaudioError
from advaudio.core.params import read_params

ROOT = Path(__file__).resolve().parents[2]


def _with(folder: Path, key: str, value: Any) -> Path:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    *parents, last = key.split(".")
    section = params
    for parent in parents:
        section = section[parent]
    section[last] = value
    path = folder / "params.yaml"
    path.write_text(dumps_yaml(params), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", "resnet57", r"`model` is 'resnet57' \(did you mean 'resnet56'\?\); valid are: alexnet"),
        ("dataset", "esc5", r"did you mean 'esc50'.*valid are:.*urbansound8k"),
        ("defence", "fast", r"`defence` is 'fast': .*'fgsm', 'fgsm_rs', 'pgd' or 'none'"),
        ("training.learning_rate", float("inf"), r"`training\.learning_rate` is inf"),
        ("representation", "mel", r"`representation` is 'mel': .*'stft', 'dwt'"),
        (
            "budgets.quick.training.pretrained",
            {"vgg16": "imagenet"},
            r"`pretrained` names no weights for 'resnet56'",
        ),
        ("budget", "fast", r"`budget` is 'fast'; valid are: quick, paper"),
        ("seed", "abc", r"`seed` is 'abc': input should be a valid integer"),
        ("seed", 1.5, r"`seed` is 1\.5"),
        ("seed", -1, r"`seed` is -1: .*greater than or equal to 0"),
        ("device", "gpu", r"`device` is 'gpu': .*'auto', 'cpu' or 'cuda'"),
        ("defense", "fgsm", r"`defense` is no known parameter \(did you mean `defence`\?\)"),
        ("training.lerning_rate", 0.1, r"did you mean `training\.learning_rate`"),
        (
            "training.learning_rate",
            "1e-3",
            r"'1e-3': .*valid number \(quotes make it text: write 1e-3 without",
        ),
        ("evaluation.clips", "+12", r"\(quotes make it text: write \+12 without"),
        ("training.deterministic", "yes", r"is 'yes': .*valid boolean \(write true or false\)"),
        ("budgets.quick.masking.epsilons", [0.1, "1e-2"], r"epsilons\.1` is '1e-2': .*quotes make it text"),
        ("training.batch_size", True, r"`training\.batch_size` is True"),
        ("split.by", True, r"`split\.by` is True"),
        ("augment.pitch_scales", [0.9, 9.0], r"`augment\.pitch_scales\.1` is 9\.0"),
        ("dwt.wavelet", "morl", r"`dwt\.wavelet` is 'morl'"),
        ("datasets.demo.spectrogram_size", [18], r"`datasets\.demo\.spectrogram_size"),
        ("attacks.mine", {"attack": "my_attack:Mine"}, r"add `budgets\.quick\.attacks\.mine`"),
        ("budgets.quick.attacks.pia", [], r"`budgets\.quick\.attacks\.pia`"),
    ],
)
def test_refused_with_the_remedy(tmp_path: Path, key: str, value: Any, message: str) -> None:
    with pytest.raises(AdvaudioError, match=message):
        read_params(_with(tmp_path, key, value))


def test_the_faults_of_all_sections_are_named_together(tmp_path: Path) -> None:
    path = _with(tmp_path, "training.patience", 0)
    text = (
        path.read_text(encoding="utf-8")
        .replace("probe_steps: 5", "probe_steps: 0")
        .replace("seed: 0", "seed: -1")
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        AdvaudioError,
        match=r"`seed` is -1.*`training\.patience` is 0.*`adversarial_training\.probe_steps` is 0",
    ):
        read_params(path)


@pytest.mark.parametrize(
    "key", ["seed", "training.patience", "adversarial_training.probe_clips", "stft.n_fft"]
)
def test_a_missing_key_is_named_though_the_library_has_a_default(tmp_path: Path, key: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    *parents, last = key.split(".")
    section = params
    for parent in parents:
        section = section[parent]
    del section[last]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params), encoding="utf-8")
    with pytest.raises(AdvaudioError, match=rf"`{key}` is missing"):
        read_params(path)


def test_shipped_file_is_valid_and_selects(tmp_path: Path) -> None:
    params = read_params(ROOT / "params.yaml")
    assert params.chosen_dataset == params.datasets["demo"]
    own = read_params(_with(tmp_path, "model", "my_package.networks:make"))
    assert own.model == "my_package.networks:make"
    paper = read_params(_with(tmp_path, "budget", "paper"))
    assert paper.attack("deepfool")[1][-1] == {"iterations": 600}
    assert (paper.model, paper.pretrained) == ("resnet56", "none")
    assert paper.chosen_budget.training.pretrained_of("vgg16") == "imagenet"
    with pytest.raises(AdvaudioError, match=r"no `attacks\.fgsm`"):
        paper.attack("fgsm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n- 2\n", "must hold keys and values, but holds list"),
        ("", "NoneType"),
    ],
)
def test_broken_file(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(AdvaudioError, match=message):
        read_params(path)


def test_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(AdvaudioError, match="top folder"):
        read_params(tmp_path / "params.yaml")
