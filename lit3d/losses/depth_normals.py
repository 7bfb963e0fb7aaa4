"""Losses that compare directions: of surfaces that a depth map implies, and of a normal head. One number a sample.

Arguments as in `lit3d.losses.depth`; normals (b, 3, h, w) are unit, in camera axes, towards the camera. Which pixels
are valid and where surfaces are cut is read from the *true* depth: else a network lowers these losses by predictions
so rough that every pixel is an edge.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.depth import JUMP, checked_jump, is_jump, pairs, to_points, unproject, valid_depth
from lit3d.ops.depth_normals import normals_from_depth, unit
from lit3d.ops.masked import entries_at, masked_mean, trimmed_mean
from lit3d.ops.neighbours import gather_points

Map = Float[Tensor, "b 1 h w"]
Mask = Bool[Tensor, "b 1 h w"]
Normals = Float[Tensor, "b 3 h w"]
Intrinsics = Float[Tensor, "b 3 3"]
FLAT = math.cos(math.radians(30))  # a triangle with an angle below 30 or above 150 degrees is too flat


def depth_normal(
    depth: Map,
    true_normal: Normals,
    true_depth: Map,
    mask: Mask,
    intrinsics: Intrinsics,
    against: str = "normal",
    method: str = "least_squares",
    window: int = 3,
    jump: float = JUMP,
) -> Float[Tensor, " b"]:
    """Mean 1 - cos between the true normal and the normal of the predicted depth (after Hu et al. 2019).

    Over pixels with a true normal, not across depth edges; method, window and jump: `lit3d.ops.normals_from_depth`.
    The paper has no camera: its normals are (-dx d, -dy d, 1), with d as a height over the picture. Ours lie in space.

    Args:
        depth: predicted.
        true_normal: exact ones.
        true_depth: which pixels are valid and where edges are.
        mask: pixels that count.
        intrinsics: of the image.
        against: `normal`: the exact normals. A window that spans a crease has another one, so that even the true depth
            costs something. `depth`: normals of the true depth by the same fit, as in the paper; 0 at the truth.
        method: of the fit.
        window: of the fit.
        jump: of an edge.

    Raises:
        UserError: another `against`, or what `normals_from_depth` refuses.
    """
    if against not in ("normal", "depth"):
        raise UserError(f"against must be normal or depth, but is '{against}'")
    found, valid = normals_from_depth(depth, intrinsics, mask, method, window, jump=jump, guide=true_depth)
    if against == "depth":
        true_normal = normals_from_depth(true_depth, intrinsics, mask, method, window, jump=jump)[0]
    return _one_minus_cosine(found, true_normal, valid & _has_normal(true_normal))


def normal_cosine(normal: Normals, true_normal: Normals, mask: Mask) -> Float[Tensor, " b"]:
    """Mean 1 - cos between a normal head and the true normals, over pixels of the mask that have one."""
    return _one_minus_cosine(normal, true_normal, mask & _has_normal(true_normal))


def depth_normal_consistency(
    depth: Map,
    normal: Normals,
    true_depth: Map,
    mask: Mask,
    intrinsics: Intrinsics,
    tangents: float = 1.0,
    normals: float = 1.0,
    window: int = 3,
    jump: float = JUMP,
) -> Float[Tensor, " b"]:
    """Whether predicted depth and predicted normals are of one surface: tangents * orthogonality + normals * cosine.

    Orthogonality: mean |<n_i, (P_j - P_i) / |P_j - P_i|>| over neighbours i, j on one surface, both ways (after Qi et
    al. 2018): 0 where the normals are orthogonal to the tangents of the depth. Cosine: mean 1 - cos between the normals
    and those of the depth. The truth only says which pixels count: both losses are 0 for any surface that fits itself,
    so that depth and normals need losses of their own.

    Args:
        depth: predicted.
        normal: of the normal head.
        true_depth: which pixels are valid and where edges are.
        mask: pixels that count.
        intrinsics: of the image.
        tangents: weight of the orthogonality.
        normals: weight of the cosine.
        window: side of the least-squares window.
        jump: share of the depth that is an edge.
    """
    valid = valid_depth(true_depth, mask)
    total = torch.zeros(len(depth), dtype=depth.dtype, device=depth.device)
    if tangents:
        known = torch.where(valid, true_depth, 1.0)
        points = unproject(torch.where(valid, depth, 1.0), intrinsics)
        total = total + tangents * _off_tangents(points, normal, known, valid, checked_jump(jump))
    if normals:
        found, both = normals_from_depth(depth, intrinsics, mask, window=window, jump=jump, guide=true_depth)
        total = total + normals * _one_minus_cosine(normal, found, both)
    return total


def _off_tangents(points: Tensor, normal: Tensor, known: Tensor, valid: Tensor, jump: float) -> Tensor:
    unit_normal = _unit(torch.where(valid, normal, 0.0))
    total, count = torch.zeros_like(points[:, 0, 0, 0]), torch.zeros_like(points[:, 0, 0, 0])
    neighbours = zip(pairs(points), pairs(unit_normal), pairs(known), pairs(valid), strict=True)
    for (p, q), (n, m), (g, h), (a, b) in neighbours:
        linked = a & b & ~is_jump(g, h, jump)
        tangent = _unit(q - p)
        both = (n * tangent).sum(1, keepdim=True).abs() + (m * tangent).sum(1, keepdim=True).abs()
        total = total + torch.where(linked, both, 0.0).flatten(1).sum(1)
        count = count + 2 * linked.flatten(1).sum(1)
    return total / count.clamp_min(1)


def virtual_normal(
    depth: Map,
    true_depth: Map,
    mask: Mask,
    intrinsics: Intrinsics,
    ratio: float = 0.15,
    least: float = 0.05,
    drop: float = 0.25,
) -> Float[Tensor, " b"]:
    """Mean |n_d - n_g|_1 over planes through three far-apart pixels (Yin et al. 2019).

    Triplets whose true triangle has an angle below 30 or above 150 degrees or a side below `least` are left out, then
    the share `drop` with the least error; angles and share are those of the released code. Which pixels make a triplet
    is a low-discrepancy sequence over the valid ones, the same in each step: the loss is a function of its arguments
    alone.

    Args:
        depth: predicted.
        true_depth: truth.
        mask: pixels that count.
        intrinsics: of the image.
        ratio: triplets per pixel of the image.
        least: in the scene's unit; what is published is for rooms in metres.
        drop: see above.

    Raises:
        UserError: a ratio that gives no triplet; drop not in [0, 1).
    """
    count = int(ratio * depth.shape[2] * depth.shape[3])
    if count < 1 or not 0 <= drop < 1:
        raise UserError(f"ratio must give a triplet and drop be in [0, 1), but are {ratio} and {drop}")
    valid = valid_depth(true_depth, mask)
    index = torch.stack([entries_at(valid.flatten(1), s) for s in triplet_shares(count)], dim=2).flatten(1)
    ours, theirs = (
        gather_points(to_points(unproject(torch.where(valid, d, 1.0), intrinsics)), index).unflatten(1, (-1, 3))
        for d in (depth, true_depth)
    )
    kept = _well_shaped(theirs, least) & valid.flatten(1).any(1, keepdim=True)
    error = (_plane_normal(ours) - _plane_normal(theirs)).abs().sum(-1)
    return trimmed_mean(error, kept, lowest=drop)


def triplet_shares(count: int) -> Float[Tensor, "3 n"]:
    """Points of the unit cube in [0, 1), evenly spread: Kronecker's sequence for the root of x^4 = x + 1."""
    root = 1.2207440846057596
    step = torch.arange(count, dtype=torch.float64) + 1
    return torch.stack([(0.5 + step / root**k) % 1 for k in (1, 2, 3)])


