"""Entropic optimal transport between point sets: the Sinkhorn divergence, for sets of any sizes."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit3d.errors import UserError
from lit3d.ops.checks import check_sets
from lit3d.ops.kernels import pool
from lit3d.ops.kernels import softmin as kernels

LOG2E = math.log2(math.e)
TILE = 1 << 22  # entries of a tile of costs in plain torch
FINEST = {torch.float32: 1e-6, torch.float64: 1e-10}  # least blur in units of the extent: rounding is larger


def sinkhorn(
    x: Float[Tensor, "b n d"],
    y: Float[Tensor, "b m d"],
    p: int = 2,
    blur: float = 0.01,
    scaling: float = 0.7,
    debiased: bool = True,
) -> Float[Tensor, " b"]:
    """Sinkhorn divergence per sample, in the coordinates' unit^p; close to W_p^p where blur is small.

    S(x, y) = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2 (Feydy et al. 2019, equation 3), where OT is the least mean cost
    |x - y|^p (no factor 1/2) plus epsilon KL(plan | product of the uniform weights), epsilon = blur^p. It is 0 for
    equal sets. Log-domain Sinkhorn with averaged updates while epsilon falls from the squared diameter (p = 2); each
    sample has its own schedule, so a result does not depend on the rest of the batch.

    The gradient is that of the optimal plan (envelope theorem). Backward keeps the potentials and recomputes the plan
    in tiles: memory b (n + m). Half precision is lifted to float32. CPU float32 is a compiled kernel, all else torch.

    Args:
        x: first sets.
        y: second sets.
        p: 2 or 1.
        blur: in the coordinates' unit; details finer than this are not told apart. At least 1e-6 (float64: 1e-10) of
            the extent of the sets is used.
        scaling: factor between successive blurs, in (0, 1); nearer to 1 is slower and more accurate. At 0.7 and blur
            0.01 two samples of one surface (1,024 points, p = 2) read up to 19 % low, with a gradient at cosine 0.72 to
            that of 0.99; at 0.95 up to 1.4 % and 0.95. Sets that differ in shape: 1 % low at 0.7.
        debiased: False gives OT(x, y), which is not 0 for equal sets.

    Raises:
        UserError: what `check_sets` refuses, p other than 1 or 2, blur not positive, scaling outside (0, 1).
    """
    check_sets(x, y)
    if p not in (1, 2):
        raise UserError(f"p must be 1 or 2 (cost |x - y|^p), but is {p}")
    if not 0 < blur < math.inf:
        raise UserError(f"blur is a length in the coordinates' unit and must be positive, but is {blur}")
    if not 0 < scaling < 1:
        raise UserError(f"scaling must lie between 0 and 1 (0.7: fast, 0.95: accurate), but is {scaling}")
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.float(), y.float()
    return _divergence(x, y, p, blur, scaling, debiased)


@torch.compiler.disable
def _divergence(x: Tensor, y: Tensor, p: int, blur: float, scaling: float, debiased: bool) -> Tensor:
    value: Tensor = _Divergence.apply(x, y, p, blur, scaling, debiased)
    return value


class _Problem(NamedTuple):
    """One side of a transport: the potential on `rows` comes from the potential on `columns`, that of `source`."""

    rows: Tensor
    columns: Tensor
    source: int


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, p: int, blur: float, scaling: float, debiased: bool) -> Tensor:
        unit = unit_scale(x, y)
        sides = _sides(x * unit, y * unit, debiased)
        steps = [schedule(*s, scaling) for s in _lengths(x * unit, y * unit, unit, blur)]
        epsilon = _column([s[-1] ** p for s in steps], x)
        before = _anneal(sides, steps, p)
        after = [softmin(s.rows, s.columns, before[s.source], epsilon, p) for s in sides]
        means = [f.mean(1) for f in after]
        value = means[0] + means[1]
        if debiased:  # in this order equal sets give 0 exactly
            value = (means[0] - means[2]) + (means[1] - means[3])
        ctx.save_for_backward(x, y, unit, epsilon, *before)
        ctx.p, ctx.debiased = p, debiased
        return value / unit[:, 0, 0] ** p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, unit, epsilon, *before = ctx.saved_tensors
        pulls: list[Tensor | None] = [None, None]
        for k, side in enumerate(_sides(x * unit, y * unit, ctx.debiased)):
            if not ctx.needs_input_grad[k % 2]:
                continue
            pull = mean_slope(side.rows, side.columns, before[side.source], epsilon, ctx.p)
            earlier = pulls[k % 2]
            pulls[k % 2] = pull if earlier is None else earlier - pull
        for k, points in enumerate((x, y)):
            pull_k = pulls[k]
            if pull_k is not None:
                pulls[k] = pull_k * (grad[:, None, None] / points.shape[1]) / unit ** (ctx.p - 1)
        return *pulls, None, None, None, None


def _sides(x: Tensor, y: Tensor, debiased: bool) -> list[_Problem]:
    cross = [_Problem(x, y, 1), _Problem(y, x, 0)]
    return [*cross, _Problem(x, x, 2), _Problem(y, y, 3)] if debiased else cross


def _anneal(sides: list[_Problem], steps: list[list[float]], p: int) -> list[Tensor]:
    """Potentials of all sides after the schedule: f <- (f + softmin(C - f_source)) / 2, all sides at once."""
    x = sides[0].rows
    first = _column([s[0] ** p for s in steps], x)
    zero = [torch.zeros_like(s.rows[..., 0]) for s in sides]
    potentials = [softmin(s.rows, s.columns, zero[s.source], first, p) for s in sides]
    for k in range(max((len(s) for s in steps), default=0)):
        active = [i for i, s in enumerate(steps) if k < len(s)]
        epsilon = _column([steps[i][k] ** p for i in active], x)
        part = active if len(active) < len(x) else slice(None)
        new = [softmin(s.rows[part], s.columns[part], potentials[s.source][part], epsilon, p) for s in sides]
        for potential, update in zip(potentials, new, strict=True):
            potential[part] = (potential[part] + update) / 2
    return potentials


def schedule(diameter: float, blur: float, scaling: float) -> list[float]:
    """Blurs from the diameter down to `blur`, each `scaling` times the last; the final one three times, to settle."""
    falling = max(0, math.ceil(math.log(diameter / blur) / -math.log(scaling))) if diameter > blur else 0
    return [diameter * scaling**k for k in range(falling)] + [blur] * 3


def unit_scale(x: Tensor, y: Tensor) -> Tensor:
    """The power of two (b, 1, 1) that brings the extent of both sets to about 1, so that no square overflows."""
    both = torch.cat([x.detach(), y.detach()], dim=1) / 4
    extent = (both.amax(1) - both.amin(1)).amax(-1) * 2
    exponent = torch.frexp(extent).exponent.clamp(-100, 100)
    return torch.where(extent > 0, torch.ldexp(torch.ones_like(extent), -exponent), 1.0)[:, None, None]


def _lengths(x: Tensor, y: Tensor, unit: Tensor, blur: float) -> list[tuple[float, float]]:
    """Diameter of the common box, and blur, of each sample in its own unit."""
    both = torch.cat([x, y], dim=1)
    diameter = (both.amax(1) - both.amin(1)).norm(dim=-1).tolist()
    return [(d, max(blur * u, FINEST[x.dtype])) for d, u in zip(diameter, unit.flatten().tolist(), strict=True)]


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]


def softmin(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """-epsilon log mean_j exp((potential_j - |x_i - y_j|^p) / epsilon): (b, n), no gradient. epsilon: (b, 1)."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return _softmin_cpu(x, y, potential, epsilon, p)
    return softmin_reference(x, y, potential, epsilon, p)


