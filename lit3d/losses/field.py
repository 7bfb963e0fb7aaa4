"""Losses of fields at sampled places, one number a sample."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from lit3d import ops
from lit3d.errors import UserError


def bce(logits: Float[Tensor, "b q"], occupancy: Float[Tensor, "b q"]) -> Float[Tensor, " b"]:
    """Mean binary cross-entropy over the queries (Mescheder et al. 2019; their code takes the sum)."""
    return binary_cross_entropy_with_logits(logits, occupancy, reduction="none").mean(1)


def truncated_sdf(
    distance: Float[Tensor, "b q"],
    queries: Float[Tensor, "b q 3"],
    occupancy: Float[Tensor, "b q"],
    points: Float[Tensor, "b m 3"],
    truncation: float = 0.1,
) -> Float[Tensor, " b"]:
    """Mean |f - s| / truncation with the signed distance s, cut at plus and minus `truncation`, positive inside.

    s is the distance to the nearest true point with the sign that occupancy gives: too long near the surface by less
    than the points' spacing, so more points (data.points) make it sharper. The cut is that of DeepSDF (Park et al.
    2019), but of the target alone: a value on the wrong side of it still has a gradient.

    Raises:
        UserError: a truncation that is not above 0.
    """
    if not truncation > 0:
        raise UserError(f"the truncation of signed distances must be above 0, got {truncation}")
    with torch.no_grad():
        away = ops.nearest(queries, points)[0].clamp_min(0).sqrt().clamp_max(truncation)
        signed = torch.where(occupancy > 0.5, away, -away)
    return (distance - signed).abs().mean(1) / truncation
