"""Normals from depth, as plane fits in inverse depth.

On a plane a X + b Y + c Z = 1 the inverse depth is linear in the picture, 1/Z = a x + b y + c with x = X/Z, y = Y/Z, so
that its slopes per pixel give the normal -(a, b, c) / |(a, b, c)|, which faces the camera: <n, P> < 0. All methods fit
these slopes by least squares and differ in the pixels they fit to; each is exact on a plane, in perspective, too.
Nothing but the right-hand side of the fit depends on the depth, so the gradient is that of a linear map of 1/Z.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.depth import JUMP, checked_jump, inverse_depth, is_jump, shifts, valid_depth

METHODS = ("forward", "central", "least_squares")
SPREAD = 0.1  # least variance of the fitted pixels in any direction, in pixels^2: three in an L have 1/9, a line has 0

Offset = tuple[int, int]


def normals_from_depth(
    depth: Float[Tensor, "b 1 h w"],
    intrinsics: Float[Tensor, "b 3 3"],
    mask: Bool[Tensor, "b 1 h w"] | None = None,
    method: str = "least_squares",
    window: int = 3,
    fewest: int = 4,
    jump: float = JUMP,
    guide: Float[Tensor, "b 1 h w"] | None = None,
) -> tuple[Float[Tensor, "b 3 h w"], Bool[Tensor, "b 1 h w"]]:
    """Unit normals in camera axes that face the camera, and where there are any; 0 elsewhere.

    A pixel's fit uses only valid pixels that no depth edge parts from it: the depths differ by no more than a share
    `jump` for each pixel between them.

    Args:
        depth: camera z. Not finite, 0 or less: not valid, unless a guide says otherwise.
        intrinsics: in pixels, centres at +0.5.
        mask: pixels that may be used; None: all.
        method: `least_squares` over a window with binomial weights, 1 2 1 for 3 pixels, which on curved surfaces leave
            half the error of equal ones; `central`: the pixel and its four
            neighbours, all of them there (equal to central differences); `forward`: the pixel, the right and the lower
            one. On curved surfaces the first two are right to second order, the last to first; but the last alone sees
            a pattern that repeats every two pixels, as decoders make: symmetric differences cancel it.
        window: side of the least-squares window, odd. 3 for dense depth; larger against noise and for sparse depth.
        fewest: pixels that a least-squares fit needs; they must not lie along a line either.
        jump: see above.
        guide: a depth map that says which pixels are valid and where edges are, in place of `depth`. A loss passes the
            truth: a prediction could else escape by being so rough that each pixel is an edge.

    Raises:
        UserError: an unknown method, an even window or one below 3, fewest below 3, jump not above 0.
    """
    _check(method, window, fewest)
    checked_jump(jump)
    valid = valid_depth(depth if guide is None else guide, mask)
    stencil, needed = _stencil(method, window, fewest)
    with torch.no_grad():
        linked = _linked(torch.where(valid, depth if guide is None else guide, 1.0), valid, stencil, jump)
    inverse = inverse_depth(torch.where(valid, depth, 1.0))
    level, slopes, found = _fit(inverse, linked, needed)
    return torch.where(found, _normal(level, slopes, intrinsics.to(depth.dtype)), 0.0), found


def unit(vectors: Float[Tensor, "b 3 *s"], least: float = 1e-12) -> Float[Tensor, "b 3 *s"]:
    """Vectors (along axis 1) over their length, or over `least` where they are shorter, which bounds the gradient.

    As torch's `normalize`, whose norm over three channels takes thirteen times as long on a CPU.
    """
    return vectors * vectors.square().sum(1, keepdim=True).clamp_min(least * least).rsqrt()


def _check(method: str, window: int, fewest: int) -> None:
    if method not in METHODS:
        raise UserError(f"method must be one of {', '.join(METHODS)}, but is '{method}'")
    if window < 3 or window % 2 == 0:
        raise UserError(f"window must be an odd number of pixels from 3, but is {window}")
    if fewest < 3:
        raise UserError(f"fewest must be at least 3, because a plane has three numbers, but is {fewest}")


def _stencil(method: str, window: int, fewest: int) -> tuple[list[Offset], int]:
    """Offsets (p, q) of the pixels to fit to, and how many of them must be there."""
    if method == "forward":
        return [(0, 0), (1, 0), (0, 1)], 3
    if method == "central":
        return [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)], 5
    steps = range(-(window // 2), window // 2 + 1)
    return [(p, q) for q in steps for p in steps], fewest


def _linked(depth: Tensor, valid: Tensor, stencil: list[Offset], jump: float) -> dict[Offset, Tensor]:
    """1 where the pixel at the offset is valid and on the same surface, else 0."""
    radius = max(max(abs(p), abs(q)) for p, q in stencil)
    others, sound = shifts(depth, radius), shifts(valid.to(depth.dtype), radius)
    return {
        (p, q): sound[p, q] * (valid & ~is_jump(depth, others[p, q], jump, max(abs(p), abs(q), 1)))
        for p, q in stencil
    }


def _fit(inverse: Tensor, linked: dict[Offset, Tensor], needed: int) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
    """Least squares of 1/Z = level + p slope_u + q slope_v, per pixel; and where it is determined."""
    radius = max(max(abs(p), abs(q)) for p, q in linked)
    with torch.no_grad():
        n, p1, q1, pp, pq, qq = _moments(weights := _tapered(linked, radius))
        half, det = (pp + qq) / 2, pp * qq - pq * pq
        enough = sum(linked.values(), torch.zeros_like(n)) >= needed
        found = enough & (half - (half * half - det).clamp_min(0).sqrt() > SPREAD)
        det = torch.where(found, det, 1.0)
    others = shifts(inverse, radius)
    g = gp = gq = torch.zeros_like(inverse)
    for (p, q), weight in weights.items():
        if (p, q) != (0, 0):
            step = weight * (others[p, q] - inverse)  # differences: small numbers keep their digits
            g, gp, gq = g + step, gp + p * step if p else gp, gq + q * step if q else gq
    g, gp, gq = g / n, gp / n, gq / n
    gp, gq = gp - p1 * g, gq - q1 * g
    slope_u, slope_v = (qq * gp - pq * gq) / det, (pp * gq - pq * gp) / det
    return inverse + g - p1 * slope_u - q1 * slope_v, (slope_u, slope_v), found


def _tapered(linked: dict[Offset, Tensor], radius: int) -> dict[Offset, Tensor]:
    """The weights of the fit: binomial ones in both directions over what is linked."""
    row = [math.comb(2 * radius, i) for i in range(2 * radius + 1)]
    return {(p, q): (row[p + radius] * row[q + radius]) * one for (p, q), one in linked.items()}


def _moments(weights: dict[Offset, Tensor]) -> list[Tensor]:
    """Sum of the weights, mean p and q, and the variances pp, pq, qq about them."""
    zero = torch.zeros_like(weights[0, 0])
    values = [[(w, v) for (p, q), w in weights.items() if (v := (1, p, q, p * p, p * q, q * q)[i])] for i in range(6)]
    n, p1, q1, pp, pq, qq = (sum((w * v for w, v in terms), zero) for terms in values)
    n = n.clamp_min(1)
    p1, q1 = p1 / n, q1 / n
    return [n, p1, q1, pp / n - p1 * p1, pq / n - p1 * q1, qq / n - q1 * q1]


def _normal(level: Tensor, slopes: tuple[Tensor, Tensor], intrinsics: Tensor) -> Tensor:
    """-(a, b, c) / |(a, b, c)| from the slopes per pixel: (a, b, c) = K^T (slope_u, slope_v, 1/Z at pixel 0, 0)."""
    (slope_u, slope_v), (h, w) = slopes, level.shape[2:]
    fx, skew, cx = intrinsics[:, 0, :, None, None, None].unbind(1)
    fy, cy = intrinsics[:, 1, 1, None, None, None], intrinsics[:, 1, 2, None, None, None]
    u = torch.arange(w, dtype=level.dtype, device=level.device) + 0.5
    v = torch.arange(h, dtype=level.dtype, device=level.device)[:, None] + 0.5
    c = level - slope_u * (u - cx) - slope_v * (v - cy)
    return -unit(torch.cat([fx * slope_u, skew * slope_u + fy * slope_v, c], dim=1))
