"""Relatives of the Chamfer distance that weigh the distance d to the nearest point otherwise, one number a sample.

Arguments and units as in `point_sets`; `weights`: prediction to truth, truth to prediction. Each follows its released
code where paper and code differ, and takes means over points where the code sums. Gradients run through the pairs of
nearest points and are 0 at distance 0, without the clamps of the released code.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.errors import UserError
from lit3d.losses.point_sets import Weights, checked_weights, lifted
from lit3d.ops.neighbours import gather_points, nearest_both, safe_sqrt


class _Direction(NamedTuple):
    """From each point of one set to the nearest of the other."""

    squared: Float[Tensor, "b n"]
    nearest: Int[Tensor, "b n"]
    others: int  # size of the other set


def dcd(
    pred: Float[Tensor, "b n d"],
    target: Float[Tensor, "b m d"],
    alpha: float = 1000.0,
    exponent: float = 1.0,
    squared: bool = True,
    weights: Weights = (1.0, 1.0),
) -> Float[Tensor, " b"]:
    """Density-aware Chamfer distance (Wu et al. 2021): in [0, 1], a point that serves many others counts less.

    Half of the sum of both directions; from x to y it is mean_x (1 - exp(-alpha d^2) (n_x / n_y) / c^exponent), where
    c is the number of points x whose nearest is the same y (without gradient). With alpha = 1000 the exponential is
    exp(-10) at d = 0.1 of the longest side: points farther off do not move, so it cannot start from a blob.

    Args:
        pred: predicted sets.
        target: true sets.
        alpha: in units of the longest side to the power of -2 (-1 where not `squared`).
        exponent: of the count.
        squared: d^2 in the exponential, as the released code; False: d, as the paper writes.
        weights: of the directions.

    Raises:
        UserError: alpha or exponent that are not positive or finite; weights as in `cd`.
    """
    _positive(alpha=alpha, exponent=exponent)

    def one(way: _Direction) -> Tensor:
        count = torch.zeros(len(way.nearest), way.others, dtype=way.squared.dtype, device=way.squared.device)
        count = count.scatter_add_(1, way.nearest, torch.ones_like(way.squared)).gather(1, way.nearest)
        distance = way.squared if squared else safe_sqrt(way.squared)
        ideal = way.nearest.shape[1] / way.others
        return (1 - torch.exp(-alpha * distance) * ideal / count**exponent).mean(1)

    forth, back = _nearest(pred, target)
    return _weighted(one(forth), one(back), weights) / 2


def hypercd(
    pred: Float[Tensor, "b n d"],
    target: Float[Tensor, "b m d"],
    alpha: float = 1.0,
    weights: Weights = (1.0, 1.0),
) -> Float[Tensor, " b"]:
    """Chamfer distance in hyperbolic space (Lin et al. 2023): mean + mean of arcosh(1 + alpha d^2).

    Computed as 2 asinh(d sqrt(alpha / 2)), the same function without cancellation: its slope in d is sqrt(2 alpha) near
    0 and falls as 2 / d where alpha d^2 is large. The released code clamps the argument of arcosh to 1 + 1e-5: no
    gradient for d < 3.2e-3. With alpha = 1 it is 2 sqrt(2) times `cd_l1` to 1 % for d < 0.34 of the longest side.

    Raises:
        UserError: alpha is not positive or finite; weights as in `cd`.
    """
    _positive(alpha=alpha)
    forth, back = (
        2 * torch.asinh(safe_sqrt(way.squared) * math.sqrt(alpha / 2)).mean(1) for way in _nearest(pred, target)
    )
    return _weighted(forth, back, weights)


def infocd(
    pred: Float[Tensor, "b n d"],
    target: Float[Tensor, "b m d"],
    tau: float = 2.0,
    exponent: float = 1e-7,
    weights: Weights = (1.0, 1.0),
) -> Float[Tensor, " b"]:
    """Contrastive Chamfer distance (Lin et al. 2023, InfoCD): -log of e^(-d / tau) over a power of its mean.

    Half of the sum of both directions; each is mean_i d_i / tau + exponent log mean_i e^(-d_i / tau). With the released
    code's exponent the second term is below 1e-6: what remains is half of `cd_l1`. The code has the sum in place of the
    mean in the logarithm: a constant, without which equal sets get 0. The second term takes pull from points that are
    near already; with exponent = 1 it pushes them off.

    Raises:
        UserError: tau not positive, or exponent negative, or not finite; weights as in `cd`.
    """
    _positive(tau=tau)
    if not 0 <= exponent < math.inf:
        raise UserError(f"exponent must be a finite number of 0 or more, but is {exponent}")

    def one(way: _Direction) -> Tensor:
        scaled = safe_sqrt(way.squared) / tau
        return scaled.mean(1) + exponent * (torch.logsumexp(-scaled, 1) - math.log(scaled.shape[1]))

    forth, back = _nearest(pred, target)
    return _weighted(one(forth), one(back), weights) / 2


def _nearest(pred: Tensor, target: Tensor) -> tuple[_Direction, _Direction]:
    """Both directions, distances with a gradient to both sets."""
    x, y = lifted(pred, target)
    with torch.no_grad():
        (_, forth), (_, back) = nearest_both(x, y)
    return (
        _Direction(((x - gather_points(y, forth)) ** 2).sum(-1), forth, y.shape[1]),
        _Direction(((y - gather_points(x, back)) ** 2).sum(-1), back, x.shape[1]),
    )


def _weighted(forth: Tensor, back: Tensor, weights: Weights) -> Tensor:
    first, second = checked_weights(weights)
    return first * forth + second * back


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not 0 < value < math.inf:
            raise UserError(f"{name} must be a positive finite number, but is {value}")
