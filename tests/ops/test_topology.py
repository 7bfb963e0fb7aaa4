"""Topology against trimesh and dense matrices; what is refused."""

import numpy as np
import pytest
import torch
import trimesh

from lit3d.errors import UserError
from lit3d.ops.mesh import Topology, with_midpoints
from lit3d.ops.templates import ellipsoid, icosphere, torus

SHEET = [[0, 1, 2], [0, 2, 3]]  # a square of two triangles
TETRAHEDRON = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]


def solid(template):
    return trimesh.Trimesh(template.vertices.numpy(), template.faces.numpy(), process=False)


@pytest.mark.parametrize("template", [icosphere(0), icosphere(2), torus(8, 5)], ids=["level 0", "level 2", "torus"])
def test_agrees_with_trimesh(template):
    mesh, topology = solid(template), Topology.of(template.faces).check()
    assert np.array_equal(topology.edges, np.unique(mesh.edges_sorted, axis=0))
    assert topology.euler == mesh.euler_number
    assert topology.parts == mesh.body_count == 1
    ours = {tuple(sorted(p)) for p in topology.pair_faces.tolist()}
    assert ours == {tuple(sorted(p)) for p in mesh.face_adjacency.tolist()}
    for v, others in enumerate(mesh.vertex_neighbors):
        start = int(topology.offsets[v])
        assert topology.neighbours[start : start + int(topology.degree[v])].tolist() == sorted(others)


def test_corners_of_a_pair():
    topology = Topology.of(SHEET)
    assert topology.face_pairs.tolist() in ([[2, 0, 1, 3]], [[0, 2, 3, 1]])
    assert len(topology.boundary) == 4
    assert not topology.closed
    faces, pairs = Topology.of(icosphere(1).faces).faces, Topology.of(icosphere(1).faces)
    for (a, b, c, d), (first, second) in zip(pairs.face_pairs.tolist(), pairs.pair_faces.tolist(), strict=True):
        turns = [{tuple(np.roll(faces[f], -k)) for k in range(3)} for f in (first, second)]
        assert (a, b, c) in turns[0]
        assert (b, a, d) in turns[1]


def test_edge_opposite_to_each_corner():
    topology = Topology.of(TETRAHEDRON)
    for face, edges in zip(topology.faces.tolist(), topology.face_edges.tolist(), strict=True):
        for k in range(3):
            assert set(topology.edges[edges[k]].tolist()) == set(face) - {face[k]}


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_sphere(level):
    template = icosphere(level, radius=0.5, centre=(1, 2, 3))
    assert len(template.vertices) == 10 * 4**level + 2
    assert torch.allclose((template.vertices - torch.tensor([1.0, 2, 3])).norm(dim=1), torch.tensor(0.5))
    assert solid(template).volume == pytest.approx(4 / 3 * np.pi / 8, rel=0.6 / 4**level)
    assert Topology.of(template.faces).check().euler == 2


def test_levels_are_subdivisions():
    coarse, fine = Topology.of(icosphere(2).faces), Topology.of(icosphere(3).faces)
    assert torch.equal(coarse.subdivided().faces, fine.faces)
    assert torch.equal(icosphere(3).vertices[:162], icosphere(2).vertices)


def test_ellipsoid_and_torus():
    template = ellipsoid(4, (0.3, 0.2, 0.1), (0, 0, 1))
    low, high = template.vertices.amin(0), template.vertices.amax(0)
    assert torch.allclose(high - low, torch.tensor([0.6, 0.4, 0.2]), atol=2e-3)
    assert solid(template).volume == pytest.approx(4 / 3 * np.pi * 0.006, rel=0.01)
    mesh = solid(torus(96, 48, 0.35, 0.15))
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 0.35 * 0.15**2, rel=0.01)
    assert mesh.is_watertight
    assert mesh.euler_number == 0


def test_subdivision_keeps_the_surface():
    template = icosphere(1)
    topology = Topology.of(template.faces)
    fine = with_midpoints(template.vertices[None], topology.edges)[0]
    mesh = trimesh.Trimesh(fine.numpy(), topology.subdivided().faces.numpy(), process=False)
    assert len(mesh.faces) == 4 * 80
    assert mesh.volume == pytest.approx(solid(template).volume)
    assert np.allclose(fine[42:], template.vertices[topology.edges].mean(1))
    assert topology.subdivided().check().euler == 2


def test_an_open_sheet_is_subdivided_too():
    fine = Topology.of(SHEET).subdivided()
    assert (fine.vertices, len(fine.faces), len(fine.boundary), fine.euler, fine.against) == (9, 8, 8, 1, 0)


def test_neighbour_sum_is_the_adjacency_matrix():
    topology = Topology.of(icosphere(1).faces, 44)  # vertices 42 and 43 are loose
    dense = torch.zeros(44, 44, dtype=torch.float64)
    a, b = topology.edges.T
    dense[a, b] = dense[b, a] = 1
    x = torch.rand(3, 44, 5, dtype=torch.float64)
    assert torch.allclose(topology.neighbour_sum(x), dense @ x)
    assert torch.allclose(topology.neighbour_mean(x), dense @ x / dense.sum(1).clamp_min(1)[:, None])
    small, values = Topology.of(TETRAHEDRON), torch.rand(2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(small.neighbour_mean, values)
    assert torch.autograd.gradgradcheck(small.neighbour_mean, values)


def test_parts_and_pinches():
    two = Topology.of([*TETRAHEDRON, *(np.array(TETRAHEDRON) + 4)]).check()
    assert (two.parts, two.euler) == (2, 4)
    tip = np.array(TETRAHEDRON) + 3  # shares vertex 3 with the first
    touching = Topology.of([*TETRAHEDRON, *tip])
    assert (touching.parts, touching.pinched, touching.closed) == (1, 1, True)
    with pytest.raises(UserError, match="1 vertices where surfaces touch"):
        touching.check()


@pytest.mark.parametrize(
    ("faces", "vertices", "words"),
    [
        (SHEET, None, "4 edges with only one face"),
        ([*TETRAHEDRON[:3], [0, 2, 3]], None, "3 pairs of faces wound against"),
        ([*TETRAHEDRON, [0, 1, 4]], None, "1 edges with more than two faces"),
        (TETRAHEDRON, 6, "2 vertices without a face"),
    ],
)
def test_refused_templates(faces, vertices, words):
    with pytest.raises(UserError, match=f"cube.obj must be.*{words}.*repair"):
        Topology.of(faces, vertices).check("cube.obj")


@pytest.mark.parametrize(
    ("faces", "vertices", "words"),
    [
        (np.zeros((0, 3)), None, "at least one face"),
        ([[0, 1, 2, 3]], None, "shape \\(1, 4\\)"),
        ([[0, 1, 5]], 5, "0 to 5, but there are 5"),
        ([[0, 1, -1]], None, "-1"),
        ([[0, 1, 1]], None, "same vertex twice"),
        ([[0, 1, 2], [1, 2, 0]], None, "1 faces are there twice"),
    ],
)
def test_refused_faces(faces, vertices, words):
    with pytest.raises(UserError, match=words):
        Topology.of(faces, vertices)


@pytest.mark.parametrize(
    "make", [lambda: icosphere(9), lambda: ellipsoid(2, (1, 0, 1)), lambda: torus(2), lambda: torus(tube=0.5)]
)
def test_refused_numbers(make):
    with pytest.raises(UserError):
        make()