def softmin_reference(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """What `softmin` means, in plain torch, in tiles of rows."""
    rows = [torch.logsumexp(_exponents(r, y, potential, epsilon, p)[1], dim=2) for r in _tiles(x, y)]
    return epsilon * (math.log(y.shape[1]) - torch.cat(rows, dim=1))


def mean_slope(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """The gradient of `softmin` row i in x_i: (b, n, d), the slope of the cost averaged over row i of the plan."""
    if x.device.type == "cpu" and x.dtype == torch.float32:
        return _mean_slope_cpu(x, y, potential, epsilon, p)
    return mean_slope_reference(x, y, potential, epsilon, p)


def mean_slope_reference(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    """What `mean_slope` means, in plain torch, in tiles of rows."""
    slopes = []
    for rows in _tiles(x, y):
        cost, exponents = _exponents(rows, y, potential, epsilon, p)
        weight = exponents.softmax(dim=2)
        weight = 2 * weight if p == 2 else torch.where(cost > 0, weight / cost, 0.0)
        difference = (rows[:, :, None, d] - y[:, None, :, d] for d in range(x.shape[2]))
        slopes.append(torch.stack([(weight * along).sum(2) for along in difference], dim=2))
    return torch.cat(slopes, dim=1)


def _tiles(x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    return x.split(max(1, TILE // max(1, len(y) * y.shape[1])), dim=1)


def _exponents(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> tuple[Tensor, Tensor]:
    cost = sum(((x[:, :, None, d] - y[:, None, :, d]) ** 2 for d in range(1, x.shape[2])), start=_first(x, y))
    if p == 1:
        cost = cost.sqrt()
    return cost, (potential[:, None] - cost) / epsilon[:, None]


def _first(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, :, None, 0] - y[:, None, :, 0]) ** 2


def _softmin_cpu(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    a, b, h, rate = _arrays(x, y, potential, epsilon)
    out = np.empty(a.shape[:2], np.float32)
    pool.over_samples(lambda i: kernels.log_sums(a[i], b[i], h[i], rate[i], p == 2, out[i]), range(len(a)))
    return epsilon * (math.log(y.shape[1]) - torch.from_numpy(out) / LOG2E)


def _mean_slope_cpu(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor, p: int) -> Tensor:
    a, b, h, rate = _arrays(x, y, potential, epsilon)
    out = np.empty(a.shape, np.float32)
    pool.over_samples(lambda i: kernels.pulls(a[i], b[i], h[i], rate[i], p == 2, out[i]), range(len(a)))
    return torch.from_numpy(out)[..., : x.shape[2]]


def _arrays(x: Tensor, y: Tensor, potential: Tensor, epsilon: Tensor) -> tuple[np.ndarray, ...]:
    """What the kernels read: three coordinates (the plane gets a 0), the potential and 1 / epsilon in base 2."""
    rate = LOG2E / epsilon
    a, b = (torch.nn.functional.pad(s, (0, 3 - s.shape[2])).contiguous().numpy() for s in (x, y))
    return a, b, (potential * rate).contiguous().numpy(), rate[:, 0].contiguous().numpy()
