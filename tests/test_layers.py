"""Who may import whom, as the tree says it: never upwards."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lit3d"
FREE = {"errors", "config", "__version__"}
LEVEL = {"ops": 0, "structures": 1, "networks": 2, "losses": 2, "metrics": 2, "synthesis": 2, "data": 3, "modules": 3,
         "drawing": 3, "photos": 3, "shape_files": 4, "mesh_drawing": 4, "callbacks": 5, "summary_mean_shape": 5,
         "summary": 6, "reporting": 7}  # fmt: skip
FORBIDDEN = {
    "ops": {"pytorch_lightning", "hydra", "omegaconf"}, "structures": {"pytorch_lightning", "hydra"},
    "networks": {"pytorch_lightning", "hydra"}, "losses": {"pytorch_lightning", "hydra"},
    "metrics": {"pytorch_lightning", "hydra"}, "synthesis": {"pytorch_lightning", "hydra", "torch"},
    "modules": {"lit3d.data"},
}  # fmt: skip


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_goes_upwards(path):
    here = room(path)
    for name in imports(path):
        parts = name.split(".")
        assert not any(name == f or name.startswith(f"{f}.") for f in FORBIDDEN.get(here, ())), f"{path} imports {name}"
        if parts[0] == "lit3d" and len(parts) > 1 and parts[1] not in FREE and here in LEVEL:
            there = parts[1]
            assert there == here or LEVEL.get(there, 9) < LEVEL[here], f"{here} may not import {name}"


def test_no_future_annotations():
    assert not [p for p in PACKAGE.rglob("*.py") if "from __future__ import annotations" in p.read_text()]
