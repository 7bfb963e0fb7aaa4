"""Lengths, normals, angles and Laplacians of meshes that share faces: vertices (b, v, 3), batched and differentiable.

Faces and edges without size have no direction: there normals are 0 and pass no gradient, so that nothing becomes NaN.
Only gather and index_add: memory is linear in vertices.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

TINY = 1e-12  # a vector shorter than this has no direction: far below what float32 coordinates can tell apart


def at_corners(values: Float[Tensor, "b v c"], index: Int[Tensor, "f k"]) -> tuple[Tensor, ...]:
    """`values` at each column of an index such as faces or edges: k tensors (b, f, c)."""
    return gathered(values, index.flatten()).unflatten(1, index.shape).unbind(2)


def gathered(values: Float[Tensor, "b v c"], index: Int[Tensor, " k"]) -> Float[Tensor, "b k c"]:
    """`values[:, index]`. On one axis: with its gradient it takes half the time of a choice along the second."""
    return values.flatten(0, 1).index_select(0, _in_batch(values, index)).unflatten(0, (len(values), -1))


def collected(values: Float[Tensor, "b k c"], index: Int[Tensor, " k"], count: int) -> Float[Tensor, "b v c"]:
    """The adjoint of `gathered`: adds row k to row index[k] of `count` rows."""
    out = values.new_zeros(len(values) * count, values.shape[2])
    flat = out.index_add(0, _in_batch(out.unflatten(0, (-1, count)), index), values.flatten(0, 1))
    return flat.unflatten(0, (-1, count))


def _in_batch(values: Tensor, index: Tensor) -> Tensor:
    first = values.shape[1] * torch.arange(len(values), device=index.device)
    return (index + first[:, None]).flatten()


def unit(vectors: Float[Tensor, "*s d"]) -> Float[Tensor, "*s d"]:
    """Vectors of length 1; 0, without gradient, where one is too short to have a direction."""
    squared = (vectors**2).sum(-1, keepdim=True)
    long = squared > TINY**2
    return torch.where(long, vectors, 0.0) * torch.where(long, squared, 1.0).rsqrt()


def face_vectors(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b f 3"]:
    """Normal of each face, counter-clockwise seen from its tip, as long as twice the area."""
    a, b, c = at_corners(vertices, faces)
    return torch.linalg.cross(b - a, c - a)


def face_normals(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b f 3"]:
    """Unit normals; 0 for faces without area."""
    return unit(face_vectors(vertices, faces))


def face_areas(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b f"]:
    """Area of each face."""
    return face_vectors(vertices, faces).norm(dim=-1) / 2


def vertex_normals(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b v 3"]:
    """Unit normals at vertices: mean of the adjacent faces' by area; 0 where they cancel or there are none."""
    vectors = face_vectors(vertices, faces).repeat_interleave(3, dim=1)
    return unit(collected(vectors, faces.flatten(), vertices.shape[1]))


