"""The losses that are compared, and the plan behind each: which true point a predicted one is sent to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from experiments.approximate_emd.legacy import approximate_emd, soft_assignment
from lit3d import losses, ops
from lit3d.ops.sliced import directions, project

BLURS = (0.2, 0.1, 0.05, 0.02)
PROJECTIONS = 64
Loss = Callable[[Tensor, Tensor], Tensor]
Partners = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        loss: (pred, target) -> (b,).
        partners: (pred, target) -> (b, n), for each predicted point the true one that it gives most to.
    """

    loss: Loss
    partners: Partners


def methods() -> dict[str, Method]:
    """All rows by name, the exact one first."""
    found = {
        "emd": Method(losses.emd, lambda x, y: ops.match(x, y).index),
        "emd_squared": Method(losses.emd_squared, lambda x, y: ops.match(x, y, squared=True).index),
    }
    for blur in BLURS:
        found[f"sinkhorn {blur:g}"] = Method(
            partial(losses.sinkhorn, blur=blur), lambda x, y, blur=blur: entropic_plan(x, y, blur).argmax(2)
        )
    sliced = partial(losses.sliced, projections=PROJECTIONS)
    found[f"sliced {PROJECTIONS}"] = Method(sliced, lambda x, y: sliced_plan(x, y).argmax(2))
    found["approxmatch"] = Method(approximate_emd, lambda x, y: soft_assignment(x, y).argmax(2))
    found["cd"] = Method(losses.cd, lambda x, y: ops.nearest(x, y)[1])
    return found


def entropic_plan(
    x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"], blur: float, p: int = 2, rounds: int = 300
) -> Float[Tensor, "b n m"]:
    """The plan of entropic transport between uniform weights, by plain Sinkhorn iterations in the log domain.

    The blur falls from 1 to its value first; exact enough for the largest entry of each row.
    """
    cost = torch.cdist(x.double(), y.double()) ** p
    g = torch.zeros_like(cost[:, :1])
    current = max(1.0, blur)
    for _ in range(rounds):
        current = max(blur, 0.9 * current)
        epsilon = current**p
        f = -epsilon * torch.logsumexp((g - cost) / epsilon, 2, keepdim=True)
        g = -epsilon * torch.logsumexp((f - cost) / epsilon, 1, keepdim=True)
    plan = torch.exp((f + g - cost) / epsilon)
    return plan / plan.sum((1, 2), keepdim=True) * x.shape[1]


def sliced_plan(x: Float[Tensor, "b n d"], y: Float[Tensor, "b n d"]) -> Float[Tensor, "b n n"]:
    """The mean over directions of the bijections that sort both projections."""
    axes = directions(PROJECTIONS, x.shape[-1]).to(x)
    a, b = project(x, axes).argsort(1), project(y, axes).argsort(1)
    plan = x.new_zeros(len(x), x.shape[1], y.shape[1])
    sample = torch.arange(len(x))[:, None]
    for k in range(PROJECTIONS):
        plan[sample, a[..., k], b[..., k]] += 1 / PROJECTIONS
    return plan


def violations(partners: Int[Tensor, "b n"], m: int) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Share of the m true points that no predicted point is sent to, and share that several are sent to."""
    hits = torch.zeros(len(partners), m).scatter_add_(1, partners, torch.ones(partners.shape))
    return (hits == 0).float().mean(1), (hits > 1).float().mean(1)
