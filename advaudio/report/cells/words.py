"""Numbers and names in words, the same in every page, table and terminal."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any

from advaudio.report.cells.estimates import Estimate
from advaudio.report.cells.paper import ATTACK_NAMES, DATASET_NAMES, MODEL_NAMES, REPRESENTATION_NAMES

UNKNOWN = "–"
NORM_NAMES = {"linf": "L∞", "l2": "L2", "l0": "L0"}
NORM_UNITS = {"linf": "L∞, 1 = whole range", "l2": "L2", "l0": "L0, pixels"}


def attack_name(name: str) -> str:
    """Printed name of an attack."""
    return ATTACK_NAMES.get(name, name)


def dataset_name(name: str) -> str:
    """Printed name of a data set."""
    return DATASET_NAMES.get(name, name)


def model_name(name: str) -> str:
    """Printed name of a network."""
    return MODEL_NAMES.get(name, name)


def representation_name(name: str) -> str:
    """Printed name of a representation."""
    return REPRESENTATION_NAMES.get(name, name)


def norm_name(norm: str | None) -> str:
    """Printed name of a norm."""
    return NORM_NAMES[norm] if norm else UNKNOWN


def norm_unit(norm: str | None) -> str:
    """A norm with the unit of its perturbations."""
    return NORM_UNITS[norm] if norm else "own norm"


def percent(share: float | None, digits: int = 1) -> str:
    """0.5 → "50.0 %"."""
    return UNKNOWN if share is None else f"{_rounded(100 * share, digits)} %"


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent between 0.0001 and 1,000,000."""
    if value is None:
        return UNKNOWN
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e6 else text


def value(estimate: Estimate | None, digits: int | None, scale: float = 1.0) -> str:
    """ "1.34": so many digits after the point; None: three significant ones."""
    return UNKNOWN if estimate is None else _printed(estimate.value * scale, digits)


def interval(estimate: Estimate | None, digits: int | None, scale: float = 1.0) -> str:
    """ "1.26 to 1.44"; empty where it is not known."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{_printed(estimate.low * scale, digits)} to {_printed(estimate.high * scale, digits)}"


def with_interval(estimate: Estimate | None, digits: int | None, scale: float = 1.0) -> str:
    """ "1.34 (1.26 to 1.44)", or the value alone where the interval is not known."""
    text, ends = value(estimate, digits, scale), interval(estimate, digits, scale)
    return f"{text} ({ends})" if ends else text


def plural(count: int, noun: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(words: Sequence[str]) -> str:
    """ "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def setting(value: Any) -> str:
    """A parameter's value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {setting(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(setting(item) for item in value) or "none"
    if value is None:
        return "default"
    return str(value)


def decibels(ratio: float) -> str:
    """A ratio in dB."""
    return "without limit: nothing changed" if isinf(ratio) else f"{_rounded(ratio, 1)} dB"


def check_value(value: Any, name: str) -> str:
    """A number of a check for hidden gradients: fractions are shares of clips, but for perturbations (`epsilon`)."""
    if isinstance(value, list | tuple):
        return ", ".join(check_value(item, name) for item in value)
    if value is None:
        return "not run"
    if isinstance(value, float):
        return number(value) if name == "epsilon" else percent(value, 0)
    return str(value)


def _printed(value: float, digits: int | None) -> str:
    return number(value).replace("-", "−") if digits is None else _rounded(value, digits)


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")
