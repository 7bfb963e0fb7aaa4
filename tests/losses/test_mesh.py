"""Mesh regularisers in closed form: a single edge, a hinge, a flat sheet, a cube, a sphere."""

import math

import numpy as np
import pytest
import torch

from lit3d.errors import UserError
from lit3d.losses import mesh as losses
from lit3d.ops.mesh import Topology
from lit3d.ops.templates import icosphere

LINE, EDGE = torch.tensor([[[0.0, 0, 0], [3, 4, 0]]]), torch.tensor([[0, 1]])
CORNERS = torch.tensor([[x, y, z] for x in (0.0, 1) for y in (0.0, 1) for z in (0.0, 1)])[None]
CUBE = Topology.of([
    [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
    [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
]).check()  # fmt: skip
HINGE = torch.tensor([[2, 0, 1, 3]])  # edge from vertex 2 to 0
SQUARE = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]])


def sheet(side=5, spacing=None):
    """A flat grid (1, side^2, 3) and its faces, the vertices inside, and optionally uneven spacing."""
    step = torch.arange(side, dtype=torch.float64) if spacing is None else torch.tensor(spacing, dtype=torch.float64)
    at = torch.stack(torch.meshgrid(step, step, indexing="ij"), -1).reshape(-1, 2)
    index = torch.arange(side**2).reshape(side, side)
    a, b, c, d = (index[i, j].flatten() for i, j in CELLS)
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([a, c, d], 1)])
    return torch.nn.functional.pad(at, (0, 1))[None], Topology.of(faces), index[1:-1, 1:-1].flatten()


CELLS = [(slice(0, -1), slice(0, -1)), (slice(1, None), slice(0, -1)), (slice(1, None), slice(1, None)),
         (slice(0, -1), slice(1, None))]  # fmt: skip


def test_single_edge():
    assert losses.uniform_edges(LINE, EDGE).tolist() == [25]
    assert losses.uniform_edges(LINE, EDGE, "sum").tolist() == [50]  # from both ends
    assert losses.equal_edges(LINE, EDGE).tolist() == [0]
    three = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [4, 0, 0]]])
    assert losses.equal_edges(three, torch.tensor([[0, 1], [1, 2]])).tolist() == [1]  # lengths 1 and 3
    assert losses.move(LINE + 1, LINE).tolist() == [3]
    assert losses.move(LINE + 1, LINE, "sum").tolist() == [6]
    at, up = torch.tensor([[[0.0, 0, 0], [3, 4, 0]]]), torch.tensor([[[0.0, 1, 0], [1, 0, 0]]])
    assert losses.mesh_normal(LINE, EDGE, at, up).item() == pytest.approx((0.8 + 0.6) / 2)
    assert losses.mesh_normal(LINE, EDGE, at, up, "squared").item() == pytest.approx((0.64 + 0.36) / 2)
    assert losses.mesh_normal(LINE, EDGE, at, up, "raw", "sum").item() == pytest.approx(16 + 9)
    assert losses.mesh_normal(LINE, EDGE, at, torch.tensor([[[0.0, 0, 1], [0, 0, -1]]])).item() == 0


@pytest.mark.parametrize(("degrees", "smooth"), [(180, 0), (90, 1), (60, 2.25), (0, 4)])
def test_dihedral_angle(degrees, smooth):
    folded, turn = SQUARE.clone(), math.radians(180 - degrees)
    axis = torch.tensor([1.0, 1, 0]) / math.sqrt(2)
    out = torch.tensor([-1.0, 1, 0]) / 2
    folded[0, 3] = axis / math.sqrt(2) + math.cos(turn) * out + math.sin(turn) * torch.linalg.cross(axis, out)
    assert losses.dihedral_smoothness(folded, HINGE).item() == pytest.approx(smooth, abs=1e-5)
    assert losses.normal_consistency(folded, HINGE).item() == pytest.approx(math.sqrt(smooth), abs=1e-5)


