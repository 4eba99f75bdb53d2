"""YAML is read as DVC reads and writes it: small numbers are numbers, wherever the user may write one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml
from dvc.utils.serialize import parse_yaml as dvc_parse_yaml

from advaudio.attack_interface.registry import make_attack
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.pia import Pia
from advaudio.core.errors import AdvaudioError
from advaudio.core.params import read_params
from advaudio.core.yaml_files import looks_like_number, parse_yaml
from experiments.sweep.cells import cells_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 0.00001),
        ("1e-05", 0.00001),
        ("1E5", 100000.0),
        (".5", 0.5),
        ("-.5e-3", -0.0005),
        ("+1.e3", 1000.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("010", 10),
        ("0x1F", 31),
        ("-0o17", -15),
        (".inf", math.inf),
        ("null", None),
        ("True", True),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("'1e-5'", "1e-5"),
        ('"7"', "7"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("1.2.3", "1.2.3"),
        ("[1e-3, '1e-3']", [0.001, "1e-3"]),
    ],
)
def test_a_scalar_is_what_dvc_reads(text: str, value: Any) -> None:
    read = parse_yaml(f"key: {text}")["key"]
    assert repr(read) == repr(value)
    assert repr(dvc_parse_yaml(f"key: {text}", "params.yaml")["key"]) == repr(value)


@pytest.mark.parametrize("value", [1e-05, 3e-7, 1e22, 0.1, -1e-300, "1e-5", "no", "010", 10, True, None, ""])
def test_what_dvc_writes_comes_back(value: Any) -> None:
    assert repr(parse_yaml(dumps_yaml({"key": value}))["key"]) == repr(value)


def test_the_shipped_files_read_as_in_dvc() -> None:
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert parse_yaml(text) == dvc_parse_yaml(text, name)


def test_code_in_yaml_is_refused() -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml("!!python/object/apply:os.getcwd []")


def test_what_looks_like_a_number() -> None:
    assert all(looks_like_number(text) for text in ("1e-5", "+1.e3", "7", ".inf"))
    assert not any(looks_like_number(text) for text in ("much", "true", "", "1.2.3", 1e-5, None))


def params_with(folder: Path, old: str, new: str) -> Path:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = folder / "params.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "value"), [("1e-5", 1e-5), ("1E-3", 0.001), (".5e-4", 5e-5), ("+1.e-3", 1e-3)]
)
def test_small_numbers_in_params_and_in_ladders(tmp_path: Path, text: str, value: float) -> None:
    params = read_params(params_with(tmp_path, "learning_rate: null", f"learning_rate: {text}"))
    assert params.training.learning_rate == value
    old = "{search_steps: 3, iterations: 20, learning_rate: 0.05, first_constant: 1.0}"
    new = f"{{search_steps: 3, iterations: 2e1, learning_rate: {text}, first_constant: 1E0}}"
    settings, ladder = read_params(params_with(tmp_path, old, new)).attack("cwa")
    attack = make_attack("cwa", **{**settings, **ladder[0]})
    assert isinstance(attack, CarliniWagner)
    assert (attack.learning_rate, attack.first_constant, attack.iterations) == (value, 1.0, 20)


OWN_ATTACK = """
from dataclasses import dataclass
from advaudio.attacks.bim import Bim

@dataclass(frozen=True, kw_only=True)
class Mine(Bim):
    typed: float = 0.1
    label: str = "none"
    untyped = 0.0
"""


def test_small_numbers_in_a_users_own_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_small_numbers.py").write_text(OWN_ATTACK, encoding="utf-8")
    settings = parse_yaml("{code: own_small_numbers.py, typed: 1e-5, label: '1e-5', stop_early: true}")
    attack = make_attack("mine", **settings)
    assert vars(attack)["typed"] == 0.00001
    assert vars(attack)["label"] == "1e-5"
    with pytest.raises(AdvaudioError, match=r"`typed` of the attack mine is '1e-5'.*quotes make it text"):
        make_attack("mine", **parse_yaml("{code: own_small_numbers.py, typed: '1e-5', stop_early: true}"))


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("bim", "precision", "1.05"), ("bim", "steps", True), ("pia", "standard_deviations", [0.1, "1e-2"])],
)
def test_text_and_truth_are_no_numbers_in_attack_settings(name: str, setting: str, value: Any) -> None:
    with pytest.raises(AdvaudioError, match=f"`{setting}` of the attack {name}"):
        make_attack(
            name,
            code=f"advaudio/attacks/{name}.py",
            **{"stop_early": True} if name == "bim" else {},
            **{setting: value},
        )


def test_lists_of_numbers_become_what_the_attack_declares() -> None:
    attack = make_attack(
        "pia", code="advaudio/attacks/pia.py", standard_deviations=parse_yaml("[1e-3, 1E-2]")
    )
    assert isinstance(attack, Pia)
    assert attack.standard_deviations == (0.001, 0.01)
    bim = make_attack("bim", code="advaudio/attacks/bim.py", stop_early=False, ball="l2", growth=2)
    assert isinstance(bim, Bim)
    assert (bim.ball, bim.growth, bim.stop_early) == ("l2", 2, False)


@pytest.mark.parametrize("text", ["1e-5", "0.00001", "1E-5"])
def test_small_numbers_in_a_sweep(text: str) -> None:
    settings = [
        f"training.learning_rate={text},0.1",
        f"budgets.quick.attacks.pia=[{{iterations:1,largest_epsilon:{text}}}]",
    ]
    first, second = cells_of(settings, ROOT / "params.yaml")
    assert first.params["training"]["learning_rate"] == 0.00001
    assert second.params["training"]["learning_rate"] == 0.1
    assert first.params["budgets"]["quick"]["attacks"]["pia"][0]["largest_epsilon"] == 0.00001
    assert "1e-05" in first.name
