"""The one reader of YAML: values are what DVC reads in the same text (YAML 1.2's core schema).

DVC writes 0.00001 as `1e-05`, and a text "no" as `no`, without quotes. PyYAML follows YAML 1.1, in which the first
is text and the second is False.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in Python, a dvc.lock takes a second

_SCALARS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
)
DEEPEST = 100
_PREFIXES = {"0b": 2, "0o": 8, "0x": 16}
_REPLACED = {f"tag:yaml.org,2002:{kind}" for kind, _, _ in _SCALARS}


class _Loader(_BASE):
    """PyYAML's safe loader, with YAML 1.2's null, bool, int and float in place of YAML 1.1's."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute, replaced as a whole
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """An integer; one that begins with 0 is decimal, as in DVC."""
        text = self.construct_scalar(node).replace("_", "")
        digits = text.lstrip("+-")
        value = int(digits, _PREFIXES.get(digits[:2], 10))
        return -value if text.startswith("-") else value


for _kind, _pattern, _first in _SCALARS:
    _firsts = ["" if character == "\0" else character for character in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), _firsts)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def parse_yaml(text: str | bytes) -> Any:
    """Read YAML, with numbers as in YAML 1.2: `1e-5`, `1E5`, `.5` and `+1.e3` are numbers, `'1e-5'` is text.

    Raises
    ------
    yaml.YAMLError
        If it is not YAML.
    """
    _refuse_deep(text)
    return yaml.load(text, Loader=_Loader)


def _refuse_deep(text: str | bytes) -> None:
    """The C parser goes into every nested list by a call of its own, and would end the process without a word."""
    depth = 0
    for event in yaml.parse(text, Loader=_BASE):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST} levels deep")


def looks_like_number(text: object) -> bool:
    """Whether `text` is text that would be a number without its quotes."""
    if not isinstance(text, str):
        return False
    return any(re.fullmatch(pattern, text) for kind, pattern, _ in _SCALARS if kind in ("int", "float"))
