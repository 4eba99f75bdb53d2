"""From an attack's settings in params.yaml to the attack: only the one file that it lives in is imported.

The file's path stands in the settings, where dvc.yaml finds it too: a change of one attack's file reruns that
attack alone.
"""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from advaudio.attack_interface.base import Attack
from advaudio.core.errors import AdvaudioError
from advaudio.core.yaml_files import looks_like_number


def make_attack(name: str, *, code: Any = None, default_seed: int | None = None, **settings: Any) -> Attack:
    """Build an attack from its settings.

    Parameters
    ----------
    name
        For messages.
    code
        Python file below the current folder, such as "advaudio/attacks/bim.py", that defines one subclass of
        `advaudio.attack_interface.base.Attack`: that is how a user's own attack joins, with one file and one line.
    default_seed
        Seed of an attack that has one, where its settings have none.
    settings
        Keywords of the class.

    Raises
    ------
    AdvaudioError
        If the file, its class or a setting is wrong.
    """
    kind = _kind(name, code)
    known = list(inspect.signature(kind).parameters)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise AdvaudioError(
            f"The attack {name} knows no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}."
        )
    if default_seed is not None and "seed" in known:
        settings.setdefault("seed", default_seed)
    try:
        return kind(**_typed(kind, name, settings))
    except TypeError as error:
        raise AdvaudioError(f"The settings of the attack {name} do not fit: {error}.") from error


def _typed(kind: type[Attack], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, checked against the types that the class declares."""
    # Of a dataclass, each declaration is read where it stands: the class may inherit from another file's.
    types = get_type_hints(kind if is_dataclass(kind) else kind.__init__)
    typed = {}
    for key, value in settings.items():
        try:
            typed[key] = _validated(TypeAdapter(types.get(key, Any)), value)
        except ValidationError as error:
            fault = error.errors()[0]["msg"]
            quoted = " (quotes make it text: write it without them)" if looks_like_number(value) else ""
            raise AdvaudioError(
                f"`{key}` of the attack {name} is {value!r}: {fault[0].lower()}{fault[1:]}{quoted}. Correct "
                f"`attacks.{name}` or its budgets in params.yaml."
            ) from error
    return typed


def _validated(adapter: TypeAdapter[Any], value: Any) -> Any:
    """The value as its type wants it: 1e3 is an integer too, but text and truth values are no numbers."""
    leaves = value if isinstance(value, list | tuple) else [value]
    if all(isinstance(leaf, int | float) and not isinstance(leaf, bool) for leaf in leaves):
        return adapter.validate_python(value)
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):  # given from Python, not from YAML
        return adapter.validate_python(value)
    return adapter.validate_json(text, strict=True)  # strict in JSON's sense: a list can be a tuple


def _kind(name: str, code: Any) -> type[Attack]:
    module = _module(name, code)
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Attack)
        and kind.__module__ == module.__name__
        and not inspect.isabstract(kind)
    ]
    if len(kinds) != 1:
        found = ", ".join(kind.__name__ for kind in kinds) or "none"
        raise AdvaudioError(
            f"{code} (`attacks.{name}.code`) must define one subclass of advaudio.attack_interface.base.Attack; "
            f"it defines {found}."
        )
    return kinds[0]


def _module(name: str, code: Any) -> ModuleType:
    path = Path(code) if isinstance(code, str) else Path()
    parts = path.with_suffix("").parts if path.suffix == ".py" else ()
    if not parts or not all(part.isidentifier() for part in parts):
        raise AdvaudioError(
            f"`attacks.{name}.code` is {code!r}; it must be the path of a Python file below the repository's "
            "top folder, such as advaudio/attacks/bim.py."
        )
    try:
        module = importlib.import_module(".".join(parts))
    except ImportError as error:
        raise AdvaudioError(f"{code} (`attacks.{name}.code`) cannot be imported: {error}.") from error
    # DVC watches the file that is named here; another of the same name must not run in its place.
    if Path(module.__file__ or "").resolve() != path.resolve():
        raise AdvaudioError(
            f"{code} (`attacks.{name}.code`) is not the file that Python imports, which is {module.__file__}. "
            "Run from the repository's top folder, or rename the file."
        )
    return module
