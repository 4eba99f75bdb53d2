"""Attacks by name, and how a user adds one."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from advaudio.attacks.base import Attack
from advaudio.attacks.bim import Bim
from advaudio.attacks.carlini_wagner import CarliniWagner
from advaudio.attacks.deepfool import DeepFool
from advaudio.attacks.jsma import Jsma
from advaudio.attacks.pia import Pia
from advaudio.errors import AdvaudioError

ATTACKS: dict[str, tuple[type[Attack], dict[str, Any]]] = {
    "bim_a": (Bim, {"stop_early": True}),
    "bim_b": (Bim, {"stop_early": False}),
    "jsma": (Jsma, {}),
    "deepfool": (DeepFool, {}),
    "cwa": (CarliniWagner, {}),
    "pia": (Pia, {}),
}


def make_attack(name: str, **settings: Any) -> Attack:
    """Build an attack from its name and its settings.

    Parameters
    ----------
    name
        A key of `ATTACKS`, or any name if `settings` holds `attack: "module:Class"`, the class being an
        `advaudio.attacks.base.Attack` in a module that Python can import: that is how a user's own attack
        joins, with one file and one line.
    settings
        Keywords of the attack's class.

    Raises
    ------
    AdvaudioError
        If the name, the class or a setting is unknown.
    """
    fixed: dict[str, Any] = {}
    own = settings.pop("attack", None)
    if own is not None:
        kind = _own(name, str(own))
    elif name in ATTACKS:
        kind, fixed = ATTACKS[name]
    else:
        raise AdvaudioError(
            f"There is no attack named {name!r}; choose among {', '.join(ATTACKS)}, "
            'or name your own class with `attack: "module:Class"` in its settings.'
        )
    known = [key for key in inspect.signature(kind).parameters if key not in fixed]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise AdvaudioError(
            f"The attack {name} knows no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}."
        )
    try:
        return kind(**fixed, **_typed(kind, name, settings))
    except TypeError as error:
        raise AdvaudioError(f"The settings of the attack {name} do not fit: {error}.") from error


def _typed(kind: type[Attack], name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, checked against the types that the class declares."""
    types = get_type_hints(kind.__init__)
    typed = {}
    for key, value in settings.items():
        try:
            typed[key] = TypeAdapter(types.get(key, Any)).validate_python(value)
        except ValidationError as error:
            fault = error.errors()[0]["msg"]
            raise AdvaudioError(
                f"`{key}` of the attack {name} is {value!r}: {fault[0].lower()}{fault[1:]}. Mend "
                f"`attacks.{name}` or its budgets in params.yaml."
            ) from error
    return typed


def _own(name: str, address: str) -> type[Attack]:
    module, _, attribute = address.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise AdvaudioError(
            f"The attack {name} is to come from {address!r}, which cannot be imported ({error}). "
            'Write "module:Class", and put the module where Python finds it.'
        ) from error
    if not (isinstance(found, type) and issubclass(found, Attack)):
        raise AdvaudioError(f"{address} (attack {name}) is no subclass of advaudio.attacks.base.Attack.")
    return found
