"""Subsets of point sets."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lit3d.errors import UserError
from lit3d.ops.neighbours import gather_points


def random_subset(
    points: Float[Tensor, "b m d"], count: int, generator: torch.Generator | None = None
) -> Float[Tensor, "b n d"]:
    """`count` points of each set without replacement, each set drawn on its own.

    Raises:
        UserError: more points are wanted than there are.
    """
    _check_count(points, count)
    order = torch.rand(points.shape[:2], generator=generator).argsort(dim=1)[:, :count]
    return gather_points(points, order.to(points.device))


def farthest_point_subset(points: Float[Tensor, "b m d"], count: int) -> Int[Tensor, "b n"]:
    """Indices of `count` points, each the farthest from those before it, beginning with point 0.

    Raises:
        UserError: more points are wanted than there are.
    """
    _check_count(points, count)
    chosen = torch.zeros(points.shape[0], count, dtype=torch.long, device=points.device)
    away = torch.full(points.shape[:2], torch.inf, dtype=points.dtype, device=points.device)
    for i in range(1, count):
        last = gather_points(points, chosen[:, i - 1 : i])
        away = torch.minimum(away, ((points - last) ** 2).sum(-1))
        chosen[:, i] = away.argmax(dim=1)
    return chosen


def _check_count(points: Tensor, count: int) -> None:
    if not 1 <= count <= points.shape[1]:
        raise UserError(f"a subset of {count} points was asked of sets of {points.shape[1]}: ask for 1 to that many")
