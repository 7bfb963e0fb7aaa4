"""Geometry of batched meshes against trimesh, dense matrices and closed forms."""

import math

import numpy as np
import pytest
import torch
import trimesh

from lit3d.ops import mesh as ops
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere, torus

SHEET = Topology.of([[0, 1, 2], [0, 2, 3]])
SQUARE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]], dtype=torch.float64)


def batch(template, seed=0):
    """The template and two that are stretched and bent."""
    rng = torch.Generator().manual_seed(seed)
    x = template.vertices.double()
    return torch.stack([x, x * torch.tensor([1.0, 0.5, 0.2]), x + 0.02 * torch.randn(x.shape, generator=rng).double()])


@pytest.mark.parametrize("template", [icosphere(2), torus(12, 8)], ids=["sphere", "torus"])
def test_normals_and_areas_agree_with_trimesh(template):
    vertices = batch(template)
    for i, x in enumerate(vertices):
        mesh = trimesh.Trimesh(x.numpy(), template.faces.numpy(), process=False)
        assert np.allclose(ops.face_normals(vertices, template.faces)[i], mesh.face_normals)
        assert np.allclose(ops.face_areas(vertices, template.faces)[i], mesh.area_faces)
        by_area = np.zeros((len(x), 3))
        for face, normal, area in zip(mesh.faces, mesh.face_normals, mesh.area_faces, strict=True):
            by_area[face] += normal * area
        by_area /= np.linalg.norm(by_area, axis=1, keepdims=True)
        assert np.allclose(ops.vertex_normals(vertices, template.faces)[i], by_area)


@pytest.mark.parametrize("angle", [0.0, 10.0, 90.0, 150.0, 180.0])
def test_pair_cosine_of_a_hinge(angle):
    turned = SQUARE.clone()
    axis = torch.tensor([1.0, 1, 0], dtype=torch.float64) / math.sqrt(2)
    foot, out = SQUARE[0, 3] @ axis * axis, SQUARE[0, 3] - SQUARE[0, 3] @ axis * axis
    bend = math.radians(angle)
    turned[0, 3] = foot + math.cos(bend) * out + math.sin(bend) * torch.linalg.cross(axis, out)
    assert float(ops.pair_cosines(turned, SHEET.face_pairs)) == pytest.approx(math.cos(bend), abs=1e-12)


def test_pair_cosines_agree_with_trimesh():
    template = torus(12, 8)
    topology, x = Topology.of(template.faces), batch(template)
    mesh = trimesh.Trimesh(x[1].numpy(), template.faces.numpy(), process=False)
    angle = {tuple(sorted(p)): a for p, a in zip(mesh.face_adjacency.tolist(), mesh.face_adjacency_angles, strict=True)}
    theirs = [math.cos(angle[tuple(sorted(p))]) for p in topology.pair_faces.tolist()]
    assert np.allclose(ops.pair_cosines(x, topology.face_pairs)[1], theirs)


def test_uniform_laplacian_is_a_matrix():
    template = icosphere(1)
    topology, x = Topology.of(template.faces, 43), torch.rand(2, 43, 4, dtype=torch.float64)
    dense = torch.zeros(43, 43, dtype=torch.float64)
    a, b = topology.edges.T
    dense[a, b] = dense[b, a] = 1
    dense = dense / dense.sum(1, keepdim=True).clamp_min(1) - torch.diag((dense.sum(1) > 0).double())
    assert torch.allclose(ops.uniform_laplacian(x, topology.edges), dense @ x)
    expected = topology.neighbour_mean(x) - x * (topology.degree > 0)[:, None]
    assert torch.allclose(ops.uniform_laplacian(x, topology.edges), expected)


def test_cotangents_of_a_square():
    assert torch.allclose(ops.cotangents(SQUARE, SHEET.faces)[0, 0], torch.tensor([1.0, 0, 1], dtype=torch.float64))
    # A linear function has Laplacian 0 inside a flat sheet, however it is cut into triangles.
    at = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.3, 0.6, 0]]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    value, _ = ops.cotangent_laplacian(at, faces, ops.cotangents(at, faces))
    assert value[0, 4].abs().max() < 1e-12


