"""Entropic optimal transport between point sets: the Sinkhorn divergence, for sets of any sizes."""

import math
import warnings
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from lit3d.errors import UserError
from lit3d.ops.checks import check_sets
from lit3d.ops.potentials import Potentials, Problem, of_pair, of_self
from lit3d.ops.softmin import mean_slope

# Least and greatest blur used, in units of the extent, for each p: below, the rounding of costs is larger than epsilon;
# above, the plan is even to a part in a million and the value would drown in the rounding of epsilon.
FINEST, COARSEST = {1: 1e-12, 2: 1e-6}, {1: 1e6, 2: 1e3}


class _Settings(NamedTuple):
    p: int
    blur: float
    scaling: float
    debiased: bool
    tolerance: float
    iterations: int


def sinkhorn(
    x: Float[Tensor, "b n d"],
    y: Float[Tensor, "b m d"],
    p: int = 2,
    blur: float = 0.01,
    scaling: float = 0.7,
    debiased: bool = True,
    tolerance: float = 0.01,
    iterations: int = 2000,
) -> Float[Tensor, " b"]:
    """Sinkhorn divergence per sample, in the coordinates' unit^p; close to W_p^p where blur is small.

    S(x, y) = OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2 (Feydy et al. 2019), where OT is the least mean cost
    |x - y|^p (no factor 1/2) plus epsilon KL(plan | product of the uniform weights), epsilon = blur^p. It is 0 for
    equal sets. Each sample is iterated until its own plan is right: a result does not depend on the rest of the batch.

    The guarantee: the marginals of the plan between x and y are met to `tolerance`, checked over all pairs at the end,
    or a warning names the samples and what was reached. OT(x, y) itself is then a dual value, never above the optimum.
    docs/distances.md has measured errors.

    The gradient is that of the optimal plan (envelope theorem). Backward keeps the potentials and recomputes the plan
    in tiles: memory b (n + m). Computed in float64, returned in the type of the input (half precision: float32).

    Args:
        x: first sets.
        y: second sets.
        p: 2 or 1.
        blur: in the coordinates' unit; details finer than this are not told apart. Between 1e-6 and 1e3 (p = 1: 1e-12
            and 1e6) of the extent of the sets is used.
        scaling: factor between successive blurs while blur falls from the diameter, in (0, 1). It changes the time, and
            the result within the tolerance.
        debiased: False gives OT(x, y), which is not 0 for equal sets.
        tolerance: greatest L1 violation of a marginal, the part of the mass that is not where it should be.
        iterations: after so many a sample stops, and a warning says so.

    Raises:
        UserError: what `check_sets` refuses, p other than 1 or 2, blur, tolerance or iterations not positive, scaling
            outside (0, 1), a distance too large for the type of the input.
    """
    check_sets(x, y)
    if p not in (1, 2):
        raise UserError(f"p must be 1 or 2 (cost |x - y|^p), but is {p}")
    if not 0 < blur < math.inf:
        raise UserError(f"blur is a length in the coordinates' unit and must be positive, but is {blur}")
    if not 0 < scaling < 1:
        raise UserError(f"scaling must lie between 0 and 1 (it is a factor between blurs), but is {scaling}")
    if not (tolerance > 0 and iterations > 0):
        raise UserError(f"tolerance and iterations must be positive, but are {tolerance} and {iterations}")
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.float(), y.float()
    return _divergence(x, y, _Settings(p, blur, scaling, debiased, tolerance, iterations))


@torch.compiler.disable
def _divergence(x: Tensor, y: Tensor, settings: _Settings) -> Tensor:
    value: Tensor = _Divergence.apply(x, y, settings)
    return value


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, settings: _Settings) -> Tensor:
        x, y = x.detach(), y.detach()
        unit = unit_scale(x, y)
        problem = _problem(x.double() * unit, y.double() * unit, unit, settings)
        selves = [of_self(problem, s) for s in (problem.x, problem.y)] if settings.debiased else []
        cross = _cross(problem, selves)
        _warn([cross, *selves], settings)
        value = cross.value
        if settings.debiased:
            value = value - (selves[0].value + selves[1].value) / 2
        for _ in range(settings.p):  # one at a time: unit^2 may overflow
            value = value / unit[:, 0, 0]
        own = [s.f for s in selves]
        ctx.save_for_backward(x, y, unit, problem.epsilon, cross.f, cross.g, *own)
        ctx.settings = settings
        return _lowered(value, x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, unit, epsilon, f, g, *selves = ctx.saved_tensors
        p = ctx.settings.p
        sets = (x.double() * unit, y.double() * unit)
        pulls: list[Tensor | None] = [None, None]
        for k, other in enumerate((g, f)):
            if not ctx.needs_input_grad[k]:
                continue
            points = sets[k]
            pull = mean_slope(points, sets[1 - k], other, epsilon, p)
            if selves:
                pull = pull - mean_slope(points, points, selves[k], epsilon, p)
            if p == 2:
                pull = pull / unit
            pulls[k] = (pull * (grad.double()[:, None, None] / points.shape[1])).to(x.dtype)
        return *pulls, None


def _problem(x: Tensor, y: Tensor, unit: Tensor, settings: _Settings) -> Problem:
    p = settings.p
    blurs = [min(max(settings.blur * u, FINEST[p]), COARSEST[p]) for u in unit.flatten().tolist()]
    return Problem(x, y, blurs, p, settings.scaling, settings.tolerance, settings.iterations)


def _cross(problem: Problem, selves: list[Potentials]) -> Potentials:
    """Potentials between x and y; where both are equal those of x itself, so that the divergence is exactly 0."""
    if not selves or problem.x.shape != problem.y.shape:
        return of_pair(problem)
    equal = (problem.x == problem.y).flatten(1).all(1)
    different = (~equal).nonzero().flatten().tolist()
    found = Potentials(*(t.clone() for t in selves[0]))
    if different:
        for whole, part in zip(found, of_pair(problem.part(different)), strict=True):
            whole[different] = part
    return found


def _warn(found: list[Potentials], settings: _Settings) -> None:
    """Say which samples did not reach the tolerance."""
    error = torch.stack([f.error for f in found]).amax(0)
    late = (error >= settings.tolerance).nonzero().flatten().tolist()
    if late:
        warnings.warn(
            f"sinkhorn stopped after {settings.iterations} iterations with up to {float(error.max()):.2g} of the mass "
            f"misplaced (tolerance {settings.tolerance:g}) in {len(late)} of {len(error)} samples, first {late[0]}; "
            "raise blur, tolerance or iterations",
            stacklevel=2,
        )


def _lowered(value: Tensor, dtype: torch.dtype) -> Tensor:
    """The value in the input's type; refuses what that cannot hold."""
    lowered = value.to(dtype)
    if not bool(lowered.isfinite().all()):
        sample = int((~lowered.isfinite()).nonzero()[0])
        raise UserError(
            f"the divergence of sample {sample} exceeds {dtype}: bring the sets to a smaller unit"
            + (", or use p=1" if dtype == torch.float64 else ", or use float64")
        )
    return lowered


def unit_scale(x: Tensor, y: Tensor) -> Tensor:
    """The power of two (b, 1, 1) in float64 that brings the extent of both sets to about 1: no square overflows."""
    low, high = torch.minimum(x.amin(1), y.amin(1)).double(), torch.maximum(x.amax(1), y.amax(1)).double()
    extent = (high / 4 - low / 4).amax(-1)
    exponent = (torch.frexp(extent).exponent + 2).clamp(-1000, 1000)
    return torch.where(extent > 0, torch.ldexp(torch.ones_like(extent), -exponent), 1.0)[:, None, None]
