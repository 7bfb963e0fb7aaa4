"""CONTRIBUTING.md says how to add things in three files: this does it, in a copy of the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```$", re.M | re.S)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The repository's code, with every block of CONTRIBUTING.md written to its file."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("lit3d", "conf", "tests", "experiments"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    for name, text in blocks:
        assert not (root / name).exists()
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root, [name for name, _ in blocks]


def call(root, *command):
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_each_recipe_has_three_files_and_its_test_passes(copy):
    root, names = copy
    assert len(names) == 12
    tests = [name for name in names if name.startswith("tests/")]
    assert "4 passed" in call(root, "-m", "pytest", "-q", *tests)


@pytest.mark.slow
def test_all_additions_run_together(copy):
    root, _ = copy
    call(root, "-m", "lit3d.run", "debug=tiny", "model=linear", "data=balls", "loss=trimmed_cd", "experiment=hausdorff",
         "paths.output=out", "callbacks.media=null")  # fmt: skip
    results = json.loads((root / "out/results.json").read_text())
    assert (results["model"], results["loss"]) == ("linear", ["trimmed_cd"])
    assert 0 < results["test"]["hausdorff"] < 2
    assert "Chamfer distance, prediction to truth" in call(root, "-m", "lit3d.run", "--help")
