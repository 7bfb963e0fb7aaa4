"""Regularisers of deforming meshes, one number a sample: what a set distance cannot see.

`vertices` (b, v, 3) in units of the object's longest side; `edges`, `faces` and `face_pairs` as in
`lit3d.ops.mesh.Topology`, shared by the batch. `form`: "mean" over edges, pairs or vertices does not depend on their
number; "sum" is the lecture's. What has no length or area gives finite values and no gradient. docs/mesh_losses.md
compares with PyTorch3D and Pixel2Mesh.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.errors import UserError
from lit3d.losses.point_sets import lifted
from lit3d.ops.mesh import (
    cotangent_laplacian,
    cotangents,
    edge_vectors,
    gathered,
    pair_cosines,
    uniform_laplacian,
    unit,
)
from lit3d.ops.neighbours import gather_points, nearest, safe_sqrt

Form = str  # mean or sum
Against = str  # cosine, squared or raw


def uniform_edges(
    vertices: Float[Tensor, "b v 3"], edges: Int[Tensor, "e 2"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """Squared length of edges: pulls neighbours together and flying vertices home. Alone it shrinks a mesh to a point.

    sum: over p and its neighbours k of |p - k|^2, that is 2 sum_e |e|^2. mean: mean_e |e|^2 (Wang et al. 2018, edge
    length regularisation).
    """
    squared = _edges(vertices, edges).square().sum(-1)
    return _reduced(squared, form) * (2 if form == "sum" else 1)


def equal_edges(
    vertices: Float[Tensor, "b v 3"], edges: Int[Tensor, "e 2"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """Squared difference of each edge's length to their mean: asks for equal edges, of any length. Forms as above."""
    length = safe_sqrt(_edges(vertices, edges).square().sum(-1))
    return _reduced((length - length.mean(1, keepdim=True)) ** 2, form) * (2 if form == "sum" else 1)


def dihedral_smoothness(
    vertices: Float[Tensor, "b v 3"], face_pairs: Int[Tensor, "i 4"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """(cos theta + 1)^2 over inner edges, theta the dihedral angle inside: flat 0, a right angle 1, folded 4.

    Kato et al. 2018 (Neural 3D Mesh Renderer), smoothness loss; with unit normals of both faces (1 - <n1, n2>)^2. Flat
    edges have no slope at all and folded ones none either: it rounds what is bent, and cannot undo a perfect fold.
    """
    return _reduced((1 - pair_cosines(lifted(vertices, vertices)[0], face_pairs)) ** 2, form)


def normal_consistency(
    vertices: Float[Tensor, "b v 3"], face_pairs: Int[Tensor, "i 4"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """1 - cosine between the normals of adjacent faces: flat 0, folded 2; the square root of `dihedral_smoothness`."""
    return _reduced(1 - pair_cosines(lifted(vertices, vertices)[0], face_pairs), form)


def mesh_normal(
    vertices: Float[Tensor, "b v 3"],
    edges: Int[Tensor, "e 2"],
    points: Float[Tensor, "b m 3"],
    point_normals: Float[Tensor, "b m 3"],
    against: Against = "cosine",
    form: Form = "mean",
) -> Float[Tensor, " b"]:
    """Edges at p perpendicular to the true normal there: n of the true point nearest to p, without gradient.

    Over p and its neighbours k (Wang et al. 2018, normal loss), each edge from both of its ends and never a vertex with
    itself. Which side a normal points to does not count.

    Args:
        vertices: of the prediction.
        edges: of the prediction.
        points: true ones.
        point_normals: their unit normals.
        against: cosine: |<unit(p - k), n>|, what Pixel2Mesh's code has; squared: <unit(p - k), n>^2; raw: <p - k, n>^2,
            as the paper writes it, which short edges fulfil as well as perpendicular ones.
        form: mean or sum over both directions of all edges.

    Raises:
        UserError: no such form; points that are empty or not finite.
    """
    vertices, points = lifted(vertices, points)
    normals = gather_points(point_normals.to(vertices.dtype), nearest(vertices.detach(), points.to(vertices.dtype))[1])
    vectors = _edges(vertices, edges)
    if against == "raw":
        return _both_ends(vectors, normals, edges, form, squared=True)
    if against not in ("cosine", "squared"):
        raise UserError(f"against must be cosine, squared or raw, but is '{against}'")
    return _both_ends(unit(vectors), normals, edges, form, squared=against == "squared")


def laplacian(
    vertices: Float[Tensor, "b v 3"], before: Float[Tensor, "b v 3"], edges: Int[Tensor, "e 2"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """Change of each vertex's place among its neighbours by a block: keeps details, forbids neighbours to part.

    |delta' - delta|^2 over vertices, delta = p - mean of its neighbours, `before` the block and after it (Wang et al.
    2018, Laplacian regularisation). A shift of the whole mesh costs nothing.
    """
    moved = lifted(vertices, vertices)[0] - before
    return _reduced(uniform_laplacian(moved, edges).square().sum(-1), form)


def move(vertices: Float[Tensor, "b v 3"], before: Float[Tensor, "b v 3"], form: Form = "mean") -> Float[Tensor, " b"]:
    """Squared way of each vertex in a block (Pixel2Mesh's code, move loss): small steps."""
    return _reduced((lifted(vertices, vertices)[0] - before).square().sum(-1), form)


def uniform_smoothness(
    vertices: Float[Tensor, "b v 3"], edges: Int[Tensor, "e 2"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """|delta|^2 over vertices, delta = mean of the neighbours - p: flattens, evens out spacing, and shrinks."""
    return _reduced(uniform_laplacian(lifted(vertices, vertices)[0], edges).square().sum(-1), form)


def cotangent_smoothness(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"], form: Form = "mean"
) -> Float[Tensor, " b"]:
    """|delta|^2 over vertices, delta the cotangent-weighted mean of the neighbours - p: 0 where flat, however spaced.

    Weights (Desbrun et al. 1999) are without gradient, as in PyTorch3D. Vertices whose weights do not add up to more
    than 0 (slivers, folds) count 0.
    """
    at = lifted(vertices, vertices)[0]
    weights = cotangents(at.detach(), faces)
    value, total = cotangent_laplacian(at, faces, weights)
    usable = total > 1e-6
    squared = value.square().sum(-1) / total.where(usable, 1.0).square()
    return _reduced(squared.where(usable, 0.0), form)


def _edges(vertices: Tensor, edges: Tensor) -> Float[Tensor, "b e 3"]:
    return edge_vectors(lifted(vertices, vertices)[0], edges)


def _both_ends(vectors: Tensor, normals: Tensor, edges: Tensor, form: Form, squared: bool) -> Float[Tensor, " b"]:
    """Over <vector, normal> with the normals of both ends of each edge."""
    along = torch.stack([(vectors * gathered(normals, end)).sum(-1) for end in edges.unbind(1)], dim=-1)
    return _reduced((along.square() if squared else along.abs()).flatten(1), form)


def _reduced(values: Float[Tensor, "b k"], form: Form) -> Float[Tensor, " b"]:
    if form not in ("mean", "sum"):
        raise UserError(f"form must be mean or sum, but is '{form}'")
    if form == "sum" or values.shape[1] == 0:
        return values.sum(1)
    return values.mean(1)
