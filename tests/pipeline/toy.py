"""A repository whose stages take no time, in the shape of the real pipeline and under its parameters."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.pipeline.clone import ROOT, Clone

PIPELINE = """
stages:
  download:
    cmd: python stage.py data/raw.txt ${dataset}
    deps: [stage.py]
    params: [dataset]
    outs: [data/raw.txt]
  stft:
    cmd: python stage.py data/stft.txt data/raw.txt
    deps: [stage.py, data/raw.txt]
    outs: [data/stft.txt]
  dwt:
    cmd: python stage.py data/dwt.txt data/raw.txt
    deps: [stage.py, data/raw.txt]
    outs: [data/dwt.txt]
  append:
    cmd: python stage.py data/pictures.txt data/stft.txt data/dwt.txt ${representation}
    deps: [stage.py, data/stft.txt, data/dwt.txt]
    params: [representation]
    outs: [data/pictures.txt]
  train:
    cmd: python stage.py metrics/train.json data/pictures.txt ${model} ${seed} && cp metrics/train.json model.txt
    deps: [stage.py, data/pictures.txt]
    params: [model, seed]
    outs: [model.txt]
    metrics: [{metrics/train.json: {cache: false}}]
  attack:
    foreach: [deepfool, cwa]
    do:
      cmd: python stage.py metrics/${item}.json model.txt data/pictures.txt
      deps: [stage.py, model.txt, data/pictures.txt]
      params: ["attacks.${item}"]
      metrics: [{"metrics/${item}.json": {cache: false}}]
"""

STAGE = '''"""Writes a number that follows from every argument, and from what the files among them hold."""
import hashlib, json, os, sys, time
from pathlib import Path

target, *given = sys.argv[1:]
Path(target).parent.mkdir(exist_ok=True)
hold = Path(".advaudio/downloads/hold")
began = time.time()
while target == "metrics/train.json" and hold.exists() and time.time() - began < 60:
    time.sleep(0.05)
claims = os.environ.get("TOY_GPUS")
if claims and target == "metrics/train.json":
    from advaudio.core.gpu_claim import claim_one, one_gpu_wanted

    gpu = claim_one(["a", "b"], Path(claims) / "locks") if one_gpu_wanted() else "all"
    (Path(claims) / f"{os.getpid()}.claim").write_text(str(gpu))
    while len(list(Path(claims).glob("*.claim"))) < 2 and time.time() - began < 60:
        time.sleep(0.05)
if "broken:build" in given:
    sys.exit("this cell is broken")
read = [Path(item).read_text() if Path(item).is_file() else item for item in given]
number = int(hashlib.sha256("".join(read).encode()).hexdigest()[:6], 16)
Path(target).write_text(json.dumps({"number": number}))
'''


def make_toy(folder: Path) -> Clone:
    """A committed repository with the toy pipeline.

    Stage `train` waits while there is a file `hold` among the downloads. With the environment variable TOY_GPUS
    it claims one of two GPUs, writes which into that folder, and waits for another to do the same.
    """
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (folder / "stage.py").write_text(STAGE, encoding="utf-8")
    for name in ("params.yaml", ".gitignore"):
        shutil.copy2(ROOT / name, folder / name)
    # The parameters name files of the library: the code of each attack.
    for name in ("advaudio", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    toy = Clone(folder)
    toy.run("git", "init", "--quiet", "--initial-branch=main")
    toy.run("git", "config", "user.name", "Tester")
    toy.run("git", "config", "user.email", "tester@example.org")
    toy.run("dvc", "init", "--quiet")
    toy.run("dvc", "config", "core.analytics", "false")
    (folder / "data").mkdir()
    (folder / "metrics").mkdir()
    toy.commit("toy pipeline")
    return toy
