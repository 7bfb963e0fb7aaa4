"""Every file of conf/model/regularisers composes to a term that a mesh can answer."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from lit3d import config
from lit3d.build import build_terms
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere
from lit3d.structures import Structure

FILES = sorted(p.stem for p in (Path(__file__).parents[2] / "conf/model/regularisers").glob("*.yaml"))


@dataclass(frozen=True)
class Stage(Structure):
    vertices: Tensor
    before: Tensor
    edges: Tensor
    faces: Tensor
    face_pairs: Tensor
    coarser: tuple = ()

    @property
    def stages(self):
        return (*self.coarser, self)


def stage(level, coarser=()):
    template = icosphere(level, 0.5)
    topology, at = Topology.of(template.faces), template.vertices.expand(2, -1, -1)
    return Stage(at, 0.9 * at, topology.edges, topology.faces, topology.face_pairs, coarser)


def test_there_is_a_file_for_every_term():
    assert FILES == sorted([
        "cotangent_smoothness", "dihedral_smoothness", "equal_edges", "laplacian", "mesh_normal", "move",
        "normal_consistency", "uniform_edges", "uniform_smoothness",
    ])  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_file(name):
    composed = config.compose("run", [f"+model/regularisers={name}"])
    (term,) = build_terms(OmegaConf.to_container(composed.model.regularisers))
    assert term.name == name
    assert 0 < term.factor(0) < 1
    coarse = stage(1)
    fine = stage(2, (coarse,))
    points = torch.nn.functional.normalize(torch.randn(2, 500, 3), dim=-1)
    value = term.of_each(fine, {"points": points / 2, "point_normals": points})
    assert value.shape == (2, 1)
    assert (value >= 0).all()
    alone = [term.function(*(getattr(s, n) for n in term.reads), *([points / 2, points] if term.targets else []))
             for s in (coarse, fine)]  # fmt: skip
    assert torch.allclose(value[:, 0], torch.stack(alone).mean(0))
