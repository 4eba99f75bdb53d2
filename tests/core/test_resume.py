"""Finished work is found again under the same name, and never under that of other work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from advaudio.core.errors import AdvaudioError
from advaudio.core.resume import code_digest, code_of, digest_of, file_digest, written_whole


def test_the_name_changes_with_everything_that_the_work_depends_on(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("one = 1\n")
    values = np.arange(6.0)
    names = [
        digest_of({"steps": 1}, code=[code], arrays=[values]),
        digest_of({"steps": 2}, code=[code], arrays=[values]),
        digest_of({"steps": 1}, arrays=[values]),
        digest_of({"steps": 1}, code=[code], arrays=[values.reshape(2, 3)]),
        digest_of({"steps": 1}, code=[code], arrays=[values.astype("float32")]),
        digest_of({"steps": 1}, code=[code], arrays=[values[::-1]]),
        digest_of({"steps": 1}, code=[code], arrays=[values, None]),
        digest_of({"steps": 1}, code=[code], arrays=[None, values]),
    ]
    code.write_text("one = 2\n")
    names.append(digest_of({"steps": 1}, code=[code], arrays=[values]))
    assert len(set(names)) == len(names)


def test_the_name_is_the_same_for_the_same_work() -> None:
    values = np.arange(6.0).reshape(2, 3)
    described = {"b": 1, "a": [2, None]}
    again = digest_of({"a": [2, None], "b": 1}, arrays=[np.asfortranarray(values)])
    assert digest_of(described, arrays=[values]) == again


def test_the_code_of_a_room_is_all_of_its_files() -> None:
    names = [path.name for path in code_of("core", "clips")]
    assert {"resume.py", "files.py", "clip_store.py"} <= set(names)
    with_models = digest_of(None, code=code_of("models"))
    assert with_models != digest_of(None, code=code_of("models", "core"))


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    one, same, other = tmp_path / "one", tmp_path / "same", tmp_path / "other"
    for path, content in ((one, b"x"), (same, b"x"), (other, b"y")):
        path.write_bytes(content)
    assert file_digest(one) == file_digest(same) != file_digest(other)


def test_a_state_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "states" / "state"
    with written_whole(path) as temporary:
        temporary.write_bytes(b"whole")

    def half(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise RuntimeError("no space left")

    with pytest.raises(AdvaudioError, match="no space left"), written_whole(path) as temporary:
        half(temporary)
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_the_digest_is_of_code_and_not_of_words(tmp_path: Path) -> None:
    texts = {
        "plain": "class A:\n    def f(self):\n        return 1\n",
        "commented": '"""Says."""\n\nclass A:\n    """What."""\n\n    # Why.\n    def f(self):\n        """How."""\n        return (1)\n',
        "changed": "class A:\n    def f(self):\n        return 2\n",
    }
    found = {}
    for name, text in texts.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        found[name] = code_digest(path)
    assert found["plain"] == found["commented"] != found["changed"]
