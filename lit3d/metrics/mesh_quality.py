"""What a set distance cannot see of a predicted mesh, one number a sample.

`vertices` (b, v, 3) in units of the longest side, topology shared. A mesh with a coordinate that is not finite is a
counted failure: shares and spread get 1 and `WORST_SPREAD`, angles 90 degrees, normal consistency 0. The
regularisers of `lit3d.losses.mesh` are per-sample functions, too, and serve as scores as they are.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.metrics.point_sets import normal_consistency
from lit3d.ops.kernels import pool
from lit3d.ops.kernels.triangles import self_intersecting
from lit3d.ops.mesh import Topology, edge_vectors, pair_cosines, sample_surface
from lit3d.ops.neighbours import gather_points, nearest

FOLDED = 30.0  # degrees: a dihedral angle below this is a fold
WORST_SPREAD = 10.0  # of a failure, and of a mesh that is one point; set distance alone leaves 0.5 to 3


def edge_spread(vertices: Float[Tensor, "b v 3"], edges: Int[Tensor, "e 2"]) -> Float[Tensor, " b"]:
    """Standard deviation of the edge lengths over their mean: 0 where all are equal."""
    length = edge_vectors(vertices, edges).norm(dim=-1)
    mean = length.mean(1)
    spread = length.std(1, correction=0) / torch.where(mean > 0, mean, 1.0)
    return torch.where(mean > 0, spread, WORST_SPREAD)


def roughness(vertices: Float[Tensor, "b v 3"], face_pairs: Int[Tensor, "i 4"]) -> Float[Tensor, " b"]:
    """Mean angle in degrees between the normals of adjacent faces: 0 flat, 180 folded everywhere.

    A face without area counts 90 at each of its edges.
    """
    return torch.rad2deg(torch.acos(pair_cosines(vertices, face_pairs).clamp(-1, 1))).mean(1)


def folded(vertices: Float[Tensor, "b v 3"], face_pairs: Int[Tensor, "i 4"]) -> Float[Tensor, " b"]:
    """Share of inner edges with a dihedral angle under 30 degrees."""
    return (pair_cosines(vertices, face_pairs) < -math.cos(math.radians(FOLDED))).to(vertices.dtype).mean(1)


def self_intersection(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, " b"]:
    """Share of faces that share a point with a face with which they share no vertex; coordinates must be finite."""
    corners = faces.cpu().numpy()
    found = pool.over_samples(lambda at: self_intersecting(at, corners).mean(), vertices.detach().cpu().numpy())
    return torch.tensor(found, dtype=vertices.dtype, device=vertices.device)


def flipped(
    points: Float[Tensor, "b n 3"],
    normals: Float[Tensor, "b n 3"],
    truth: Float[Tensor, "b m 3"],
    truth_normals: Float[Tensor, "b m 3"],
) -> Float[Tensor, " b"]:
    """Share of the predicted surface, by area, whose outward normal is against that of the nearest true point.

    The prediction's points are area-uniform samples with normals as wound; the truth's normals must point outwards.
    """
    theirs = gather_points(truth_normals.to(normals.dtype), nearest(points, truth.to(points.dtype))[1])
    return ((normals * theirs).sum(-1) < 0).to(points.dtype).mean(1)


def score_mesh(
    vertices: Float[Tensor, "b v 3"],
    topology: Topology,
    truth: Float[Tensor, "b m 3"] | None = None,
    truth_normals: Float[Tensor, "b m 3"] | None = None,
    samples: int = 10_000,
    generator: torch.Generator | None = None,
) -> dict[str, Float[Tensor, " b"]]:
    """All scores above by name, and the Euler characteristic; those with the truth's normals where these are given.

    Args:
        vertices: of the predicted meshes.
        topology: of all of them.
        truth: points of the true surface.
        truth_normals: their outward unit normals.
        samples: of the predicted surface, for `flipped` and `normal_consistency`.
        generator: of these samples; None: the same ones in every call.

    Returns:
        `edge_spread`, `roughness` (degrees), `folded`, `self_intersection`, `euler`, `failure`, and with the truth
        `flipped`, `normal_consistency`.
    """
    failed = ~vertices.isfinite().flatten(1).all(1)
    at = torch.where(failed[:, None, None], torch.zeros_like(vertices), vertices).detach().float()
    topology = topology.to(at.device)
    scores = {
        "edge_spread": edge_spread(at, topology.edges),
        "roughness": roughness(at, topology.face_pairs),
        "folded": folded(at, topology.face_pairs),
        "self_intersection": self_intersection(at, topology.faces),
    }
    if truth is not None and truth_normals is not None:
        generator = generator or torch.Generator().manual_seed(0)
        points, normals, _ = sample_surface(at, topology.faces, samples, generator)
        scores["flipped"] = flipped(points, normals, truth, truth_normals)
        scores["normal_consistency"] = normal_consistency(points, normals, truth, truth_normals)
    scores = {name: torch.where(failed, worst(name), score) for name, score in scores.items()}
    euler = at.new_full((len(at),), float(topology.euler))
    return scores | {"euler": euler, "failure": failed.to(at.dtype)}


def worst(name: str) -> float:
    """The stated score of a counted failure."""
    return {"edge_spread": WORST_SPREAD, "roughness": 90.0, "normal_consistency": 0.0}.get(name, 1.0)
