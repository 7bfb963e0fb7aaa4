"""The soft matching that many published networks were trained with under the name EMD ("approxmatch").

Written anew from what it computes: ten rounds at falling temperature share out what each point still has to give, and
the cost is the sum of Euclidean distances under the sum of all rounds. No bijection, no bound on the error.
"""

import torch
from jaxtyping import Float
from torch import Tensor

LEVELS = (*(-(4.0**j) for j in range(7, -2, -1)), 0.0)  # factors of the squared distance; units as of the points
TINY = 1e-9


def soft_assignment(x: Float[Tensor, "b n d"], y: Float[Tensor, "b m d"]) -> Float[Tensor, "b n m"]:
    """What each x gives to each y; no gradient.

    In each round, x offers all it has left to the y's in proportion to exp(level |x - y|^2) times what y still takes;
    a y that is offered more takes the same share of each offer. Where sizes differ, each point of the smaller set has
    as many units as the larger set has times more points, rounded down: with sizes that do not divide, units are left.
    """
    with torch.no_grad():
        squared = ((x[:, :, None] - y[:, None]) ** 2).sum(-1)
        n, m = squared.shape[1:]
        left = x.new_full((len(x), n, 1), max(n, m) // n)
        room = x.new_full((len(x), 1, m), max(n, m) // m)
        total = torch.zeros_like(squared)
        for level in LEVELS:
            offer = torch.exp(level * squared) * room
            offer *= left / (offer.sum(2, keepdim=True) + TINY)
            offer *= (room / (offer.sum(1, keepdim=True) + TINY)).clamp(max=1)
            left = (left - offer.sum(2, keepdim=True)).clamp(min=0)
            room = (room - offer.sum(1, keepdim=True)).clamp(min=0)
            total += offer
    return total


def approximate_emd(pred: Float[Tensor, "b n d"], target: Float[Tensor, "b m d"]) -> Float[Tensor, " b"]:
    """Sum of Euclidean distances under the soft assignment, over n: a loss like `lit3d.losses.emd`.

    The gradient runs through the distances alone, the assignment is held fixed, as in the original; 0 at distance 0.
    """
    plan = soft_assignment(pred, target)
    squared = ((pred[:, :, None] - target[:, None]) ** 2).sum(-1)
    distance = squared.clamp(min=1e-20).sqrt()
    return (plan * distance).sum((1, 2)) / pred.shape[1]
