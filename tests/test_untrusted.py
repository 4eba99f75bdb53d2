"""Files from outside: none of them runs code, and each hostile one is refused with the reason.

Archives have their own table in tests/datasets/hostile.py, files of weights theirs in tests/models.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from advaudio.attack_interface.clip_results import read_clip_results
from advaudio.clips.class_names import read_class_names
from advaudio.clips.clip_store import TABLE_FILE, ClipStore, ClipStoreWriter, read_table
from advaudio.clips.picture_layout import read_layout
from advaudio.clips.split_table import read_split
from advaudio.core.errors import AdvaudioError
from advaudio.core.files import open_array, read_json
from advaudio.core.params import read_params
from advaudio.datasets.load import load
from advaudio.models.model_file import load_model
from advaudio.models.pretrained import load_pretrained
from advaudio.models.registry import build_model
from advaudio.training.checkpoints import Checkpoint
from tests.datasets.hostile import wav

MARKER = "code-was-run"


class Bomb:
    """A pickle of this makes the file `MARKER` where it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(MARKER),)


def _array(value: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


def _header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def _torch_file(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _model_file(**metadata: Any) -> bytes:
    save_file({"a": torch.zeros(2)}, "made.safetensors", metadata={"advaudio": json.dumps(metadata)})
    return Path("made.safetensors").read_bytes()


def _zip(names: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return file.getvalue()


def _weights(path: Path) -> object:
    return load_pretrained(build_model("resnet56", 3, (16, 16)), "resnet56", str(path))


def _checkpoint(path: Path) -> object:
    return Checkpoint(path, "digest").load(torch.device("cpu"))


def _split(path: Path) -> object:
    return read_split(path, 3, 10)


def _store(path: Path) -> object:
    with ClipStoreWriter(Path("store")) as writer:
        writer.append(np.ones(100), clip="a", label=0, class_name="a")
    (Path("store") / TABLE_FILE).write_bytes(path.read_bytes())
    return ClipStore.open(Path("store"))


def _layout(path: Path) -> object:
    return read_layout(path.with_suffix(".npy"))


@dataclass(frozen=True)
class Hostile:
    """A file, who reads it, and what the refusal says."""

    name: str
    file: str
    content: Callable[[], bytes]
    reader: Callable[[Path], object]
    says: str


CLIPS = (
    "clip,label,class_name,fold,source,scale,offset,length,gain,sample_rate,original_sample_rate,duration\n"
    "a,{label},a,-1,a,1.0,{offset},{length},{gain},22050,22050,1.0\n"
)


def _clips(**values: Any) -> Callable[[], bytes]:
    filled = CLIPS.format(**({"label": 0, "offset": 0, "length": 100, "gain": 1.0} | values))
    return lambda: filled.encode()


DEEP = b"[" * 100_000
TABLE: list[Hostile] = [
    Hostile("pickle as weights", "w.pt", lambda: pickle.dumps({"a": Bomb()}), _weights, "may hold code"),
    Hostile("pickle in torch weights", "w.pt", lambda: _torch_file({"a": Bomb()}), _weights, "may hold code"),
    Hostile("whole module as weights", "w.pth", lambda: _torch_file(torch.nn.Linear(2, 2)), _weights, "code"),
    Hostile(
        "pickle as safetensors", "w.safetensors", lambda: pickle.dumps(Bomb()), _weights, "Could not read"
    ),
    Hostile("endless header", "w.safetensors", lambda: b"\xff" * 8 + b"{}", _weights, "Could not read"),
    Hostile("pickle as checkpoint", "c.pt", lambda: pickle.dumps(Bomb()), _checkpoint, "Delete"),
    Hostile("pickle in checkpoint", "c.pt", lambda: _torch_file({"digest": Bomb()}), _checkpoint, "Delete"),
    Hostile(
        "foreign checkpoint", "c.pt", lambda: _torch_file({"digest": "x"}), _checkpoint, "other parameters"
    ),
    Hostile("list as checkpoint", "c.pt", lambda: _torch_file([1, 2]), _checkpoint, "Delete"),
    Hostile("pickle as model", "m.safetensors", lambda: pickle.dumps(Bomb()), load_model, "Could not read"),
    Hostile(
        "model that calls a shell",
        "m.safetensors",
        lambda: _model_file(model="os:system", classes=f"touch {MARKER}", size=[]),
        load_model,
        "metadata .* classes",
    ),
    Hostile(
        "model without a size",
        "m.safetensors",
        lambda: _model_file(model="vgg16", classes=2),
        load_model,
        "size",
    ),
    Hostile("pickled array", "a.npy", lambda: _array(np.array([Bomb()], dtype=object)), open_array, "array"),
    Hostile("pickle as array", "a.npy", lambda: pickle.dumps(Bomb()), open_array, "array"),
    Hostile("arrays in a zip", "a.npy", lambda: _zip({"a.npy": _array(np.zeros(2))}), open_array, "array"),
    Hostile("array of a petabyte", "a.npy", lambda: _header("(1000000000000, 250)"), open_array, "array"),
    Hostile("negative shape", "a.npy", lambda: _header("(-4,)"), open_array, "array"),
    Hostile(
        "code in the header", "a.npy", lambda: _header("(__import__('os').getpid(),)"), open_array, "array"
    ),
    Hostile("object dtype", "a.npy", lambda: _header("(1,)", "'|O'") + b"\0" * 8, open_array, "array"),
    Hostile("pickle as table", "t.csv", lambda: pickle.dumps(Bomb()), read_table, "Could not read|no column"),
    Hostile("offset before the start", "t.csv", _clips(offset=-50), _store, "damaged"),
    Hostile("clip beyond the samples", "t.csv", _clips(length=10**9), _store, "damaged"),
    Hostile("gain that is not a number", "t.csv", _clips(gain="nan"), _store, "damaged"),
    Hostile("text as a number", "t.csv", _clips(label="=cmd|'/c calc'!A0"), _store, "Could not read"),
    Hostile("number too large", "t.csv", _clips(label=10**30), _store, "Could not read"),
    Hostile("classes with holes", "t.csv", _clips(label=7), read_class_names, "not 0, 1, 2"),
    Hostile(
        "binary table", "t.csv", lambda: b"\x00\xff\xfe\n" * 9, read_clip_results, "Could not read|no column"
    ),
    Hostile(
        "split beyond the pictures", "s.csv", lambda: b"sample,label,fold_0\n99,0,train\n", _split, "fit"
    ),
    Hostile("split of fractions", "s.csv", lambda: b"sample,label,fold_0\n0.5,0,train\n", _split, "whole"),
    Hostile("deep JSON", "d.json", lambda: DEEP, read_json, "Could not read"),
    Hostile("JSON that is no layout", "d.json", lambda: b'{"sections": 3}', _layout, "no layout"),
    Hostile(
        "YAML that calls a shell",
        "params.yaml",
        lambda: f'!!python/object/apply:os.system ["touch {MARKER}"]'.encode(),
        read_params,
        "not valid YAML",
    ),
    Hostile("deep YAML", "params.yaml", lambda: DEEP, read_params, "not valid YAML"),
    Hostile("binary YAML", "params.yaml", lambda: b"\xff\xfe\x00", read_params, "not valid YAML"),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name)
def test_refused(case: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(case.file)
    path.write_bytes(case.content())
    with pytest.raises(AdvaudioError, match=case.says) as caught:
        case.reader(path)
    assert path.name in str(caught.value) or "store" in str(caught.value)
    assert len(str(caught.value)) < 2_000
    assert not Path(MARKER).exists()


def _import(folder: Path, work: Path) -> dict[str, Any]:
    source = {"path": str(folder), "table": None}
    return load(
        "folder",
        work / "clips",
        source=source,
        archive=None,
        on_bad_file="error",
        seed=0,
        cache_folder=work / "cache",
        workers=1,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound data set of one's own, beside a secret clip."""
    made = tmp_path / "mine"
    made.mkdir()
    rows = ["file,label"]
    for number in range(4):
        (made / f"{number}.wav").write_bytes(wav())
        rows.append(f"{number}.wav,{'ab'[number % 2]}")
    (made / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "secret.wav").write_bytes(wav())
    return made


@pytest.mark.parametrize("name", ["../secret.wav", "{outside}", "x/../../secret.wav", "./../secret.wav"])
def test_a_folders_table_cannot_name_what_lies_outside(name: str, folder: Path, tmp_path: Path) -> None:
    with (folder / "clips.csv").open("a", encoding="utf-8") as table:
        table.write(name.format(outside=tmp_path / "secret.wav") + ",a\n")
    with pytest.raises(AdvaudioError, match="it is not there"):
        _import(folder, tmp_path)
    assert not (tmp_path / "clips").exists()


def test_a_link_in_a_folder_cannot_lead_outside(folder: Path, tmp_path: Path) -> None:
    (folder / "3.wav").unlink()
    (folder / "3.wav").symlink_to(tmp_path / "secret.wav")
    with pytest.raises(AdvaudioError, match="link to a file outside that folder"):
        _import(folder, tmp_path)
    (folder / "3.wav").unlink()
    (folder / "3.wav").symlink_to(folder / "1.wav")
    assert _import(folder, tmp_path)["clips"] == 4


def test_a_linked_folder_is_not_entered(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "secret.wav").rename(tmp_path / "elsewhere" / "4.wav")
    (folder / "more").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with (folder / "clips.csv").open("a", encoding="utf-8") as table:
        table.write("more/4.wav,a\n")
    with pytest.raises(AdvaudioError, match="it is not there"):
        _import(folder, tmp_path)