def test_cotangent_laplacian_is_the_slope_of_the_area():
    template = icosphere(1)
    x = batch(template).requires_grad_()
    (slope,) = torch.autograd.grad(ops.face_areas(x, template.faces).sum(), x)
    value, total = ops.cotangent_laplacian(x, template.faces, ops.cotangents(x, template.faces))
    assert torch.allclose(value, -slope, atol=1e-10)
    assert float(total.detach().min()) > 0


def test_samples_lie_on_their_faces_and_are_uniform():
    template = icosphere(1)
    vertices = batch(template).float()
    points, normals, face = ops.sample_surface(vertices, template.faces, 20_000, torch.Generator().manual_seed(0))
    a, b, c = (vertices.gather(1, template.faces[face][..., k, None].expand(-1, -1, 3)) for k in range(3))
    whole = torch.linalg.cross(b - a, c - a).norm(dim=-1)
    parts = sum(
        torch.linalg.cross(p - points, q - points).norm(dim=-1) for p, q in ((a, b), (b, c), (c, a))
    )  # a point inside a triangle cuts it into three
    assert torch.allclose(parts, whole, rtol=1e-3, atol=1e-6)
    assert torch.equal(normals, ops.face_normals(vertices, template.faces).gather(1, face[..., None].expand(-1, -1, 3)))
    share = ops.face_areas(vertices, template.faces)
    share = share / share.sum(1, keepdim=True)
    counts = torch.stack([torch.bincount(f, minlength=80) for f in face])
    chi = ((counts - 20_000 * share) ** 2 / (20_000 * share)).sum(1)
    assert float(chi.max()) < 79 + 5 * math.sqrt(2 * 79)


def test_samples_within_a_face_are_uniform():
    points, _, _ = ops.sample_surface(SQUARE.float(), SHEET.faces, 40_000, torch.Generator().manual_seed(0))
    cells = (points[0, :, :2] * 4).long().clamp_max(3)
    counts = torch.bincount(cells[:, 0] * 4 + cells[:, 1], minlength=16)
    assert (counts - 2500).abs().max() < 5 * 50


def test_sampling_repeats_and_carries_gradients():
    template = icosphere(0)
    x = template.vertices[None].double().requires_grad_()

    def sampled(v):
        return ops.sample_surface(v, template.faces, 7, torch.Generator().manual_seed(3))[:2]

    assert torch.equal(sampled(x)[0], sampled(x)[0])
    points, _ = sampled(x)
    (pull,) = torch.autograd.grad(points.sum(), x)
    assert float(pull.sum()) == pytest.approx(
        21
    )  # every point hangs on its three corners with weights that add up to 1
    assert torch.autograd.gradcheck(lambda v: sampled(v * (1 + 0 * v)), x)


def test_faces_without_area_are_never_drawn():
    at = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]])
    faces = torch.tensor([[0, 1, 3], [0, 1, 2], [1, 3, 0]])
    assert set(ops.sample_surface(at, faces, 500)[2].flatten().tolist()) == {1}


@pytest.mark.parametrize("value", [0.0, 0.5, math.nan, math.inf])
def test_no_area_at_all(value):
    faces = torch.tensor([[0, 1, 2], [0, 2, 1]])
    points, normals, _ = ops.sample_surface(torch.full((2, 3, 3), value), faces, 10)
    assert points.shape == normals.shape == (2, 10, 3)
    if math.isfinite(value):
        assert torch.allclose(points, torch.tensor(value))
        assert (normals == 0).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.face_normals(x, SHEET.faces), lambda x: ops.vertex_normals(x, SHEET.faces),
        lambda x: ops.pair_cosines(x, SHEET.face_pairs), lambda x: ops.cotangents(x, SHEET.faces),
        lambda x: ops.face_areas(x, SHEET.faces), lambda x: ops.uniform_laplacian(x, SHEET.edges),
        lambda x: ops.cotangent_laplacian(x, SHEET.faces, ops.cotangents(x, SHEET.faces)),
    ],
)  # fmt: skip
def test_gradients_and_collapsed_meshes(function):
    x = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, x)
    point, line = torch.zeros(4, 3), torch.arange(4.0)[:, None].expand(4, 3)
    flat = torch.stack([point, line, torch.full((4, 3), 1e-30)]).requires_grad_()
    out = function(flat)
    total = sum(t.sum() for t in (out if isinstance(out, tuple) else (out,)))
    (pull,) = torch.autograd.grad(total, flat)
    assert total.isfinite()
    assert pull.isfinite().all()
