"""The cells that a sweep's settings name, each checked before anything runs."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps, to_hydra_overrides
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from advaudio.attack_interface.registry import make_attack
from advaudio.core.errors import AdvaudioError
from advaudio.core.params import REPRESENTATIONS, Params, check, read_params
from advaudio.core.settings import MODELS
from advaudio.core.yaml_files import parse_yaml

PAPER_GRID = (f"representation={','.join(REPRESENTATIONS)}", f"model={','.join(MODELS)}")
"""The grid that the paper runs on each data set."""

SPEAKING = ("dataset", "representation", "model", "defence", "budget")
"""Keys whose values say by themselves in a name what they are."""

LONGEST_VALUE = 40
"""Characters of a value in a cell's name; a longer one is cut and gets a digest."""


@dataclass(frozen=True)
class Cell:
    """One experiment.

    Parameters
    ----------
    name
        Of the DVC experiment, from the values.
    settings
        As `dvc exp run --set-param` takes them.
    text
        The whole of params.yaml with these settings.
    params
        The same, parsed.
    """

    name: str
    settings: tuple[str, ...]
    text: str
    params: dict[str, Any]


def cells_of(settings: Sequence[str], params_file: Path) -> list[Cell]:
    """Every combination of the values in `settings`, in order, none twice.

    Parameters
    ----------
    settings
        `key=value` or `key=value,value`, in the grammar of `dvc exp run --set-param` (Hydra's overrides).
    params_file
        The parameters that the settings change.

    Raises
    ------
    AdvaudioError
        If there is no valid `params_file`, a setting cannot be read, its key is unknown, or any cell would be refused by the schema or by
        its attacks; the message names every fault.
    """
    if not settings:
        raise AdvaudioError("A sweep needs at least one setting, such as model=alexnet,vgg16, or --paper.")
    base = read_params(params_file).model_dump()
    keys = [_key(setting, base) for setting in settings]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise AdvaudioError(f"The setting {twice[0]} is given twice; give all its values in one: key=a,b.")
    cells: dict[str, Cell] = {}
    faults: dict[str, None] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "params.yaml"
        for chosen in _combinations(settings):
            copy.write_bytes(params_file.read_bytes())
            text = _apply(copy, chosen)
            params = parse_yaml(text)
            try:
                _check(check(params))
            except AdvaudioError as error:
                faults[str(error)] = None
                continue
            name = _name(keys, params)
            cells.setdefault(name, Cell(name, chosen, text, params))
    if faults:
        raise AdvaudioError(f"{' '.join(faults)} Nothing was started.")
    return list(cells.values())


def _key(setting: str, base: dict[str, Any]) -> str:
    try:
        override = to_hydra_overrides([setting])[0]
    except HydraException as error:
        raise AdvaudioError(
            f"Could not read the setting {setting!r}: write key=value or key=value,value, and quote a value "
            "with special characters, such as 'model=\"package.module:function\"'."
        ) from error
    if override.is_add() or override.is_force_add() or override.is_delete():
        raise AdvaudioError(f"The setting {setting!r} adds or deletes a key; a sweep only changes values.")
    key = str(override.key_or_group)
    section: Any = base
    known: list[str] = []
    for part in key.split("."):
        if not isinstance(section, dict) or part not in section:
            valid = sorted(section) if isinstance(section, dict) else []
            raise AdvaudioError(_unknown(key, part, known, valid))
        section = section[part]
        known.append(part)
    return key


def _unknown(key: str, part: str, above: Sequence[str], valid: Sequence[str]) -> str:
    near = difflib.get_close_matches(part, valid, n=1)
    hint = f" (did you mean `{'.'.join([*above, near[0]])}`?)" if near else ""
    place = f"`{'.'.join(above)}` has" if above else "there are"
    return f"`{key}` is no known parameter{hint}; {place}: {', '.join(valid) or 'no keys'}."


def _combinations(settings: Sequence[str]) -> Iterable[tuple[str, ...]]:
    try:
        sweeps = get_hydra_sweeps({"params.yaml": list(settings)})
    except (DvcException, HydraException) as error:
        raise AdvaudioError(f"Could not read the settings {' '.join(settings)}: {error}.") from error
    return [tuple(sweep["params.yaml"]) for sweep in sweeps]


def _apply(copy: Path, settings: tuple[str, ...]) -> str:
    try:
        apply_overrides(copy, list(settings))
    except (DvcException, HydraException, OmegaConfBaseException) as error:
        raise AdvaudioError(
            f"Could not set {' '.join(settings)} in params.yaml: {error.__cause__ or error}."
        ) from error
    return copy.read_text(encoding="utf-8")


def _check(params: Params) -> None:
    for name in params.attacks:
        settings, budgets = params.attack(name)
        for budget in budgets:
            make_attack(name, **{**settings, **budget})


def _name(keys: Sequence[str], params: dict[str, Any]) -> str:
    last = [key.rpartition(".")[2] for key in keys]
    parts = []
    for key, short in zip(keys, last, strict=True):
        value: Any = params
        for part in key.split("."):
            value = value[part]
        label = "" if key in SPEAKING else f"{short if last.count(short) == 1 else key}="
        parts.append(label + _slug(value))
    return "-".join(parts)


def _slug(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    plain = re.sub(r"\.\.+", ".", re.sub(r"[^A-Za-z0-9._]+", "-", text)).strip("-.")
    # Git refuses a reference that ends in .lock.
    faithful = len(plain) <= LONGEST_VALUE and not plain.endswith(".lock") and plain != ""
    if faithful and (not isinstance(value, str | list | dict) or re.fullmatch(r"[\w.:-]+", text)):
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[:LONGEST_VALUE].strip('-.')}-{digest}".lstrip("-")
