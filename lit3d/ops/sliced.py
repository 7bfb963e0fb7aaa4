"""Sliced Wasserstein distance: the mean of one-dimensional transports, each solved by sorting."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.checks import check_sets


def sliced_wasserstein(
    x: Float[Tensor, "b n d"],
    y: Float[Tensor, "b m d"],
    p: int = 2,
    projections: int = 64,
    generator: torch.Generator | None = None,
) -> Float[Tensor, " b"]:
    """Mean over directions of W_p^p between the projected sets (Bonneel et al. 2015), in the coordinates' unit^p.

    No root and no factor for the dimension: two single points at distance r have r^2 / d for p = 2. Points of a set
    weigh the same; sets of unequal size are compared by the exact integral over quantiles. The gradient runs through
    the order of the projections; it is 0 where points coincide. Memory: b (n + m) projections. Half precision is
    lifted to float32.

    Args:
        x: first sets.
        y: second sets.
        p: 2 or 1.
        projections: number of directions, the same for all samples.
        generator: for uniformly random directions, drawn on its device. None: a fixed, evenly spread set of them.

    Raises:
        UserError: what `check_sets` refuses, p other than 1 or 2, no projections.
    """
    check_sets(x, y)
    if p not in (1, 2):
        raise UserError(f"p must be 1 or 2 (mean of |distance|^p), but is {p}")
    if projections < 1:
        raise UserError(f"expected at least one projection, but got projections={projections}")
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.float(), y.float()
    axes = directions(projections, x.shape[-1], generator).to(x)
    xs, ys = project(x, axes).sort(dim=1).values, project(y, axes).sort(dim=1).values
    if x.shape[1] == y.shape[1]:
        return _power(xs - ys, p).mean(dim=(1, 2))
    left, right, width = quantiles(x.shape[1], y.shape[1], x.device)
    steps = _power(xs[:, left] - ys[:, right], p).mean(dim=2)
    return (steps * width.to(x.dtype)).sum(dim=1)


def directions(count: int, d: int, generator: torch.Generator | None = None) -> Float[Tensor, "k d"]:
    """Unit vectors, float64: uniformly random, or evenly spread over a half circle or (by Fibonacci) half sphere."""
    if generator is not None:
        drawn = torch.randn(count, d, generator=generator, device=generator.device, dtype=torch.float64)
        return drawn / drawn.norm(dim=1, keepdim=True)
    step = torch.arange(count, dtype=torch.float64) + 0.5
    if d == 2:
        angle = math.pi * step / count
        return torch.stack([angle.cos(), angle.sin()], dim=1)
    height, angle = step / count, math.pi * (3 - math.sqrt(5)) * step
    radius = (1 - height**2).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), height], dim=1)


def project(points: Float[Tensor, "b n d"], axes: Float[Tensor, "k d"]) -> Float[Tensor, "b n k"]:
    """Coordinates along the axes; not as a matrix product, which may be carried out in lower precision."""
    along = points[..., :1] * axes[:, 0]
    for d in range(1, points.shape[-1]):
        along = along + points[..., d, None] * axes[:, d]
    return along


def quantiles(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Where both quantile functions are constant: index into n sorted values, into m, and the width of the step.

    Steps begin at the multiples of 1/n and of 1/m; in units of 1/(n m) these are whole numbers, so nothing rounds.
    """
    ends = torch.cat([torch.arange(1, n + 1, device=device) * m, torch.arange(1, m + 1, device=device) * n]).unique()
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    return starts // m, starts // n, (ends - starts).double() / (n * m)


def _power(difference: Tensor, p: int) -> Tensor:
    return difference**2 if p == 2 else difference.abs()