def edge_vectors(vertices: Float[Tensor, "b v 3"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, "b e 3"]:
    """From the first to the second end."""
    a, b = at_corners(vertices, edges)
    return b - a


def pair_cosines(vertices: Float[Tensor, "b v 3"], face_pairs: Int[Tensor, "i 4"]) -> Float[Tensor, "b i"]:
    """Cosine between the normals of the two faces at each inner edge: 1 flat, 0 a right angle, -1 folded.

    `face_pairs` as in `Topology`. The cosine of the dihedral angle inside the surface is its negative. 0 where one of
    the faces has no area.
    """
    a, b, c, d = at_corners(vertices, face_pairs)
    edge = b - a
    return (unit(torch.linalg.cross(edge, c - a)) * unit(torch.linalg.cross(d - a, edge))).sum(-1)


def uniform_laplacian(values: Float[Tensor, "b v c"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, "b v c"]:
    """Mean of the neighbours minus the vertex itself; 0 where there are none. Linear in `values`."""
    a, b = edges.T
    degree = torch.zeros(values.shape[1], dtype=values.dtype, device=values.device)
    degree = degree.index_add(0, edges.flatten(), torch.ones_like(edges.flatten(), dtype=values.dtype))
    return _spread(values, a, b, values.new_ones(1, len(a))) / degree.clamp_min(1)[:, None]


def cotangents(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "b f 3"]:
    """Cotangent of the angle at each corner; 0 for faces without area."""
    corners = at_corners(vertices, faces)
    area = face_vectors(vertices, faces).norm(dim=-1)
    flat = area <= TINY
    found = []
    for k in range(3):
        forth, back = (corners[(k + step) % 3] - corners[k] for step in (1, 2))
        found.append(torch.where(flat, 0.0, (forth * back).sum(-1) / torch.where(flat, 1.0, area)))
    return torch.stack(found, dim=-1)


def cotangent_laplacian(
    values: Float[Tensor, "b v c"], faces: Int[Tensor, "f 3"], cotangents: Float[Tensor, "b f 3"]
) -> tuple[Float[Tensor, "b v c"], Float[Tensor, "b v"]]:
    """Sum over neighbours j of w_ij (x_j - x_i), w_ij half the sum of the cotangents opposite to edge ij; sum of w_ij.

    Pinkall and Polthier 1993. Of positions with their own cotangents it is minus the gradient of the area.
    """
    out, total = torch.zeros_like(values), torch.zeros_like(values[..., 0])
    for k in range(3):
        a, b = faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        weight = cotangents[..., k] / 2
        out = out + _spread(values, a, b, weight)
        ends = torch.cat([a, b])
        total = total + collected(weight.repeat(1, 2)[..., None], ends, values.shape[1])[..., 0]
    return out, total


def _spread(values: Tensor, a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Adds weight (x_b - x_a) to a and its negative to b."""
    start, end = at_corners(values, torch.stack([a, b], 1))
    pull = (end - start) * weight[..., None]
    return collected(torch.cat([pull, -pull], 1), torch.cat([a, b]), values.shape[1])


def sample_surface(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"], count: int, generator: torch.Generator | None = None
) -> tuple[Float[Tensor, "b n 3"], Float[Tensor, "b n 3"], Int[Tensor, "b n"]]:
    """Points drawn uniformly by area, their unit normals and the faces they lie on; differentiable in the vertices.

    A face is chosen in proportion to its area (no gradient), then a place in it (Osada et al. 2002), which
    stays when the face moves. Faces without area are never drawn, unless no face has any: then all alike. Coordinates
    that are not finite count as no area.

    Args:
        vertices: of each sample.
        faces: shared.
        count: points a sample.
        generator: source of randomness, on the CPU.
    """
    draws = torch.rand(3, len(vertices), count, generator=generator, dtype=torch.float64).to(vertices.device)
    with torch.no_grad():
        area = face_areas(vertices.detach().double(), faces)
        area = torch.where(area.isfinite(), area, 0.0)
        area = torch.where(area.sum(1, keepdim=True) > 0, area, 1.0)
        total = area.cumsum(1)
        # right=True: a face without area, whose interval is empty, is never hit.
        chosen = torch.searchsorted(total, draws[0] * total[:, -1:], right=True).clamp_max(len(faces) - 1)
        root, share = draws[1].sqrt(), draws[2]
        place = torch.stack([1 - root, root * (1 - share), root * share], dim=-1).to(vertices.dtype)
    first = vertices.shape[1] * torch.arange(len(vertices), device=chosen.device)
    corners = (faces[chosen] + first[:, None, None]).flatten()
    at = vertices.flatten(0, 1).index_select(0, corners).view(*chosen.shape, 3, 3)
    a, b, c = at.unbind(2)
    return (place[..., None] * at).sum(2), unit(torch.linalg.cross(b - a, c - a)), chosen