def test_flat_sheet():
    x, topology, inside = sheet()
    assert losses.dihedral_smoothness(x, topology.face_pairs).item() == 0
    assert losses.normal_consistency(x, topology.face_pairs).item() == 0
    even = losses.uniform_smoothness(x, topology.edges, "sum").item()
    uneven, _, _ = sheet(spacing=[0.0, 1, 1.5, 3, 4])
    for sheets in (x, uneven):  # the cotangent Laplacian sees the shape, not the spacing; the boundary pulls in both
        delta = torch.autograd.functional.jacobian(lambda v: losses.cotangent_smoothness(v, topology.faces), sheets)[
            0, 0
        ]
        assert delta[6 + 6].abs().max() < 1e-12  # vertex (2, 2): no boundary among its neighbours
    inner = x[:, inside]
    assert torch.allclose(inner, x.reshape(1, 5, 5, 3)[:, 1:-1, 1:-1].reshape(1, -1, 3))
    assert losses.uniform_smoothness(uneven, topology.edges, "sum").item() > even
    points, normals = x + 0.1, torch.tensor([0.0, 0, -1], dtype=torch.float64).expand_as(x)
    for against in ("cosine", "squared", "raw"):
        assert losses.mesh_normal(x, topology.edges, points, normals, against).item() == 0


def test_cube():
    diagonal = 6 * 2 + 12 * 1
    assert losses.uniform_edges(CORNERS, CUBE.edges).item() == pytest.approx(diagonal / 18)
    assert losses.uniform_edges(CORNERS, CUBE.edges, "sum").item() == pytest.approx(2 * diagonal)
    lengths = np.r_[np.ones(12), np.full(6, math.sqrt(2))]
    assert losses.equal_edges(CORNERS, CUBE.edges).item() == pytest.approx(lengths.var(), rel=1e-5)
    # 12 right angles and 6 flat diagonals
    assert losses.dihedral_smoothness(CORNERS, CUBE.face_pairs, "sum").item() == pytest.approx(12)
    assert losses.dihedral_smoothness(CORNERS, CUBE.face_pairs).item() == pytest.approx(12 / 18)
    assert losses.normal_consistency(CORNERS, CUBE.face_pairs, "sum").item() == pytest.approx(12)
    inward = CUBE.faces.flip(1)  # winding inside out: the same angles
    assert losses.dihedral_smoothness(CORNERS, Topology.of(inward).face_pairs).item() == pytest.approx(12 / 18)


def test_sphere():
    """On a fine sphere of radius R a vertex with neighbours at distance r has |delta| = r^2 / 2R."""
    template = icosphere(4, radius=2.0)
    topology, x = Topology.of(template.faces), template.vertices[None].double()
    r2 = losses.uniform_edges(x, topology.edges).item()
    curved = losses.cotangent_smoothness(x, topology.faces).item()
    assert math.sqrt(curved) == pytest.approx(r2 / 4, rel=0.05)
    assert losses.uniform_smoothness(x, topology.edges).item() > curved  # it sees the spacing, too
    points = x.detach()
    # An edge leaves its vertex under the angle r / 2R below the tangent plane.
    edge = losses.mesh_normal(x, topology.edges, points, points / 2).item()
    assert edge == pytest.approx(math.sqrt(r2) / 4, rel=0.02)
    assert losses.laplacian(x + 1, x, topology.edges).item() < 1e-25  # a shift costs nothing
    scaled = losses.laplacian(3 * x, x, topology.edges).item()
    assert scaled == pytest.approx(4 * losses.uniform_smoothness(x, topology.edges).item())
    assert losses.move(3 * x, x).item() == pytest.approx(16)


def test_icosahedron():
    solid = icosphere(0)
    topology, x, height = Topology.of(solid.faces), solid.vertices[None].double(), 1 - 1 / math.sqrt(5)
    assert losses.uniform_edges(x, topology.edges).item() == pytest.approx(2 * height)
    assert losses.uniform_smoothness(x, topology.edges).item() == pytest.approx(height**2)
    assert losses.cotangent_smoothness(x, topology.faces).item() == pytest.approx(height**2)
    assert losses.normal_consistency(x, topology.face_pairs).item() == pytest.approx(1 - math.sqrt(5) / 3)
    assert losses.equal_edges(x, topology.edges).item() < 1e-12


def test_uniform_alone_shrinks_to_a_point():
    template = icosphere(1)
    edges, x = Topology.of(template.faces).edges, template.vertices[None].clone().requires_grad_()
    for _ in range(200):
        (pull,) = torch.autograd.grad(losses.uniform_edges(x, edges, "sum").sum(), x)
        x = (x - 0.02 * pull).detach().requires_grad_()
    assert float(x.detach().abs().max()) < 1e-3


