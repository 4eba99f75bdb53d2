"""Processes that know nothing of each other get different GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from advaudio.core.device import torch_devices, visible_gpus
from advaudio.core.errors import AdvaudioError
from advaudio.core.gpu_claim import claim_one, one_gpu_wanted

CLAIM = """
import sys
from pathlib import Path
from advaudio.core.gpu_claim import claim_one
first = claim_one(["a", "b", "c"], Path(sys.argv[1]))
assert claim_one(["a", "b", "c"], Path(sys.argv[1])) == first
print(first, flush=True)
sys.stdin.read()
"""


def _claim(folder: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_each_its_own_then_the_least_used_and_a_killed_ones_is_free_again(tmp_path: Path) -> None:
    processes, claims = zip(*(_claim(tmp_path) for _ in range(4)), strict=True)
    try:
        assert claims == (0, 1, 2, 0)
        processes[1].kill()
        processes[1].wait()
        again, claim = _claim(tmp_path)
        again.kill()
        again.wait()
        assert claim == 1
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_claim_of_this_process_lasts(tmp_path: Path) -> None:
    assert claim_one(["a", "b"], tmp_path) == claim_one(["a", "b"], tmp_path) == 0
    process, claim = _claim(tmp_path)
    process.kill()
    process.wait()
    assert claim == 1


def test_devices_of_a_machine_with_three_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # This machine's GPUs, if any, give way to three: only what PyTorch and the system say is replaced.
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: SimpleNamespace(uuid="abc"[index]))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    assert visible_gpus() == ("4", "5", "7")
    monkeypatch.setenv("ADVAUDIO_GPUS", "all")
    assert torch_devices("auto") == ("cuda:0", "cuda:1", "cuda:2")
    other, claim = _claim(tmp_path / f"advaudio-gpus-{os.getuid()}")
    try:
        monkeypatch.setenv("ADVAUDIO_GPUS", "one")
        assert claim == 0
        assert torch_devices("auto") == torch_devices("cuda") == ("cuda:1",)
        assert torch_devices("cpu") == ("cpu",)
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("setting", "folder", "wanted"),
    [
        (None, "/home/me/advaudio/.dvc/tmp/exps/tmpabc", True),
        (None, "/home/me/advaudio", False),
        (None, "/home/me/.dvc/tmp", False),
        ("all", "/home/me/advaudio/.dvc/tmp/exps/tmpabc", False),
        ("one", "/home/me/advaudio", True),
    ],
)
def test_queued_experiments_keep_to_one(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, folder: str, wanted: bool
) -> None:
    monkeypatch.delenv("ADVAUDIO_GPUS", raising=False)
    if setting is not None:
        monkeypatch.setenv("ADVAUDIO_GPUS", setting)
    assert one_gpu_wanted(Path(folder)) is wanted


def test_another_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVAUDIO_GPUS", "two")
    with pytest.raises(AdvaudioError, match="ADVAUDIO_GPUS is 'two'; set it to one or all"):
        one_gpu_wanted()
