"""Sinkhorn's potentials, brought to a stated error of the marginals while epsilon falls (float64, no gradient).

The error of a sample is the mean over points of |mass that the plan gives the point / mass that it should have - 1|:
the L1 violation of a marginal, the greater of both sides. An update tells it: mass is exp((old - new) / epsilon).
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lit3d.ops.kernels import pool
from lit3d.ops.kernels import softmin_lists as lists
from lit3d.ops.softmin import LOG2E, kernel_points, softmin

LOOSE = 0.03  # error at which a blur that is not the last is left: a good start halves the work at the next one
STARTS = (16, 8, 4, 2, 1)  # multiples of the last blur from which lists of pairs are tried
ROOM, LAST_ROOM = 32, 256  # pairs a point that the lists may hold, and at the last blur
SINGLE = 1e-4  # epsilon (diameter about 1) above which float32 is precise enough for a start


class Problem(NamedTuple):
    """Transport between two batches of sets of about unit extent, and what is asked for."""

    x: Float[Tensor, "b n d"]
    y: Float[Tensor, "b m d"]
    blurs: list[float]
    p: int
    scaling: float
    tolerance: float
    iterations: int

    def part(self, samples: list[int]) -> "Problem":
        """The same for some samples."""
        blurs = [self.blurs[i] for i in samples]
        return self._replace(x=self.x[samples], y=self.y[samples], blurs=blurs)

    @property
    def epsilon(self) -> Float[Tensor, "b 1"]:
        """The last epsilon of each sample."""
        return _column([blur**self.p for blur in self.blurs], self.x)


class Potentials(NamedTuple):
    """f on x and g on y, each the soft minimum of the other up to `error`; `value` is that of the dual."""

    f: Float[Tensor, "b n"]
    g: Float[Tensor, "b m"]
    value: Float[Tensor, " b"]
    error: Float[Tensor, " b"]


def of_pair(problem: Problem) -> Potentials:
    """Potentials between x and y: g is exactly the soft minimum of f, `error` is that of the other marginal."""
    x, y, p, epsilon = problem.x, problem.y, problem.p, problem.epsilon
    f, before = _on_lists(problem) if x.device.type == "cpu" else _on_all_pairs(problem)
    f = softmin(x, y, before, epsilon, p)
    g = softmin(y, x, f, epsilon, p)
    return Potentials(f, g, f.mean(1) + g.mean(1), _violation(before, g, epsilon))


def of_self(problem: Problem, x: Tensor) -> Potentials:
    """Potential between a set and itself, by averaged updates (Feydy et al. 2019): f and g are the same.

    They start from half the first soft minimum, which is exact where each point keeps to itself.
    """
    p, epsilon = problem.p, problem.epsilon
    new = softmin(x, x, torch.zeros_like(x[..., 0]), epsilon, p)
    f, error = torch.zeros_like(new), torch.full_like(new[:, 0], math.inf)
    for _ in range(problem.iterations):
        active = (error >= problem.tolerance / 2).nonzero().flatten()
        if not len(active):
            break
        f[active] = (f[active] + new[active]) / 2
        new[active] = softmin(x[active], x[active], f[active], epsilon[active], p)
        error[active] = _violation(f[active], new[active], epsilon[active])
    return Potentials(new, new, f.mean(1) + new.mean(1), error)


def schedule(start: float, blur: float, scaling: float) -> list[float]:
    """Blurs from `start` down to `blur`, each `scaling` times the last; `blur` alone when the start is no greater."""
    falling = max(0, math.ceil(math.log(start / blur) / -math.log(scaling) - 1e-9)) if start > blur else 0
    return [start * scaling**k for k in range(falling)] + [blur]


def diameters(x: Tensor, y: Tensor) -> list[float]:
    """Diagonal of the common box of each sample."""
    low, high = torch.minimum(x.amin(1), y.amin(1)), torch.maximum(x.amax(1), y.amax(1))
    extents: list[float] = (high - low).norm(dim=-1).tolist()
    return extents


def _on_lists(problem: Problem) -> tuple[Tensor, Tensor]:
    """Coarse blurs over all pairs, one update each; then lists of pairs, from the coarsest blur at which they fit.

    Samples whose pairs never fit (blur not small against the distances between points) settle over all pairs.
    """
    f, g = (torch.zeros_like(s[..., 0]) for s in (problem.x, problem.y))
    at, samples = diameters(problem.x, problem.y), list(range(len(problem.blurs)))
    for start in STARTS:
        part, f_part, g_part = problem.part(samples), f[samples], g[samples]
        goals = [start * blur for blur in part.blurs]
        _coarse(part, f_part, g_part, [schedule(at[i], b, part.scaling) for i, b in zip(samples, goals, strict=True)])
        fits = _settle_lists(part, f_part, g_part, goals, LAST_ROOM if start == STARTS[-1] else ROOM)
        f[samples], g[samples] = f_part, g_part
        for i, goal in zip(samples, goals, strict=True):
            at[i] = goal
        samples = [i for i, fit in zip(samples, fits, strict=True) if not fit]
        if not samples:
            return f, g
    part, f_part, g_part = problem.part(samples), f[samples], g[samples]
    _descend(part, f_part, g_part, [[blur] for blur in part.blurs])
    f[samples], g[samples] = f_part, g_part
    return f, g


def _coarse(problem: Problem, f: Tensor, g: Tensor, blurs: list[list[float]]) -> None:
    """One update of f and g, in place, at each blur of each sample."""
    for k in range(max((len(b) for b in blurs), default=0)):
        active = [i for i, b in enumerate(blurs) if k < len(b)]
        values = [blurs[i][k] ** problem.p for i in active]
        single = min(values) > SINGLE
        x, y, old = (t[active].float() if single else t[active] for t in (problem.x, problem.y, g))
        epsilon = _column(values, x)
        f_new = softmin(x, y, old, epsilon, problem.p)
        f[active], g[active] = f_new.to(f), softmin(y, x, f_new, epsilon, problem.p).to(g)


def _settle_lists(problem: Problem, f: Tensor, g: Tensor, starts: list[float], room: int) -> list[bool]:
    """Settle each sample on lists, in place, from its start down to its blur; False where the lists do not fit."""

    def one(i: int) -> bool:
        blurs = schedule(starts[i], problem.blurs[i], 0.5)
        rates = LOG2E / np.array(blurs) ** problem.p
        goals = np.array([LOOSE] * (len(blurs) - 1) + [problem.tolerance / 2])
        f_bits, g_bits = f[i].numpy() * rates[0], g[i].numpy() * rates[0]
        level, left = lists.settle(
            x[i], y[i], f_bits, g_bits, rates, goals, problem.p == 2, faint, problem.iterations, pairs
        )
        last = rates[min(level, len(rates) - 1)]
        f[i], g[i] = torch.from_numpy(f_bits / last), torch.from_numpy(g_bits / last)
        return level == len(rates) or left <= 0

    x, y = kernel_points(problem.x), kernel_points(problem.y)
    pairs, faint = room * max(f.shape[1], g.shape[1]), 4 + max(0.0, -math.log2(problem.tolerance))
    return pool.over_samples(one, range(len(f)))


def _on_all_pairs(problem: Problem) -> tuple[Tensor, Tensor]:
    f, g = (torch.zeros_like(s[..., 0]) for s in (problem.x, problem.y))
    starts = diameters(problem.x, problem.y)
    _descend(problem, f, g, [schedule(d, b, problem.scaling) for d, b in zip(starts, problem.blurs, strict=True)])
    return f, g


def _descend(problem: Problem, f: Tensor, g: Tensor, blurs: list[list[float]]) -> None:
    """Settle f and g, in place, at each blur in turn: over-relaxed updates as on the lists; samples keep own pace."""
    level, omega, last = [0] * len(f), [1.0] * len(f), [math.inf] * len(f)
    for k in range(problem.iterations):
        active = [i for i, b in enumerate(blurs) if level[i] < len(b)]
        if not active:
            return
        epsilon = _column([blurs[i][level[i]] ** problem.p for i in active], f)
        factor, x, y = _column([omega[i] for i in active], f), problem.x[active], problem.y[active]
        f_new = softmin(x, y, g[active], epsilon, problem.p)
        error = _violation(f[active], f_new, epsilon)
        f[active] += factor * (f_new - f[active])
        g_new = softmin(y, x, f[active], epsilon, problem.p)
        error = torch.maximum(error, _violation(g[active], g_new, epsilon))
        g[active] += factor * (g_new - g[active])
        for i, now in zip(active, error.tolist(), strict=True):
            omega[i] = max(omega[i], lists.OMEGA) if k == 0 else omega[i]
            if now < (problem.tolerance / 2 if level[i] == len(blurs[i]) - 1 else LOOSE):
                level[i], omega[i], last[i] = level[i] + 1, lists.OMEGA, math.inf
            elif k % lists.BLOCK == lists.BLOCK - 1:
                slow = min(lists.FASTEST, omega[i] + 0.02) if now > last[i] / 2 else omega[i]
                omega[i], last[i] = (1 + (omega[i] - 1) / 2 if now > last[i] else slow), now


def _violation(old: Tensor, new: Tensor, epsilon: Tensor) -> Tensor:
    """L1 violation of a marginal before the update of its potential: (b,)."""
    return (((old - new) / epsilon).clamp(max=80).exp() - 1).abs().mean(1)


def _column(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