TRUTH = torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
NORMALS = torch.nn.functional.normalize(TRUTH - 0.5, dim=-1)
BEFORE = CORNERS.double() + 0.1 * TRUTH[:, :8]
TERMS = {
    "uniform_edges": lambda x, f: losses.uniform_edges(x, CUBE.edges, f),
    "equal_edges": lambda x, f: losses.equal_edges(x, CUBE.edges, f),
    "dihedral_smoothness": lambda x, f: losses.dihedral_smoothness(x, CUBE.face_pairs, f),
    "normal_consistency": lambda x, f: losses.normal_consistency(x, CUBE.face_pairs, f),
    "laplacian": lambda x, f: losses.laplacian(x, BEFORE, CUBE.edges, f),
    "move": lambda x, f: losses.move(x, BEFORE, f),
    "uniform_smoothness": lambda x, f: losses.uniform_smoothness(x, CUBE.edges, f),
    "cotangent_smoothness": lambda x, f: losses.cotangent_smoothness(x, CUBE.faces, f),
    **{
        f"mesh_normal {a}": lambda x, f, a=a: losses.mesh_normal(x, CUBE.edges, TRUTH, NORMALS, a, f)
        for a in ("cosine", "squared", "raw")
    },
}


@pytest.mark.parametrize("name", TERMS)
def test_gradients(name):
    x = (CORNERS.double() + 0.2 * TRUTH[:, 8:16]).requires_grad_()
    if name != "cotangent_smoothness":  # its weights are fixed: the next test
        assert torch.autograd.gradcheck(lambda v: TERMS[name](v, "mean"), x)
    mean, total = TERMS[name](x, "mean"), TERMS[name](x, "sum")
    assert mean.shape == (2,)
    factor = (total / mean).detach().round(decimals=6)
    assert factor[0] == factor[1]
    assert float(factor[0]) in (8, 18, 36)  # vertices, edges, both directions of edges
    one = torch.stack([TERMS[name](x, "mean")[i] for i in range(2)])
    assert torch.equal(one, mean)


def test_cotangent_weights_are_fixed():
    x = (CORNERS.double() + 0.2 * TRUTH[:1, 8:16]).requires_grad_()
    (pull,) = torch.autograd.grad(losses.cotangent_smoothness(x, CUBE.faces), x)
    at, matrix = x.detach()[0].numpy(), np.zeros((8, 8))
    for face in CUBE.faces.tolist():
        for k in range(3):
            p, i, j = face[k], face[(k + 1) % 3], face[(k + 2) % 3]
            u, w = at[i] - at[p], at[j] - at[p]
            matrix[i, j] += u @ w / np.linalg.norm(np.cross(u, w)) / 2
            matrix[j, i] = matrix[i, j]
    dense = matrix / matrix.sum(1, keepdims=True) - np.eye(8)
    assert losses.cotangent_smoothness(x, CUBE.faces).item() == pytest.approx(((dense @ at) ** 2).sum(1).mean())
    assert np.allclose(pull[0], 2 / 8 * dense.T @ dense @ at)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("shape", ["a point", "a line", "one edge without length", "folded flat", "denormal"])
def test_what_has_no_size_stays_finite(name, shape):
    x = CORNERS.clone().expand(2, -1, -1).clone()
    if shape == "a point":
        x[:] = 0.25
    elif shape == "a line":
        x[:] = torch.arange(8.0)[:, None]
    elif shape == "one edge without length":
        x[:, 1] = x[:, 0]
    elif shape == "folded flat":
        x[..., 2] = 0
    else:
        x *= 1e-38
    x.requires_grad_()
    global_truth = TERMS[name](x.double(), "mean") if name in ("laplacian", "move") else None
    value = global_truth if global_truth is not None else TERMS[name](x, "mean")
    (pull,) = torch.autograd.grad(value.sum(), x)
    assert value.isfinite().all()
    assert pull.isfinite().all()


def test_half_precision_is_lifted():
    assert losses.uniform_edges(LINE.bfloat16(), EDGE).dtype == torch.float32
    half = losses.mesh_normal(LINE.bfloat16(), EDGE, LINE.bfloat16(), LINE.bfloat16())
    assert half.dtype == torch.float32


def test_the_true_point_has_no_gradient_and_side_does_not_count():
    x = CORNERS.double().clone().requires_grad_()
    points = TRUTH[:1].clone().requires_grad_()
    loss = losses.mesh_normal(x, CUBE.edges, points, NORMALS[:1])
    assert torch.autograd.grad(loss.sum(), points, allow_unused=True, retain_graph=True) == (None,)
    assert torch.equal(loss, losses.mesh_normal(x, CUBE.edges, points, -NORMALS[:1]))


def test_refused():
    with pytest.raises(UserError, match="form must be mean or sum"):
        losses.move(LINE, LINE, form="max")
    with pytest.raises(UserError, match="against must be cosine"):
        losses.mesh_normal(LINE, EDGE, LINE, LINE, against="angle")