def _well_shaped(triangles: Float[Tensor, "b n 3 3"], least: float) -> Bool[Tensor, "b n"]:
    sides = triangles - triangles.roll(1, dims=2)
    lengths = sides.norm(dim=-1)
    cosines = (sides * sides.roll(1, dims=2)).sum(-1) / (lengths * lengths.roll(1, dims=2)).clamp_min(1e-12)
    return (lengths >= max(least, 1e-9)).all(-1) & (cosines.abs() < FLAT).all(-1)


def _plane_normal(triangles: Float[Tensor, "b n 3 3"]) -> Float[Tensor, "b n 3"]:
    a, b, c = triangles.unbind(2)
    return _unit(torch.linalg.cross(b - a, c - a).transpose(1, 2)).transpose(1, 2)


def _unit(vectors: Float[Tensor, "b 3 *s"]) -> Float[Tensor, "b 3 *s"]:
    """Unit vectors; shorter ones where the length is below 1e-4, so that gradients stay bounded."""
    return unit(vectors, 1e-4)


def _has_normal(true_normal: Normals) -> Mask:
    """Where a normal is finite and not zero."""
    return true_normal.isfinite().all(1, keepdim=True) & (true_normal != 0).any(1, keepdim=True)


def _one_minus_cosine(a: Normals, b: Normals, valid: Mask) -> Float[Tensor, " b"]:
    cosine = (_unit(torch.where(valid, a, 0.0)) * _unit(torch.where(valid, b, 0.0))).sum(1, keepdim=True)
    return masked_mean(1 - cosine, valid)
