"""Mesh-quality scores in closed form, and what failures get."""

import math

import pytest
import torch

from lit3d.metrics import mesh_quality as quality
from lit3d.metrics import score_mesh
from lit3d.ops.mesh import Topology, sample_surface
from lit3d.ops.templates import icosphere, torus

SPHERE = icosphere(2, 0.5)
TOPOLOGY = Topology.of(SPHERE.faces)


def hinge(degrees):
    """Two triangles along the x axis with this dihedral angle."""
    turn = math.radians(degrees)
    at = [[0.0, 0, 0], [1, 0, 0], [0.5, 1, 0], [0.5, math.cos(turn), math.sin(turn)]]
    return torch.tensor(at)[None], torch.tensor([[0, 1, 2, 3]])


def test_edge_spread():
    three = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [4, 0, 0]], [[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    assert quality.edge_spread(three, torch.tensor([[0, 1], [1, 2]])).tolist() == [0.5, 0]
    assert quality.edge_spread(0 * three, torch.tensor([[0, 1], [1, 2]])).tolist() == [quality.WORST_SPREAD] * 2
    assert quality.edge_spread(icosphere(0).vertices[None], Topology.of(icosphere(0).faces).edges).item() < 1e-6


@pytest.mark.parametrize(("degrees", "fold"), [(180, 0), (120, 0), (90, 0), (31, 0), (29, 1), (1, 1)])
def test_hinge(degrees, fold):
    at, pair = hinge(degrees)
    assert quality.roughness(at, pair).item() == pytest.approx(180 - degrees, abs=0.05)
    assert quality.folded(at, pair).item() == fold


def test_a_sphere_is_clean_and_inside_out_all_flipped():
    truth, normals, _ = sample_surface(SPHERE.vertices[None], SPHERE.faces, 4000, torch.Generator().manual_seed(1))
    scores = score_mesh(SPHERE.vertices[None], TOPOLOGY, truth, normals, 2000)
    assert scores["flipped"].item() == scores["folded"].item() == scores["self_intersection"].item() == 0
    assert scores["normal_consistency"].item() > 0.98
    assert scores["euler"].item() == 2
    assert scores["failure"].item() == 0
    assert score_mesh(-SPHERE.vertices[None], TOPOLOGY, truth, normals, 500)["flipped"].item() == 1
    assert score_mesh(torus().vertices[None], Topology.of(torus().faces))["euler"].item() == 0


def test_half_pushed_through_is_half_flipped():
    at = SPHERE.vertices[None].clone()
    at[..., 2] = torch.where(at[..., 2] > 0, -at[..., 2] * 0.999, at[..., 2])  # the upper half, mirrored on the lower
    truth, normals, _ = sample_surface(SPHERE.vertices[None], SPHERE.faces, 4000, torch.Generator().manual_seed(1))
    scores = score_mesh(at, TOPOLOGY, truth, normals, 4000)
    assert scores["flipped"].item() == pytest.approx(0.5, abs=0.05)
    assert scores["folded"].item() > 0


def test_share_of_faces_that_pass_through_others():
    at = torch.cat([SPHERE.vertices, SPHERE.vertices + torch.tensor([0.5, 0, 0])])[None]
    both = torch.cat([SPHERE.faces, SPHERE.faces + len(SPHERE.vertices)])
    assert 0.02 < quality.self_intersection(at, both).item() < 0.2
    at[0, len(SPHERE.vertices) :, 0] += 1
    assert quality.self_intersection(at, both).item() == 0


def test_failures_are_counted_with_their_stated_scores():
    at = SPHERE.vertices.expand(3, -1, -1).clone()
    at[1, 5, 2], at[2, 0, 0] = math.nan, math.inf
    truth, normals, _ = sample_surface(SPHERE.vertices[None], SPHERE.faces, 500, torch.Generator().manual_seed(1))
    scores = score_mesh(at, TOPOLOGY, truth.expand(3, -1, -1), normals.expand(3, -1, -1), 500)
    assert scores["failure"].tolist() == [0, 1, 1]
    stated = {"edge_spread": 10, "roughness": 90, "folded": 1, "self_intersection": 1, "flipped": 1,
              "normal_consistency": 0}  # fmt: skip
    for name, value in stated.items():
        assert scores[name][1:].tolist() == [value, value]
        assert scores[name][0] == score_mesh(at[:1], TOPOLOGY, truth, normals, 500)[name] or name in (
            "flipped", "normal_consistency",
        )  # fmt: skip
    collapsed = score_mesh(torch.zeros(1, 162, 3), TOPOLOGY, truth, normals, 100)
    assert all(v.isfinite().all() for v in collapsed.values())


def test_without_truth_and_repeatable():
    scores = score_mesh(SPHERE.vertices[None], TOPOLOGY)
    assert set(scores) == {"edge_spread", "roughness", "folded", "self_intersection", "euler", "failure"}
    truth, normals, _ = sample_surface(SPHERE.vertices[None], SPHERE.faces, 500)
    first, second = (score_mesh(SPHERE.vertices[None], TOPOLOGY, truth, normals, 200) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)
